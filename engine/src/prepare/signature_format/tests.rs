//! Tests of forms of signatures, against vectors that other code computed.
//!
//! Expected digits come from Python 3.11: `hmac.new(key, text, hashlib.sha256).hexdigest()`. The first vector is the one
//! that GitHub's documentation of webhook signatures publishes.

use super::*;
use crate::prepare::check_headers;
use bytes::Bytes;
use model::{AppId, Seq};

const BODY: &[u8] = br#"{"test": 2432232314}"#;
const RAW: &str = "raw:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const WALL: UnixMs = UnixMs(1_614_265_330_250);

fn event(payload: &'static [u8]) -> Event {
    Event {
        app: AppId(1),
        seq: Seq(9),
        accepted_at: UnixMs(1_614_265_000_000),
        event_type: "invoice.paid".into(),
        event_id: None,
        channels: Vec::new(),
        only_for: None,
        more: None,
        payload: Bytes::from_static(payload),
    }
}

fn hex(scheme: SignatureScheme, timestamp_format: TimestampFormat) -> SignatureFormat {
    SignatureFormat {
        scheme,
        signature_header: Some("X-Hub-Signature-256".to_owned()),
        timestamp_header: Some("X-Acme-Timestamp".to_owned()),
        timestamp_format,
        prefix: "sha256=".to_owned(),
        ..SignatureFormat::standard()
    }
}

/// The further headers that one body gets with these keys.
fn headers(
    format: &SignatureFormat,
    keys: &[&str],
    body: &'static [u8],
) -> Result<Vec<(String, String)>, &'static str> {
    let keys: Vec<SigningKey> = keys.iter().map(|key| SigningKey::parse(key).unwrap()).collect();
    let stamp = Form::of(format, &HeaderMap::new()).unwrap().stamp(keys.iter(), &event(body), WALL, body)?;
    assert_eq!((stamp.id(), stamp.timestamp()), (&*event(body).message_id(), "1614265330"));
    assert_eq!(stamp.signature().is_empty(), format.scheme.is_hex());
    Ok(stamp.more().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect())
}

fn signature(format: &SignatureFormat, key: &str, body: &'static [u8]) -> String {
    let headers = headers(format, &[key], body).unwrap();
    headers.into_iter().find(|(name, _)| name == "x-hub-signature-256").unwrap().1
}

#[test]
fn the_vectors_of_other_implementations_are_met() {
    use SignatureScheme::{HexBody, HexTimeBody};
    use TimestampFormat::{Iso8601, UnixSeconds};
    for (scheme, time, key, body, digits) in [
        (
            HexBody,
            UnixSeconds,
            "raw:It's a Secret to Everybody",
            b"Hello, World!".as_slice(),
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        ),
        (HexBody, Iso8601, RAW, BODY, "a24c758d9c34b80424a28050ab8ab6609ef571a31db47b005fa973471aaa9d28"),
        (
            HexBody,
            UnixSeconds,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            BODY,
            "e2cb4f5251572539d458bfb8a7adb533b08801e6a794467e06f771debbb0818b",
        ),
        (HexTimeBody, UnixSeconds, RAW, BODY, "c9f57d6e1a42b0750fc227dfa66bc8cad4250ed836d236469b232584a07e7da9"),
        (HexTimeBody, Iso8601, RAW, BODY, "fc7884f6e4ac60b311004867fcf7b440727facf1bd353cd9abdf95049229e4c3"),
    ] {
        assert_eq!(signature(&hex(scheme, time), key, body), format!("sha256={digits}"), "{scheme:?} {time:?}");
    }
}

#[test]
fn headers_have_the_names_of_the_endpoint_and_the_values_of_the_message() {
    let format = SignatureFormat {
        prefix: "HMAC ".to_owned(),
        event_type_header: Some("X-Acme-Event".to_owned()),
        delivery_id_header: Some("X-Acme-Delivery".to_owned()),
        ..hex(SignatureScheme::HexTimeBody, TimestampFormat::Iso8601)
    };
    let id = event(BODY).message_id();
    let expected = [
        ("x-hub-signature-256", "HMAC fc7884f6e4ac60b311004867fcf7b440727facf1bd353cd9abdf95049229e4c3"),
        ("x-acme-timestamp", "2021-02-25T15:02:10.250Z"),
        ("x-acme-event", "invoice.paid"),
        ("x-acme-delivery", &id),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(headers(&format, &[RAW], BODY).unwrap(), expected);
    let standard = SignatureFormat { event_type_header: Some("X-Event".to_owned()), ..SignatureFormat::standard() };
    let expected = ("x-event".to_owned(), "invoice.paid".to_owned());
    assert_eq!(headers(&standard, &[RAW], BODY).unwrap(), [expected]);
}

#[test]
fn the_newest_key_signs_alone_and_an_ed25519_key_not_at_all() {
    let format = hex(SignatureScheme::HexBody, TimestampFormat::UnixSeconds);
    let old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    assert_eq!(headers(&format, &[RAW, old], BODY), headers(&format, &[RAW], BODY));
    assert_ne!(headers(&format, &[old, RAW], BODY), headers(&format, &[RAW], BODY));
    assert_eq!(headers(&format, &[], BODY), Err("there is no key to sign with"));
    let ed25519 = crate::prepare::generate_ed25519_secret(&[7; 32]);
    let why = headers(&format, &[&ed25519], BODY).unwrap_err();
    assert!(why.contains("ed25519"), "{why}");
}

#[test]
fn a_name_that_is_reserved_or_a_custom_headers_too_makes_no_form() {
    let custom = check_headers([("x-hub-signature-256", "forged")]).unwrap();
    let format = hex(SignatureScheme::HexBody, TimestampFormat::UnixSeconds);
    assert!(matches!(Form::of(&format, &custom), Err(HeaderError::Duplicate { .. })));
    for name in ["webhook-signature", "Svix-Id", "content-length", "Authorization", "cookie", "a b", "", "Webhook_Id"] {
        let format = SignatureFormat { event_type_header: Some(name.to_owned()), ..format.clone() };
        assert!(Form::of(&format, &HeaderMap::new()).is_err(), "{name}");
    }
}

#[test]
fn a_prefix_is_short_printable_text() {
    let long = "x".repeat(PREFIX_LEN_MAX + 1);
    for (text, is) in [("", true), ("sha256=", true), ("HMAC ", true), (" x", false), ("é", false), ("a\r\n", false)] {
        assert_eq!(is_prefix(text), is, "{text:?}");
    }
    assert!(!is_prefix(&long) && is_prefix(&long[1..]));
}
