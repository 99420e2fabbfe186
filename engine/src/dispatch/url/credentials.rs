//! User name and password in the text of a URL: a credential, so they are taken out before it is stored or shown.
//!
//! ```text
//! as sent     https://user:password@host/path
//! as shown    https://***@host/path          the same that is stored, beside `user:password` sealed
//! ```
//! Works on any text, also one that is no valid URL. No judgement: that is `check_url`'s.

use std::borrow::Cow;
use std::ops::Range;
use zeroize::Zeroizing;

/// Stands for user name and password wherever a URL is shown. The user name is hidden too: many services take a token
/// there.
pub const MASK: &str = "***";

/// User name and password as they stand in a URL, percent-encoded, without the `@`. Cleared when dropped.
pub type UserInfo = Zeroizing<String>;

/// Place of user name and password in `text`; none when there are none, or both are empty.
fn place(text: &str) -> Option<Range<usize>> {
    let start = text.find("://")? + 3;
    let rest = &text[start..];
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    let len = authority.rfind('@')?;
    let is_empty = matches!(&authority[..len], "" | ":");
    (!is_empty).then_some(start..start + len)
}

/// The URL as it may be shown.
#[must_use]
pub fn masked(text: &str) -> Cow<'_, str> {
    match place(text) {
        Some(place) => Cow::Owned([&text[..place.start], MASK, &text[place.end..]].concat()),
        None => Cow::Borrowed(text),
    }
}

/// The URL as it may be shown, and the credentials taken out of it.
#[must_use]
pub fn split_user_info(text: &str) -> (String, Option<UserInfo>) {
    let user_info = place(text).map(|place| Zeroizing::new(text[place].to_owned()));
    (masked(text).into_owned(), user_info)
}

/// The URL as it was sent, of what [`split_user_info`] made of it.
#[must_use]
pub fn join_user_info(masked: &str, user_info: &str) -> Zeroizing<String> {
    let joined = match place(masked) {
        Some(place) => [&masked[..place.start], user_info, &masked[place.end..]].concat(),
        None => masked.to_owned(),
    };
    Zeroizing::new(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn user_name_and_password_are_hidden_and_nothing_else_is() {
        for (text, shown) in [
            ("https://user:pass@example.com/x?y=z@w", "https://***@example.com/x?y=z@w"),
            ("https://token@example.com", "https://***@example.com"),
            ("https://:pass@example.com:8443/", "https://***@example.com:8443/"),
            ("https://a@b@example.com/", "https://***@example.com/"),
            ("https://example.com/a@b", "https://example.com/a@b"),
            ("https://example.com?a@b", "https://example.com?a@b"),
            ("https://example.com#a@b", "https://example.com#a@b"),
            ("https://@example.com/", "https://@example.com/"),
            ("https://:@example.com/", "https://:@example.com/"),
            ("mailto:a@b", "mailto:a@b"),
            ("", ""),
        ] {
            assert_eq!(masked(text), shown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_out_can_be_put_back(text in "(https?://)?[a-zé:@/?#.%*]{0,30}") {
            let (shown, user_info) = split_user_info(&text);
            let joined = user_info.map_or(shown.clone(), |user_info| join_user_info(&shown, &user_info).to_string());
            prop_assert_eq!(joined, text);
        }
    }
}
