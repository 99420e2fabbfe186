//! Signing, the last step: by the Standard Webhooks specification 1.0 (`v1`, HMAC-SHA256, and `v1a`, ed25519).
//!
//! ```text
//! signed text   id "." timestamp in seconds "." body
//! header        "v1," base64(HMAC-SHA256(key, text))   or   "v1a," base64(ed25519(key, text))
//! secrets       whsec_<base64 key>    whsk_<base64 ed25519 seed or seed + public key>    whpk_<base64 public key>
//!               raw:<text whose bytes are the key>, for receivers that know a plain text
//! ```
//! Several keys, as during a rotation, give several signatures in one header, separated by spaces.
//!
//! Receivers verify; nothing here does. Pure.

use crate::dispatch::Stamp;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::ed25519::signature::MultipartSigner;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Bytes of a symmetric key: the specification says 24 to 64; Svix, whose users move here, takes up to 75.
const SYMMETRIC_KEY_LEN: std::ops::RangeInclusive<usize> = 24..=75;
/// Bytes of a key that is a plain text: long enough that nobody finds it by trying texts against one signature.
const RAW_KEY_LEN: std::ops::RangeInclusive<usize> = 16..=120;
/// The longest text that is looked at: longer than any valid secret.
const SECRET_TEXT_LEN_MAX: usize = 128;
/// Bytes of a stamp with one signature, or with two symmetric ones as during a rotation; more of them make it grow.
const STAMP_LEN: usize = 160;
/// The prefix of a secret whose text is the key.
pub const RAW_PREFIX: &str = "raw:";
/// Random bytes of a secret that we generate: 192 bits, which base64 shows without padding.
pub const GENERATED_SECRET_LEN: usize = 24;

/// Secrets come from people and other systems: padding may be there or not.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The reason why a text is no signing secret. Shows nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// The text after the prefix is not standard base64, or far too long.
    #[error("a signing secret is `whsec_` or `whsk_` followed by base64, or `raw:` followed by a text")]
    NotBase64,
    /// A symmetric key of a forbidden length.
    #[error("a `whsec_` secret holds 24 to 75 bytes, this one {len}")]
    SymmetricLength {
        /// Its length in bytes.
        len: usize,
    },
    /// A text that is too short, too long, or not printable ASCII.
    #[error("a `raw:` secret is 16 to 120 characters of printable ASCII, without a space at either end")]
    RawText,
    /// An ed25519 key that is neither a seed nor a key pair.
    #[error("a `whsk_` secret holds a 32-byte seed or a 64-byte key pair, this one {len} bytes")]
    AsymmetricLength {
        /// Its length in bytes.
        len: usize,
    },
    /// An ed25519 key pair whose halves do not belong together.
    #[error("the public half of this `whsk_` secret does not belong to its private half")]
    KeyPairMismatch,
}

/// A key ready to sign. Built once per endpoint and secret, used for every message; hidden from `Debug`, cleared on
/// drop.
pub struct SigningKey(Kind);

enum Kind {
    /// The state after the key was hashed in. Cloning it saves two of the four or more SHA-256 blocks of a message.
    HmacSha256(Hmac<Sha256>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::HmacSha256(_) => "SigningKey(v1, hidden)",
            Kind::Ed25519(_) => "SigningKey(v1a, hidden)",
        })
    }
}

impl SigningKey {
    /// Reads a secret: `whsec_<base64>`, `whsk_<base64>`, `raw:<text>`, or bare base64, which means the same as `whsec_`.
    ///
    /// # Errors
    /// When it is none of these, or its key has a forbidden length.
    pub fn parse(text: &str) -> Result<SigningKey, SigningKeyError> {
        if text.len() > SECRET_TEXT_LEN_MAX {
            return Err(SigningKeyError::NotBase64);
        }
        if let Some(raw) = text.strip_prefix(RAW_PREFIX) {
            return SigningKey::raw(raw);
        }
        let decode =
            |base64: &str| FORGIVING.decode(base64).map(Zeroizing::new).map_err(|_| SigningKeyError::NotBase64);
        match text.strip_prefix("whsk_") {
            Some(base64) => SigningKey::ed25519(&decode(base64)?),
            None => SigningKey::hmac_sha256(&decode(text.strip_prefix("whsec_").unwrap_or(text))?),
        }
    }

    /// A key whose bytes are those of a text.
    fn raw(text: &str) -> Result<SigningKey, SigningKeyError> {
        let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !RAW_KEY_LEN.contains(&text.len()) || !printable || text.trim() != text {
            return Err(SigningKeyError::RawText);
        }
        // HMAC takes a key of any length.
        let state = Hmac::new_from_slice(text.as_bytes()).map_err(|_| SigningKeyError::RawText)?;
        Ok(SigningKey(Kind::HmacSha256(state)))
    }

