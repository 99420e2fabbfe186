//! Signatures of Standard Webhooks 1.0, written from the specification.
//!
//! `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. It does not use the engine's code, so that a
//! mistake in that shows here. The other scheme is that of older receivers: `sha256=` and HMAC-SHA256 of the body in
//! hex, in a header of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// A signature older or newer than this is refused: 5 minutes.
const TOLERANCE_S: u64 = 300;
/// Secrets in use; endpoints share them in turn, so that a million endpoints need no million keys here.
const SECRETS: usize = 1_024;
/// The header of a signature in hex.
pub(crate) const HEX_HEADER: &str = "x-loadtest-signature";
/// Bytes of the base64 of a signature.
const SIGNATURE_LEN: usize = 44;

/// The secrets of all endpoints, ready to verify.
#[derive(Debug)]
pub(crate) struct Keys {
    macs: Vec<Hmac<Sha256>>,
    scheme: Scheme,
}

/// How deliveries are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Standard Webhooks.
    Standard,
    /// In hex, over the body alone.
    HexBody,
}

/// The signed parts of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    /// `webhook-id`.
    pub(crate) id: &'a [u8],
    /// `webhook-timestamp`, in seconds since the epoch.
    pub(crate) timestamp: &'a [u8],
    /// `webhook-signature`; more than one behind spaces.
    pub(crate) signatures: &'a [u8],
    /// [`HEX_HEADER`].
    pub(crate) hex: &'a [u8],
    /// The body as it arrived.
    pub(crate) body: &'a [u8],
}

impl Keys {
    /// Derives the secrets; the same in every run.
    pub(crate) fn new(scheme: Scheme) -> Keys {
        Keys { macs: (0..SECRETS).map(|index| mac(&secret_bytes(index))).collect(), scheme }
    }

    /// The text of an endpoint's secret, as the API takes it.
    pub(crate) fn secret(endpoint: usize) -> String {
        format!("whsec_{}", STANDARD.encode(secret_bytes(endpoint % SECRETS)))
    }

    /// True when one of the signatures is right and the timestamp is fresh. A signature in hex has no timestamp.
    pub(super) fn is_valid(&self, endpoint: usize, signed: Signed<'_>, now_s: u64) -> bool {
        let keyed = &self.macs[endpoint % SECRETS];
        match self.scheme {
            Scheme::Standard => verify(keyed, signed, now_s),
            Scheme::HexBody => verify_hex(keyed, signed),
        }
    }
}

fn secret_bytes(index: usize) -> [u8; 32] {
    Sha256::digest(format!("loadtest {index}")).into()
}

/// Takes a key of any length.
fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

/// A signature, without `v1,`.
pub(crate) fn sign(endpoint: usize, id: &str, timestamp_s: u64, body: &[u8]) -> String {
    let mut mac = mac(&secret_bytes(endpoint % SECRETS));
    for part in [id.as_bytes(), b".", timestamp_s.to_string().as_bytes(), b".", body] {
        mac.update(part);
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

fn verify(keyed: &Hmac<Sha256>, signed: Signed<'_>, now_s: u64) -> bool {
    let timestamp = str::from_utf8(signed.timestamp).ok().and_then(|text| text.parse::<u64>().ok());
    if timestamp.is_none_or(|at| at.abs_diff(now_s) > TOLERANCE_S) {
        return false;
    }
    let mut mac = keyed.clone();
    for part in [signed.id, b".", signed.timestamp, b".", signed.body] {
        mac.update(part);
    }
    let mut expected = [0; SIGNATURE_LEN];
    if STANDARD.encode_slice(mac.finalize().into_bytes(), &mut expected).is_err() {
        return false;
    }
    let entries = signed.signatures.split(|byte| *byte == b' ');
    entries.filter_map(|entry| entry.strip_prefix(b"v1,")).any(|text| text == expected)
}

fn verify_hex(keyed: &Hmac<Sha256>, signed: Signed<'_>) -> bool {
    let mut mac = keyed.clone();
    mac.update(signed.body);
    let expected = mac.finalize().into_bytes();
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let digits = expected.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    signed.hex.strip_prefix(b"sha256=").is_some_and(|hex| digits.eq(hex.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries test with.
    const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const EXAMPLE: Signed<'_> = Signed {
        id: b"msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: b"1614265330",
        signatures: b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        hex: b"",
        body: br#"{"test": 2432232314}"#,
    };
    const THEN_S: u64 = 1_614_265_330;

    #[test]
    fn the_example_of_the_specification_is_valid() {
        let key = mac(&STANDARD.decode(SECRET).unwrap());
        assert!(verify(&key, EXAMPLE, THEN_S));
        let several = b"v1a,bm90aGluZw== v1,bm90aGluZw== v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert!(verify(&key, Signed { signatures: several, ..EXAMPLE }, THEN_S));
    }

    #[test]
    fn anything_changed_is_not() {
        let key = mac(&STANDARD.decode(SECRET).unwrap());
        assert!(!verify(&key, Signed { body: b"{}", ..EXAMPLE }, THEN_S));
        assert!(!verify(&key, Signed { id: b"msg_other", ..EXAMPLE }, THEN_S));
        assert!(!verify(&key, Signed { signatures: b"", ..EXAMPLE }, THEN_S));
        assert!(!verify(&mac(b"another key"), EXAMPLE, THEN_S));
        assert!(!verify(&key, EXAMPLE, THEN_S + 301), "too old");
    }

    #[test]
    fn what_is_signed_here_verifies_for_its_endpoint_only() {
        let signature = format!("v1,{}", sign(7, "id", 1_000, b"body"));
        let signed =
            Signed { id: b"id", timestamp: b"1000", signatures: signature.as_bytes(), hex: b"", body: b"body" };
        let keys = Keys::new(Scheme::Standard);
        assert!(keys.is_valid(7, signed, 1_000));
        assert!(!keys.is_valid(8, signed, 1_000));
    }

    /// The example of RFC 4231, test case 2.
    #[test]
    fn a_signature_in_hex_is_over_the_body() {
        let key = mac(b"Jefe");
        let hex = b"sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let signed = Signed { hex, body: b"what do ya want for nothing?", ..EXAMPLE };
        assert!(verify_hex(&key, signed));
        assert!(!verify_hex(&key, Signed { body: b"what do ya want", ..signed }));
        assert!(!verify_hex(&key, Signed { hex: &hex[..hex.len() - 1], ..signed }));
        assert!(!verify_hex(&key, Signed { hex: b"", ..signed }));
        assert!(!Keys::new(Scheme::HexBody).is_valid(0, signed, THEN_S), "another key");
    }
}
