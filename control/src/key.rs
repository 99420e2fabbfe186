//! The text of an API key, and the hash that is kept of it.
//!
//! # Text
//! ```text
//! pk_ | 58 characters of Crockford's base 32, lower case: 32 random bytes, then their CRC32C (4 bytes, big-endian)
//! ```
//! The checksum catches a key that was cut when pasted, and lets a scanner for leaked secrets tell a key from noise.
//! No dot ever appears: clients take the text behind a dot for the name of a region.
//!
//! A key carries 256 random bits, so one round of SHA-256 is enough to keep it: there is nothing to guess.
//! No lookup and no rights: those are in [`crate::query::key`].

use hmac::{Hmac, KeyInit, Mac};
use model::UnixMs;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The beginning of every key.
pub const KEY_PREFIX: &str = "pk_";
/// Crockford's base 32, lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Random bytes of a key.
const RANDOM_LEN: usize = 32;
/// Random bytes and their checksum.
const BYTES_LEN: usize = RANDOM_LEN + 4;
/// Characters of [`BYTES_LEN`] bytes at 5 bits each.
const DIGITS_LEN: usize = (BYTES_LEN * 8).div_ceil(5);
/// Characters of a key that are shown. 40 bits of 256 are given away: people tell their keys apart, nobody guesses the
/// rest.
const SHOWN_LEN: usize = KEY_PREFIX.len() + 8;

/// The SHA-256 of a key's text. It is stored in place of the key, and a caller's key is compared by it.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a caller's text. Any text has one: a root key may be of the operator's own making.
    #[must_use]
    pub fn of(text: &str) -> KeyHash {
        KeyHash(Sha256::digest(text.as_bytes()).into())
    }

    /// Takes a stored hash.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> KeyHash {
        KeyHash(bytes)
    }

    /// The bytes, to store.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// True if both are of the same text. The time of the comparison does not depend on the place where they differ.
    #[must_use]
    pub fn matches(&self, other: &KeyHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(hidden)")
    }
}

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct NoRandomness;

/// Makes a new key. It is cleared from memory when dropped.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate_key() -> Result<Zeroizing<String>, NoRandomness> {
    let mut random = Zeroizing::new([0; RANDOM_LEN]);
    getrandom::fill(random.as_mut()).map_err(|_| NoRandomness)?;
    Ok(key_from_random(&random))
}

/// The key that a request with an `Idempotency-Key` makes, the same each time it is asked for. It is the HMAC-SHA256 of
/// a random number and the request's key, under a hash of the root key, which is not stored. A reader of the store
/// knows the number and the request's key, and is no nearer to the key.
#[must_use]
pub fn derived_key(root: &KeyHash, number: u64, idempotency_key: &str) -> Zeroizing<String> {
    const DOMAIN: &[u8] = b"pinion.api-key";
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(&root.0).expect("a key of any length");
    mac.update(DOMAIN);
    mac.update(&number.to_be_bytes());
    mac.update(idempotency_key.as_bytes());
    let random = Zeroizing::new(<[u8; RANDOM_LEN]>::from(mac.finalize().into_bytes()));
    key_from_random(&random)
}

/// The key with these random bytes.
#[must_use]
pub fn key_from_random(random: &[u8; RANDOM_LEN]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; BYTES_LEN]);
    bytes[..RANDOM_LEN].copy_from_slice(random);
    bytes[RANDOM_LEN..].copy_from_slice(&crc32c::crc32c(random).to_be_bytes());
    let mut text = Zeroizing::new(String::with_capacity(KEY_PREFIX.len() + DIGITS_LEN));
    text.push_str(KEY_PREFIX);
    for digit in 0..DIGITS_LEN {
        text.push(char::from(ALPHABET[digit_at(bytes.as_slice(), digit)]));
    }
    text
}

/// The beginning of a key's text, which is kept to be shown.
#[must_use]
pub fn shown_prefix(text: &str) -> &str {
    text.get(..SHOWN_LEN).unwrap_or_default()
}