    fn hmac_sha256(key: &[u8]) -> Result<SigningKey, SigningKeyError> {
        let wrong_length = SigningKeyError::SymmetricLength { len: key.len() };
        if !SYMMETRIC_KEY_LEN.contains(&key.len()) {
            return Err(wrong_length);
        }
        // HMAC takes a key of any length.
        Hmac::new_from_slice(key).map(|state| SigningKey(Kind::HmacSha256(state))).map_err(|_| wrong_length)
    }

    fn ed25519(key: &[u8]) -> Result<SigningKey, SigningKeyError> {
        if let Ok(seed) = key.try_into() {
            return Ok(SigningKey(Kind::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(seed)))));
        }
        let pair = key.try_into().map_err(|_| SigningKeyError::AsymmetricLength { len: key.len() })?;
        ed25519_dalek::SigningKey::from_keypair_bytes(pair)
            .map(|key| SigningKey(Kind::Ed25519(Box::new(key))))
            .map_err(|_| SigningKeyError::KeyPairMismatch)
    }

    /// The text that receivers verify `v1a` signatures with, `whpk_<base64>`. None for a symmetric key.
    #[must_use]
    pub fn public_key_text(&self) -> Option<String> {
        match &self.0 {
            Kind::HmacSha256(_) => None,
            Kind::Ed25519(key) => Some(format!("whpk_{}", STANDARD.encode(key.verifying_key().as_bytes()))),
        }
    }

    /// Appends the HMAC-SHA256 of `parts`, one behind the other, in lower-case hex. `false`, with nothing appended, for an
    /// ed25519 key.
    pub(super) fn append_hmac_hex(&self, parts: &[&[u8]], out: &mut String) -> bool {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let Kind::HmacSha256(state) = &self.0 else { return false };
        let mut mac = state.clone();
        parts.iter().for_each(|part| mac.update(part));
        for byte in mac.finalize().into_bytes() {
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        true
    }

    /// Signs one message. The body is read once (twice for ed25519) and never copied.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> Signature {
        debug_assert!(!id.contains('.'), "two different messages could share one signed text");
        let text = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        match &self.0 {
            Kind::HmacSha256(state) => {
                let mut mac = state.clone();
                text.iter().for_each(|part| mac.update(part));
                Signature::HmacSha256(mac.finalize().into_bytes().into())
            }
            Kind::Ed25519(key) => Signature::Ed25519(key.multipart_sign(&text).to_bytes()),
        }
    }
}

/// One signature of one message.
pub(super) enum Signature {
    HmacSha256([u8; 32]),
    Ed25519([u8; 64]),
}

impl Signature {
    /// Appends `v1,…` or `v1a,…`.
    pub(super) fn append_to(&self, out: &mut String) {
        let (version, bytes): (&str, &[u8]) = match self {
            Signature::HmacSha256(bytes) => ("v1,", bytes),
            Signature::Ed25519(bytes) => ("v1a,", bytes),
        };
        out.push_str(version);
        STANDARD.encode_string(bytes, out);
    }
}

/// Id, timestamp and signatures of a message, in the order of the keys. `id` appends the id, which must hold no `.`.
pub fn stamp<'a>(
    keys: impl Iterator<Item = &'a SigningKey>,
    id: impl FnOnce(&mut String),
    timestamp_s: u64,
    body: &[u8],
) -> Stamp {
    let mut text = String::with_capacity(STAMP_LEN);
    id(&mut text);
    let timestamp_at = text.len();
    text.push_str(itoa::Buffer::new().format(timestamp_s));
    let signature_at = text.len();
    for (index, key) in keys.enumerate() {
        let signature = key.sign(&text[..timestamp_at], &text[timestamp_at..signature_at], body);
        if index > 0 {
            text.push(' ');
        }
        signature.append_to(&mut text);
    }
    Stamp::new(text, timestamp_at, signature_at)
}

/// The text form of a new symmetric secret, `whsec_…`, from fresh random bytes.
#[must_use]
pub fn generate_secret(random: &[u8; GENERATED_SECRET_LEN]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(6 + 32));
    text.push_str("whsec_");
    STANDARD.encode_string(random, &mut text);
    text
}

/// The text form of a new secret for a receiver that knows a plain text: `raw:` and 64 hex digits, from 32 fresh random
/// bytes. The digits themselves are the key.
#[must_use]
pub fn generate_raw_secret(random: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(RAW_PREFIX.len() + 64));
    text.push_str(RAW_PREFIX);
    for byte in random {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
        }
    }
    text
}

/// The text form of a new ed25519 secret, `whsk_…` with seed and public key, from 32 fresh random bytes.
#[must_use]
pub fn generate_ed25519_secret(random: &[u8; 32]) -> Zeroizing<String> {
    let pair = Zeroizing::new(ed25519_dalek::SigningKey::from_bytes(random).to_keypair_bytes());
    let mut text = Zeroizing::new(String::with_capacity(5 + 88));
    text.push_str("whsk_");
    STANDARD.encode_string(pair.as_slice(), &mut text);
    text
}
