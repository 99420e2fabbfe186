//! Envelopes: bytes that only the holder of an X25519 private key can read. For secrets that leave this server.
//!
//! ```text
//! text: "x25519:" and base64 of | ephemeral public key: 32 bytes | ciphertext: as long as the plain bytes | tag: 16 bytes |
//! key:  SHA-256( domain | shared secret | ephemeral public key | recipient's public key )
//! ```
//! The exchange is X25519 (RFC 7748), the cipher AES-256-GCM. Each envelope has a private key of its own that is
//! forgotten, and so a key of its own: its nonce is zero. The label of an envelope is authenticated with it, so that
//! it does not open under another one. A public key of low order, whose shared secret anybody knows, is refused.

use super::{OpenError, SealError};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::montgomery::MontgomeryPoint;
use model::SecretBytes;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of a key, public or private.
pub const KEY_LEN: usize = 32;

/// Leads the text of an envelope.
const PREFIX: &str = "x25519:";
/// Separates this use of a shared secret from any other.
const DOMAIN: &[u8] = b"pinion.envelope.v1";
const NONCE: [u8; 12] = [0; 12];
const TAG_LEN: usize = 16;

/// A private key, cleared from memory when dropped.
pub type PrivateKey = Zeroizing<[u8; KEY_LEN]>;

/// A fresh private key.
///
/// # Errors
/// When the system has no random bytes.
pub fn new_private_key() -> Result<PrivateKey, SealError> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    getrandom::fill(key.as_mut()).map_err(|_| SealError::NoRandomness)?;
    Ok(key)
}

/// The public key of a private one.
#[must_use]
pub fn public_of(private: &PrivateKey) -> [u8; KEY_LEN] {
    MontgomeryPoint::mul_base_clamped(**private).to_bytes()
}

/// Seals `plain` for the holder of `recipient`'s private key.
///
/// # Errors
/// For a public key of low order, and when the system has no random bytes.
pub fn seal_for(recipient: &[u8; KEY_LEN], label: &str, plain: &[u8]) -> Result<String, SealError> {
    let ephemeral = new_private_key()?;
    let own = public_of(&ephemeral);
    let cipher = cipher(&ephemeral, recipient, (&own, recipient)).ok_or(SealError::Cipher)?;
    let sealed = cipher
        .encrypt(&Nonce::from(NONCE), Payload { msg: plain, aad: label.as_bytes() })
        .map_err(|_| SealError::Cipher)?;
    Ok(format!("{PREFIX}{}", STANDARD.encode([&own[..], &sealed].concat())))
}

/// Opens what [`seal_for`] sealed under the same label.
///
/// # Errors
/// For a text that is no envelope, and for one that was sealed for another key, under another label, or was changed.
pub fn open(private: &PrivateKey, label: &str, text: &str) -> Result<SecretBytes, OpenError> {
    let encoded = text.strip_prefix(PREFIX).ok_or(OpenError::NotAuthentic)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| OpenError::NotAuthentic)?;
    let len = bytes.len();
    let (ephemeral, sealed) = bytes.split_first_chunk::<KEY_LEN>().ok_or(OpenError::Length { len })?;
    if sealed.len() < TAG_LEN {
        return Err(OpenError::Length { len });
    }
    let own = public_of(private);
    let cipher = cipher(private, ephemeral, (ephemeral, &own)).ok_or(OpenError::NotAuthentic)?;
    cipher
        .decrypt(&Nonce::from(NONCE), Payload { msg: sealed, aad: label.as_bytes() })
        .map(SecretBytes::new)
        .map_err(|_| OpenError::NotAuthentic)
}

/// The cipher of an exchange; none if the other side's key is of low order.
fn cipher(
    private: &PrivateKey,
    other: &[u8; KEY_LEN],
    (ephemeral, recipient): (&[u8; KEY_LEN], &[u8; KEY_LEN]),
) -> Option<Aes256Gcm> {
    let shared = Zeroizing::new(MontgomeryPoint(*other).mul_clamped(**private).to_bytes());
    if *shared == [0; KEY_LEN] {
        return None;
    }
    let mut hash = Sha256::new();
    [DOMAIN, &shared[..], ephemeral, recipient].iter().for_each(|part| hash.update(part));
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(hash.finalize().into());
    Aes256Gcm::new_from_slice(&key[..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> PrivateKey {
        Zeroizing::new([byte; KEY_LEN])
    }

    #[test]
    fn public_keys_are_those_of_rfc_7748() {
        // Section 5.2, after one iteration: the scalar is the base point's coordinate.
        let mut nine = [0; KEY_LEN];
        nine[0] = 9;
        let expected = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
        assert_eq!(model::hex(&public_of(&Zeroizing::new(nine))), expected);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_with_its_key_and_label_and_with_nothing_else(
            plain in proptest::collection::vec(any::<u8>(), 0..200),
            flip in any::<proptest::sample::Index>(),
        ) {
            let sealed = seal_for(&public_of(&key(7)), "ep_1", &plain).unwrap();
            let opened = open(&key(7), "ep_1", &sealed).unwrap();
            prop_assert_eq!(opened.expose(), &plain[..]);
            prop_assert!(open(&key(8), "ep_1", &sealed).is_err());
            prop_assert!(open(&key(7), "ep_2", &sealed).is_err());
            let mut bytes = STANDARD.decode(&sealed[PREFIX.len()..]).unwrap();
            let at = flip.index(bytes.len());
            bytes[at] ^= 1;
            let changed = open(&key(7), "ep_1", &format!("{PREFIX}{}", STANDARD.encode(&bytes)));
            prop_assert!(changed.is_err());
        }
    }

    #[test]
    fn a_key_of_low_order_and_a_text_that_is_no_envelope_are_refused() {
        assert!(seal_for(&[0; KEY_LEN], "a", b"secret").is_err());
        let mut one = [0; KEY_LEN];
        one[0] = 1;
        assert!(seal_for(&one, "a", b"secret").is_err());
        for text in ["", "x25519:", "x25519:!", "x25519:AAAA", "rsa:AAAA"] {
            assert!(open(&key(1), "a", text).is_err(), "{text}");
        }
    }
}
