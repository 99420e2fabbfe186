//! Sealing: how an endpoint's secrets lie on the disk, AES-256-GCM (NIST SP 800-38D) under one master key.
//!
//! # Layout of sealed bytes
//! ```text
//! | version: 1 byte = 1 | nonce: 12 bytes, random | ciphertext: as long as the plain bytes | tag: 16 bytes |
//! ```
//! The context of the bytes (application, endpoint, purpose) and the version are authenticated with them but not
//! stored: bytes moved to another row do not open there.
//!
//! The nonce is drawn here and is not a parameter, unlike other randomness in this crate: a nonce used twice under one
//! key gives the key's authentication away, so no caller gets the chance. Random 96-bit nonces bound one key to 2^32
//! sealings (SP 800-38D, 8.3); secrets change at human speed, so that is not counted.
//!
//! Not key management: where the master key comes from, and changing it, is for the binary.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{AppId, EndpointId, SealedBytes, SecretBytes};
use std::fmt;
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

mod audit_key;
pub mod envelope;
#[cfg(test)]
mod tests;

pub use audit_key::{AuditKey, PUBLIC_KEY_LEN, is_signed};

/// The only layout so far. A second one gets the next number; this one stays readable.
const VERSION: u8 = 1;
/// Bytes of a nonce.
const NONCE_LEN: usize = 12;
/// Bytes of an authentication tag.
const TAG_LEN: usize = 16;
/// The most that is sealed at once: larger than any secret or header set, small enough to bound every row.
pub const PLAIN_LEN_MAX: usize = 64 * 1024;
/// Bytes of a master key.
pub const MASTER_KEY_LEN: usize = 32;
/// Separates this use of the key from any later one.
const DOMAIN: &[u8] = b"pinion.seal";

/// The purpose of sealed bytes. Authenticated with them: never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SealPurpose {
    /// The text of a signing secret.
    SigningSecret = 1,
    /// The custom headers of an endpoint.
    Headers = 2,
    /// User name and password of an endpoint's URL.
    UserInfo = 3,
}

/// The context of sealed bytes. They open with exactly this, and with nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealContext {
    /// The application.
    pub app: AppId,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// The purpose of the bytes.
    pub purpose: SealPurpose,
}

impl SealContext {
    /// The authenticated data: every field at a fixed length, so that no two contexts share their bytes.
    fn to_bytes(self) -> [u8; DOMAIN.len() + 10] {
        let mut bytes = [0; DOMAIN.len() + 10];
        let (domain, fields) = bytes.split_at_mut(DOMAIN.len());
        domain.copy_from_slice(DOMAIN);
        fields[0] = VERSION;
        fields[1..5].copy_from_slice(&self.app.0.to_be_bytes());
        fields[5..9].copy_from_slice(&self.endpoint.0.to_be_bytes());
        fields[9] = self.purpose as u8;
        bytes
    }
}

/// Why bytes could not be sealed. Says nothing of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Longer than [`PLAIN_LEN_MAX`].
    #[error("{len} bytes are too many to seal; the limit is {PLAIN_LEN_MAX}")]
    TooLong {
        /// Their number.
        len: usize,
    },
    /// The system gave no random bytes for a nonce.
    #[error("the system gave no random bytes")]
    NoRandomness,
    /// The cipher refused: does not happen below [`PLAIN_LEN_MAX`].
    #[error("the cipher refused")]
    Cipher,
}

/// Why sealed bytes did not open. Says nothing of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than an empty secret, or longer than the longest.
    #[error("{len} bytes cannot be a sealed secret")]
    Length {
        /// Their number.
        len: usize,
    },
    /// Written by a layout that this build does not know.
    #[error("sealed with the unknown layout version {version}")]
    UnknownVersion {
        /// The version byte.
        version: u8,
    },
    /// Changed, moved from another place, or sealed under another master key.
    #[error("the sealed secret is not authentic: it was changed or moved, or the master key is another one")]
    NotAuthentic,
}

/// Why a text is no master key. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 32 bytes in base64")]
pub struct MasterKeyError;

/// The bytes of a master key's text form: 32 of them in standard base64, white space around it ignored.
///
/// # Errors
/// When it is anything else.
pub fn decode_key(text: &str) -> Result<Zeroizing<[u8; MASTER_KEY_LEN]>, MasterKeyError> {
    let decoded = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| MasterKeyError)?);
    let bytes: [u8; MASTER_KEY_LEN] = decoded.as_slice().try_into().map_err(|_| MasterKeyError)?;
    Ok(Zeroizing::new(bytes))
}

/// The key over every secret of a data directory. Cleared when dropped, hidden from `Debug`.
pub struct MasterKey {
    /// Holds the expanded key, which the cipher crates clear on drop (feature `zeroize`); the key itself is not kept.
    cipher: Aes256Gcm,
    audit: Arc<AuditKey>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(hidden)")
    }
}

impl MasterKey {
    /// Takes the key over; clears the argument's bytes.
    #[must_use]
    pub fn new(mut bytes: [u8; MASTER_KEY_LEN]) -> MasterKey {
        let cipher = Aes256Gcm::new((&bytes).into());
        let audit = Arc::new(AuditKey::of(&bytes));
        bytes.zeroize();
        MasterKey { cipher, audit }
    }

    /// Reads the text form: 32 bytes in standard base64, white space around it ignored.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_base64(text: &str) -> Result<MasterKey, MasterKeyError> {
        Ok(MasterKey::new(*decode_key(text)?))
    }

    /// The key that signs the audit log.
    #[must_use]
    pub fn audit_key(&self) -> &Arc<AuditKey> {
        &self.audit
    }

    /// Encrypts `plain` for one place. Twice the same bytes give two different results.
    ///
    /// # Errors
    /// When `plain` is too long or the system has no random bytes.
    pub fn seal(&self, plain: &[u8], context: SealContext) -> Result<SealedBytes, SealError> {
        if plain.len() > PLAIN_LEN_MAX {
            return Err(SealError::TooLong { len: plain.len() });
        }
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let aad = context.to_bytes();
        let sealed = self
            .cipher
            .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: &aad })
            .map_err(|_| SealError::Cipher)?;

        let mut bytes = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(SealedBytes(bytes))
    }

    /// Decrypts what [`MasterKey::seal`] wrote for the same place.
    ///
    /// # Errors
    /// When the bytes are of no known layout, or not authentic for `context` under this key.
    pub fn open(&self, sealed: &SealedBytes, context: SealContext) -> Result<SecretBytes, OpenError> {
        let len = sealed.0.len();
        if !(1 + NONCE_LEN + TAG_LEN..=1 + NONCE_LEN + TAG_LEN + PLAIN_LEN_MAX).contains(&len) {
            return Err(OpenError::Length { len });
        }
        let (version, rest) = (sealed.0[0], &sealed.0[1..]);
        if version != VERSION {
            return Err(OpenError::UnknownVersion { version });
        }
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(OpenError::Length { len })?;
        let aad = context.to_bytes();
        self.cipher
            .decrypt(&Nonce::from(*nonce), Payload { msg: ciphertext, aad: &aad })
            .map(SecretBytes::new)
            .map_err(|_| OpenError::NotAuthentic)
    }
}
