//! Tests of what a request is made of, and of what a tenant cannot put into it.

use super::*;
use crate::dispatch::guard::Guard;
use crate::dispatch::url::check_url;
use model::{AppId, EventMore, Seq};
use proptest::prelude::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn event() -> Event {
    Event {
        app: AppId(7),
        seq: Seq(9),
        accepted_at: UnixMs(1_700_000_000_000),
        event_type: "invoice.paid".into(),
        event_id: None,
        channels: vec![],
        only_for: None,
        more: None,
        payload: Bytes::from_static(b"{\"a\":1}"),
    }
}

fn target(url: &str, custom: &[(&str, &str)]) -> Result<Target, BuildTargetError> {
    let url = check_url(url, &Guard::default()).unwrap();
    Target::new(&url, custom.iter().copied(), vec![SigningKey::parse(SECRET).unwrap()], SignatureHeaders::Both)
}

/// Over either version of HTTP the receiver gets the names that were asked for, all with the same values, and no others.
#[test]
fn id_timestamp_and_signature_come_under_the_names_that_were_asked_for() {
    for (names, families) in [
        (SignatureHeaders::Webhook, ["webhook"].as_slice()),
        (SignatureHeaders::Svix, &["svix"]),
        (SignatureHeaders::Both, &["webhook", "svix"]),
    ] {
        let url = check_url("https://example.com/", &Guard::default()).unwrap();
        let keys = || vec![SigningKey::parse(SECRET).unwrap(), SigningKey::parse(SECRET).unwrap()];
        let target = Target::new(&url, [], keys(), names).unwrap();
        let (event, now) = (event(), UnixMs(1_700_000_123_456));
        let signature = sign::sign(&keys(), &event.message_id(), 1_700_000_123, &event.payload);
        let expected: Vec<(String, String)> = families
            .iter()
            .flat_map(|family| {
                let id = (format!("{family}-id"), event.message_id());
                let timestamp = (format!("{family}-timestamp"), "1700000123".to_owned());
                [id, timestamp, (format!("{family}-signature"), signature.clone())]
            })
            .collect();
        let is_ours = |name: &str| name.starts_with("webhook-") || name.starts_with("svix-");
        let mut head = String::new();
        write_head(&target, &event, now, &mut head);
        let lines = head.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| is_ours(name));
        assert_eq!(lines.map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>(), expected);
        let request = build(&target, &event, now);
        let headers = request.headers().iter().filter(|(name, _)| is_ours(name.as_str()));
        let mut headers: Vec<_> =
            headers.map(|(n, v)| (n.as_str().to_owned(), v.to_str().unwrap().to_owned())).collect();
        let mut sorted = expected;
        headers.sort();
        sorted.sort();
        assert_eq!(headers, sorted);
    }
}

