//! The URL of an endpoint as it is stored: user name and password are taken out of it and sealed.
//!
//! A caller that reads an endpoint sees `https://***@host/`. Sent back as it was read, it keeps the text behind the
//! mask. With anything else changed it is refused: else a caller that may change a URL could have the password sent
//! elsewhere.

use crate::error::Error;
use crate::seals::Seals;
use engine::dispatch::{MASK, masked, split_user_info};
use engine::seal::SealPurpose;
use model::Endpoint;

/// Seals user name and password of `row`'s URL, which is as the caller sent it or as it was in `before`.
///
/// # Errors
/// [`Error::Invalid`] for a mask with nothing behind it.
pub(super) fn seal_user_info(seals: &Seals, row: &mut Endpoint, before: Option<&Endpoint>) -> Result<(), Error> {
    let (shown, sent) = split_user_info(&row.url);
    let Some(mut user_info) = sent else {
        row.sealed_user_info = None;
        return Ok(());
    };
    if user_info.as_str() == MASK {
        let before = before.filter(|before| masked(&before.url) == shown).ok_or_else(|| {
            let msg = format!("user name and password are hidden ({MASK}): send them, or the whole URL as it was read");
            Error::invalid(&["url"], msg, "value_error.url")
        })?;
        if before.sealed_user_info.is_some() {
            row.sealed_user_info.clone_from(&before.sealed_user_info);
            row.url = shown;
            return Ok(());
        }
        // A row from before they were sealed.
        user_info = split_user_info(&before.url).1.unwrap_or(user_info);
    }
    row.sealed_user_info = Some(seals.seal(row.target(), SealPurpose::UserInfo, user_info.as_bytes())?);
    row.url = shown;
    Ok(())
}
