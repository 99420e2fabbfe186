//! An endpoint that is put in place again by an import: what it has already is not sealed anew, so that it counts as
//! unchanged. And the secrets of an endpoint in the clear, for an export that seals them for somebody.

use super::PutEndpoint;
use super::headers::{Headers, open_headers};
use super::secret::{SecretText, signing_secret};
use crate::error::Error;
use crate::seals::Seals;
use engine::dispatch::{join_user_info, split_user_info};
use engine::seal::SealPurpose;
use model::Endpoint;

/// The secrets of an endpoint in the clear.
pub struct EndpointSecrets {
    /// The signing secret, if it has one.
    pub secret: Option<SecretText>,
    /// The custom headers.
    pub headers: Headers,
    /// The URL with user name and password; none if it has neither.
    pub url: Option<SecretText>,
}

/// Opens the secrets of an endpoint.
///
/// # Errors
/// [`Error::Internal`] when one does not open.
pub fn open_secrets(seals: &Seals, row: &Endpoint) -> Result<EndpointSecrets, Error> {
    let secret = if row.secrets.is_empty() { None } else { Some(signing_secret(seals, row)?) };
    Ok(EndpointSecrets { secret, headers: open_headers(seals, row)?, url: whole_url(seals, row)? })
}

fn whole_url(seals: &Seals, row: &Endpoint) -> Result<Option<SecretText>, Error> {
    let Some(sealed) = &row.sealed_user_info else {
        // A row from before they were sealed has them in its URL.
        return Ok(split_user_info(&row.url).1.map(|_| row.url.clone().into()));
    };
    let plain = seals.open(row.target(), SealPurpose::UserInfo, sealed)?;
    let user_info = std::str::from_utf8(plain.expose()).map_err(|_| Error::Internal)?;
    Ok(Some(join_user_info(&row.url, user_info)))
}

impl PutEndpoint {
    /// Leaves out the secret, the headers and the URL that `old` has, so that they stay as they are.
    pub(crate) fn leave_out_what_is_there(&mut self, seals: &Seals, old: &Endpoint) -> Result<(), Error> {
        let there = open_secrets(seals, old)?;
        if self.secret == there.secret {
            self.secret = None;
        }
        if self.headers.as_ref() == Some(&there.headers) {
            self.headers = None;
        }
        if let (Some(url), Some(whole)) = (&mut self.fields.url, &there.url)
            && split_user_info(url) == split_user_info(whole)
        {
            old.url.clone_into(url);
        }
        Ok(())
    }
}
