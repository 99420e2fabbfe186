//! Bytes that must not be seen: cleared when dropped, never shown by `Debug`.
//!
//! No cryptography: sealing and opening is in `engine::seal`.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret in the clear. `Debug` shows only that there is one.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> SecretBytes {
        SecretBytes(bytes)
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(hidden)")
    }
}

/// A secret encrypted for the disk: nonce, ciphertext and tag in one. Its meaning is bound to its endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBytes(pub Vec<u8>);

impl fmt::Debug for SealedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedBytes({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_secret_nor_ciphertext() {
        let shown = format!("{:?} {:?}", SecretBytes::new(b"canary".to_vec()), SealedBytes(b"canary".to_vec()));
        assert!(!shown.contains("canary") && !shown.contains("99, 97"));
    }
}
