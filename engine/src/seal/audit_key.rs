//! The key that signs the audit log: Ed25519 (RFC 8032), its seed derived from the master key.
//!
//! The seed is HMAC-SHA256 (RFC 2104) of a fixed text under the master key, so nothing more has to be kept. Whoever has the
//! public key checks a log without being able to write one.

use super::MASTER_KEY_LEN;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use model::audit::SIGNATURE_LEN;
use sha2::Sha256;
use std::fmt;
use storage::tables::audit::Sign;
use zeroize::Zeroizing;

/// Separates this use of the master key from all others.
const DOMAIN: &[u8] = b"pinion.audit.signing-key.1";

/// Bytes of a public key.
pub const PUBLIC_KEY_LEN: usize = 32;

/// Signs records of the audit log. Cleared when dropped, hidden from `Debug`.
pub struct AuditKey(SigningKey);

impl AuditKey {
    /// The key that belongs to a master key.
    pub(super) fn of(master: &[u8; MASTER_KEY_LEN]) -> AuditKey {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(master).expect("a key of any length");
        mac.update(DOMAIN);
        let seed = Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()));
        AuditKey(SigningKey::from_bytes(&seed))
    }

    /// The key by which others check a log.
    #[must_use]
    pub fn public(&self) -> [u8; PUBLIC_KEY_LEN] {
        self.0.verifying_key().to_bytes()
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(hidden)")
    }
}

impl Sign for AuditKey {
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).to_bytes()
    }
}

/// True if a signature of a message was made by the holder of this public key's secret half.
#[must_use]
pub fn is_signed(public: &[u8; PUBLIC_KEY_LEN], message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
    let key = VerifyingKey::from_bytes(public);
    key.is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_message_and_one_master_key() {
        let (key, other) = (AuditKey::of(&[1; 32]), AuditKey::of(&[2; 32]));
        let signature = key.sign(b"message");
        assert!(is_signed(&key.public(), b"message", &signature));
        assert!(!is_signed(&key.public(), b"messagE", &signature));
        assert!(!is_signed(&other.public(), b"message", &signature));
        assert_eq!(AuditKey::of(&[1; 32]).public(), key.public());
        assert_eq!(format!("{key:?}"), "AuditKey(hidden)");
    }
}