#[test]
fn a_request_carries_id_timestamp_signature_and_the_payload_itself() {
    let target = target("https://u:p@example.com/hook?x=1", &[("X-Tenant", "42")]).unwrap();
    let (event, now) = (event(), UnixMs(1_700_000_123_456));
    let request = build(&target, &event, now);
    assert_eq!((request.method(), request.uri().to_string()), (&Method::POST, "https://example.com/hook?x=1".into()));

    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    let keys = [SigningKey::parse(SECRET).unwrap()];
    assert_eq!(header("webhook-id"), event.message_id());
    assert_eq!(header("webhook-timestamp"), "1700000123");
    assert_eq!(header("webhook-signature"), sign::sign(&keys, &event.message_id(), 1_700_000_123, &event.payload));
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("user-agent"), format!("Pinion/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(header("authorization"), "Basic dTpw");
    assert_eq!(header("x-tenant"), "42");
    assert!(!request.headers().contains_key("accept-encoding"));
    assert!(!format!("{target:?}").contains("dTpw"));
}

#[test]
fn a_payload_of_another_type_goes_out_as_that_and_the_rest_is_as_ever() {
    let target = target("https://example.com/hook", &[("X-Tenant", "content-type: application/json")]).unwrap();
    let (plain, now) = (event(), UnixMs(1_700_000_123_456));
    let more = EventMore { content_type: Some("application/xml; charset=utf-8".to_owned()), ..EventMore::default() };
    let xml = Event { more: Some(more.into()), payload: Bytes::from_static(b"<a/>"), ..event() };
    let request = build(&target, &xml, now);
    assert_eq!(request.headers()["content-type"], "application/xml; charset=utf-8");
    let keys = [SigningKey::parse(SECRET).unwrap()];
    let signature = sign::sign(&keys, &xml.message_id(), 1_700_000_123, b"<a/>");
    assert_eq!(request.headers()["webhook-signature"], signature);
    let head = |event: &Event| {
        let mut head = String::new();
        write_head(&target, event, now, &mut head);
        head
    };
    let lines = |head: &str| head.split("\r\n").map(str::to_owned).collect::<Vec<_>>();
    let (plain, xml) = (lines(&head(&plain)), lines(&head(&xml)));
    let differ: Vec<_> =
        plain.iter().zip(&xml).filter(|(one, other)| one != other).map(|(_, other)| &other[..]).collect();
    assert_eq!(differ[0], "content-type: application/xml; charset=utf-8");
    assert!(differ[1].starts_with("webhook-signature: ") && differ[2].starts_with("svix-signature: "), "{differ:?}");
    assert_eq!((plain.len(), &differ[3..]), (xml.len(), &["content-length: 4"][..]));
}

/// Both versions of HTTP carry the same, in whatever order.
#[test]
fn the_head_on_the_wire_says_what_the_request_says() {
    let target =
        target("https://u:p@example.com:8443/hook?x=1", &[("X-Tenant", "42"), ("Accept", "text/plain")]).unwrap();
    let (event, now) = (event(), UnixMs(1_700_000_123_456));
    let mut head = String::new();
    write_head(&target, &event, now, &mut head);
    let (start, rest) = head.strip_suffix("\r\n\r\n").unwrap().split_once("\r\n").unwrap();
    assert_eq!(start, "POST /hook?x=1 HTTP/1.1");
    let mut lines: Vec<(&str, &str)> = rest.split("\r\n").map(|line| line.split_once(": ").unwrap()).collect();
    let built = build(&target, &event, now);
    let header =
        |(name, value): (&'_ HeaderName, &'_ HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    let mut expected: Vec<(String, String)> = built.headers().iter().map(header).collect();
    expected.push(("host".to_owned(), "example.com:8443".to_owned()));
    expected.push(("content-length".to_owned(), event.payload.len().to_string()));
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>());
    assert!(!format!("{target:?}").contains("42"));
}

#[test]
fn a_custom_authorization_goes_before_the_urls() {
    let target = target("https://u:p@example.com/", &[("Authorization", "Bearer x")]).unwrap();
    let request = build(&target, &event(), UnixMs(0));
    let values: Vec<_> = request.headers().get_all("authorization").iter().collect();
    assert_eq!(values, ["Bearer x"]);
}

#[test]
fn reserved_repeated_and_malformed_headers_are_refused() {
    for name in ["Host", "content-LENGTH", "Transfer-Encoding", "Connection", "Webhook-Id", "svix-anything", "Expect"] {
        assert!(matches!(check_headers([(name, "x")]), Err(HeaderError::Reserved { .. })), "{name}");
    }
    for name in
        ["webhook_id", "WebHook_Signature", "content_length", "Content.Type", "svix_x", "user!agent", "keep_alive"]
    {
        assert!(matches!(check_headers([(name, "x")]), Err(HeaderError::Reserved { .. })), "{name} folds into ours");
    }
    assert!(check_headers([("x_host", "x"), ("my.webhook_id", "x")]).is_ok());
    assert!(matches!(check_headers([("X-A", "1"), ("x-a", "2")]), Err(HeaderError::Duplicate { .. })));
    for name in ["", " x", "x y", "x:", ":path", "x\r\ny", "é"] {
        assert!(matches!(check_headers([(name, "x")]), Err(HeaderError::Name { .. })), "{name:?}");
    }
    for value in ["a\r\nb", "a\nb", "a\0b", " a", "a ", "é", "\x7f"] {
        assert_eq!(check_headers([("x-a", value)]), Err(HeaderError::Value { name: "x-a".into() }), "{value:?}");
    }
    let names: Vec<String> = (0..=HEADER_COUNT_MAX).map(|index| format!("x-{index}")).collect();
    assert_eq!(check_headers(names.iter().map(|name| (name.as_str(), ""))), Err(HeaderError::TooMany));
    assert_eq!(check_headers([("x", "v".repeat(HEADERS_LEN_MAX).as_str())]), Err(HeaderError::TooLong));
}

#[test]
fn a_stored_header_that_folds_into_ours_is_left_out_and_the_rest_is_sent() {
    let target = target("https://example.com/", &[("webhook_id", "forged"), ("x-a", "1")]).unwrap();
    let request = build(&target, &event(), UnixMs(0));
    assert!(request.headers().get("webhook_id").is_none() && request.headers()["x-a"] == "1");
}

#[test]
fn nothing_is_sent_unsigned() {
    let url = check_url("https://example.com/", &Guard::default()).unwrap();
    assert_eq!(Target::new(&url, [], vec![], SignatureHeaders::Both).unwrap_err(), BuildTargetError::NoKey);
}

/// Names near ours and plain noise.
fn any_name() -> impl Strategy<Value = String> {
    let ours = prop::sample::select(
        [RESERVED_NAMES.as_slice(), &["webhook-id", "webhook-signature", "webhook-timestamp", "svix-id"]].concat(),
    );
    let decorated = (ours, "[ \t\r\n:A-Za-z-]{0,2}", "[ \t\r\n:A-Za-z-]{0,2}", any::<bool>()).prop_map(
        |(name, before, after, upper)| {
            let name = format!("{before}{name}{after}");
            if upper { name.to_ascii_uppercase() } else { name }
        },
    );
    prop_oneof![decorated, "[ -~]{0,12}", "\\PC{0,6}"]
}

proptest! {
    #[test]
    fn no_custom_header_adds_splits_or_overrides_one_of_ours(
        custom in prop::collection::vec((any_name(), prop_oneof!["[ -~]{0,20}", "\\PC{0,6}", "a\r\n[a-z]{1,9}: b"]), 0..4),
    ) {
        let custom: Vec<(&str, &str)> = custom.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let plain = build(&target("https://example.com/", &[]).unwrap(), &event(), UnixMs(5_000));
        if let Ok(target) = target("https://example.com/", &custom) {
            let request = build(&target, &event(), UnixMs(5_000));
            for (name, value) in plain.headers() {
                if name == ACCEPT {
                    continue; // theirs to change
                }
                let values: Vec<_> = request.headers().get_all(name).iter().collect();
                prop_assert_eq!(values, [value]);
            }
            for (name, value) in request.headers() {
                let ours = plain.headers().contains_key(name);
                prop_assert!(ours || !is_reserved(name.as_str()));
                prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
            prop_assert!(!request.headers().contains_key("host") && !request.headers().contains_key("content-length"));
        }
    }
}
