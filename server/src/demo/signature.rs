//! A check of webhook signatures as a customer would write it from the specification (Standard Webhooks 1.0).
//!
//! It does not use the engine's signer, so that a mistake of the signer shows here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A signature older or newer than this is refused: 5 minutes.
const TOLERANCE_S: u64 = 300;

/// The signed parts of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    /// `webhook-id`.
    pub(super) id: &'a str,
    /// `webhook-timestamp`, in seconds since the epoch.
    pub(super) timestamp: &'a str,
    /// `webhook-signature`: `v1,<base64>`, more of them behind spaces.
    pub(super) signatures: &'a str,
    /// The body as it arrived.
    pub(super) body: &'a [u8],
}

/// The key of a secret's text, `whsec_` and base64; `None` if it is something else.
pub(super) fn key_of(secret: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.strip_prefix("whsec_")?).ok()
}

/// True when one of the signatures is right and the timestamp is fresh.
pub(super) fn is_valid(key: &[u8], signed: Signed<'_>, now_s: u64) -> bool {
    let fresh = signed.timestamp.parse::<u64>().is_ok_and(|at| at.abs_diff(now_s) <= TOLERANCE_S);
    fresh
        && signed
            .signatures
            .split(' ')
            .filter_map(|entry| entry.strip_prefix("v1,"))
            .any(|text| matches(key, signed, text))
}

fn matches(key: &[u8], signed: Signed<'_>, signature: &str) -> bool {
    let (Ok(mut mac), Ok(signature)) = (Hmac::<Sha256>::new_from_slice(key), STANDARD.decode(signature)) else {
        return false;
    };
    for part in [signed.id.as_bytes(), b".", signed.timestamp.as_bytes(), b".", signed.body] {
        mac.update(part);
    }
    mac.verify_slice(&signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries test with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const EXAMPLE: Signed<'_> = Signed {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: "1614265330",
        signatures: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        body: br#"{"test": 2432232314}"#,
    };
    const THEN_S: u64 = 1_614_265_330;

    #[test]
    fn the_example_of_the_specification_is_valid() {
        let key = key_of(SECRET).unwrap();
        assert!(is_valid(&key, EXAMPLE, THEN_S));
        let several = "v1a,bm90aGluZw== v1,bm90aGluZw== v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert!(is_valid(&key, Signed { signatures: several, ..EXAMPLE }, THEN_S));
    }

    #[test]
    fn anything_changed_is_not() {
        let key = key_of(SECRET).unwrap();
        assert!(!is_valid(&key, Signed { body: b"{}", ..EXAMPLE }, THEN_S));
        assert!(!is_valid(&key, Signed { id: "msg_other", ..EXAMPLE }, THEN_S));
        assert!(!is_valid(&key, Signed { signatures: "", ..EXAMPLE }, THEN_S));
        assert!(!is_valid(b"another key", EXAMPLE, THEN_S));
        assert!(!is_valid(&key, EXAMPLE, THEN_S + 301), "too old");
    }
}