/// A use of a key is noted when the one that is noted is older, in milliseconds.
const NOTED_USE_MS: u64 = 60_000;

/// True if a use at `now` is to be noted in the key's row. A clock that was set back notes nothing until it is there
/// again.
#[must_use]
pub fn is_use_to_note(noted: Option<UnixMs>, now: UnixMs) -> bool {
    noted.is_none_or(|noted| now.since_ms(noted) >= NOTED_USE_MS)
}

/// True if [`generate_key`] could have made this text: prefix, length, letters and checksum are right.
#[must_use]
pub fn is_key(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(KEY_PREFIX).map(str::as_bytes) else { return false };
    if digits.len() != DIGITS_LEN {
        return false;
    }
    let mut bytes = Zeroizing::new([0u8; BYTES_LEN]);
    for (index, letter) in digits.iter().enumerate() {
        let Some(value) = ALPHABET.iter().position(|known| known == letter) else { return false };
        for bit in 0..5 {
            let position = index * 5 + bit;
            let is_set = value & (16 >> bit) != 0;
            if position < BYTES_LEN * 8 {
                bytes[position / 8] |= u8::from(is_set) << (7 - position % 8);
            } else if is_set {
                return false;
            }
        }
    }
    let (random, checksum) = bytes.split_at(RANDOM_LEN);
    checksum == crc32c::crc32c(random).to_be_bytes()
}

/// Five bits from `index * 5` on, most significant first; bits past the end are 0.
fn digit_at(bytes: &[u8], index: usize) -> usize {
    (0..5).fold(0, |value, bit| {
        let position = index * 5 + bit;
        let byte = bytes.get(position / 8).copied().unwrap_or(0);
        value << 1 | usize::from(byte >> (7 - position % 8) & 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_has_its_prefix_and_length_and_no_dot() {
        let key = generate_key().unwrap();
        assert_eq!(key.len(), 3 + 58);
        assert!(key.starts_with("pk_") && !key.contains('.'));
        assert!(is_key(&key));
        assert_ne!(*key, *generate_key().unwrap());
    }

    #[test]
    fn a_derived_key_is_one_of_its_root_number_and_request_and_of_no_other() {
        let root = KeyHash::of("pk_root");
        let key = derived_key(&root, 7, "auto_1");
        assert!(is_key(&key));
        assert_eq!(*key, *derived_key(&root, 7, "auto_1"));
        for other in [
            derived_key(&root, 8, "auto_1"),
            derived_key(&root, 7, "auto_2"),
            derived_key(&KeyHash::of("pk_other"), 7, "auto_1"),
        ] {
            assert_ne!(*key, *other);
        }
    }

    #[test]
    fn a_use_is_noted_once_a_minute() {
        assert!(is_use_to_note(None, UnixMs(5)));
        let noted = Some(UnixMs(1_000));
        let table = [(500, false), (1_000, false), (60_999, false), (61_000, true)];
        table.iter().for_each(|(now, due)| assert_eq!(is_use_to_note(noted, UnixMs(*now)), *due, "{now}"));
    }

    #[test]
    fn hashes_match_only_for_the_same_text_and_are_not_shown() {
        let hash = KeyHash::of("pk_canary");
        assert!(hash.matches(&KeyHash::of("pk_canary")));
        assert!(!hash.matches(&KeyHash::of("pk_canary2")));
        assert_eq!(format!("{hash:?}"), "KeyHash(hidden)");
    }

    proptest! {
        #[test]
        fn one_changed_letter_is_noticed(random: [u8; 32], at in 3usize..61, letter in 0usize..32) {
            let key = key_from_random(&random);
            prop_assert!(is_key(&key));
            let mut changed = key.as_bytes().to_vec();
            let same = changed[at] == ALPHABET[letter];
            changed[at] = ALPHABET[letter];
            prop_assert_eq!(is_key(std::str::from_utf8(&changed).unwrap()), same);
        }

        #[test]
        fn no_text_panics(text in "(pk_)?.{0,70}") {
            // Almost no text of the right shape has the right checksum.
            prop_assert!(!is_key(&text));
        }
    }
}
