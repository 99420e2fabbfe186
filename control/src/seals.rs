//! Encryption of an endpoint's secrets: signing secrets, custom headers, user names and passwords of URLs.
//!
//! A sealed text is bound to the number of its endpoint, which a new one gets in the transaction that stores it. So
//! commands seal when they are applied, and a secret in the clear lives no longer than its command.

use crate::error::Error;
use engine::seal::{MasterKey, SealContext, SealPurpose};
use model::{EndpointRef, SealedBytes, SecretBytes};
use std::sync::Arc;

/// The key that seals; none for an editor of a data directory, whose commands seal nothing.
#[derive(Clone, Debug)]
pub struct Seals(Option<Arc<MasterKey>>);

impl Seals {
    /// With the master key.
    #[must_use]
    pub fn new(master: Arc<MasterKey>) -> Seals {
        Seals(Some(master))
    }

    /// For commands that seal nothing.
    #[must_use]
    pub fn none() -> Seals {
        Seals(None)
    }

    /// Encrypts for the disk.
    ///
    /// # Errors
    /// [`Error::Internal`] for a text that is too long, without a key, and when the system gives no random bytes.
    pub fn seal(&self, target: EndpointRef, purpose: SealPurpose, plain: &[u8]) -> Result<SealedBytes, Error> {
        self.key()?.seal(plain, context(target, purpose)).map_err(|error| {
            tracing::error!(%error, "a secret could not be sealed");
            Error::Internal
        })
    }

    /// Decrypts a sealed text from the disk.
    ///
    /// # Errors
    /// [`Error::Internal`] for a text that was sealed elsewhere or with another key.
    pub fn open(&self, target: EndpointRef, purpose: SealPurpose, sealed: &SealedBytes) -> Result<SecretBytes, Error> {
        self.key()?.open(sealed, context(target, purpose)).map_err(|error| {
            tracing::error!(%error, "a secret did not open");
            Error::Internal
        })
    }

    fn key(&self) -> Result<&MasterKey, Error> {
        self.0.as_deref().ok_or_else(|| {
            tracing::error!("a command seals, and there is no master key");
            Error::Internal
        })
    }
}

fn context(target: EndpointRef, purpose: SealPurpose) -> SealContext {
    SealContext { app: target.app, endpoint: target.endpoint, purpose }
}
