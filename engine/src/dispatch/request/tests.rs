//! Tests of a request as both versions of HTTP write it.

use super::*;
use crate::dispatch::guard::Guard;
use crate::dispatch::url::check_url;
use crate::dispatch::{SignatureHeaders, Target};
use http::{HeaderMap, HeaderName};

const LINE: &str = "content-type: application/json";

/// A request to `url` whose target has these headers besides the content type.
fn request(url: &str, custom: &[(&'static str, &'static str)], names: SignatureHeaders) -> AttemptRequest {
    let url = check_url(url, &Guard::default()).unwrap();
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    for (name, value) in custom {
        let mut value = HeaderValue::from_static(value);
        value.set_sensitive(true);
        headers.insert(*name, value);
    }
    AttemptRequest {
        app: AppId(7),
        target: Arc::new(Target::new(&url, headers, names, None).unwrap()),
        stamp: Stamp::new("msg_11700000123v1,abc v1a,def".to_owned(), 5, 15),
        content_type: None,
        body: Bytes::from_static(b"{\"a\":1}"),
        timeout_ms: 1_000,
    }
}

fn head(request: &AttemptRequest) -> String {
    let mut head = String::new();
    write_head(request, &mut head);
    head
}

fn lines(head: &str) -> Vec<(&str, &str)> {
    head.lines().filter_map(|line| line.split_once(": ")).collect()
}

/// Over either version of HTTP the receiver gets the names that were asked for, all with the same values, and no
/// others.
#[test]
fn id_timestamp_and_signature_come_under_the_names_that_were_asked_for() {
    for (names, families) in [
        (SignatureHeaders::Webhook, ["webhook"].as_slice()),
        (SignatureHeaders::Svix, &["svix"]),
        (SignatureHeaders::Both, &["webhook", "svix"]),
    ] {
        let request = request("https://example.com/", &[], names);
        let mut expected: Vec<(String, &str)> = Vec::new();
        for family in families {
            for (name, value) in [("id", "msg_1"), ("timestamp", "1700000123"), ("signature", "v1,abc v1a,def")] {
                expected.push((format!("{family}-{name}"), value));
            }
        }
        let is_ours = |name: &str| name.starts_with("webhook-") || name.starts_with("svix-");
        let head = head(&request);
        let written = lines(&head).into_iter().filter(|(name, _)| is_ours(name));
        assert_eq!(written.map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>(), expected);
        let built = build(&request);
        let headers = built.headers().iter().filter(|(name, _)| is_ours(name.as_str()));
        let mut headers: Vec<_> = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap())).collect();
        headers.sort();
        expected.sort();
        assert_eq!(headers, expected);
    }
}

/// An endpoint with a form of its own: the same over either version of HTTP, and one signature.
#[test]
fn headers_of_a_form_come_beside_id_and_time_and_without_a_signature_of_ours() {
    let plain = request("https://example.com/", &[("x-tenant", "42")], SignatureHeaders::Both);
    let url = check_url("https://example.com/", &Guard::default()).unwrap();
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let target = Target::new(&url, headers, SignatureHeaders::Both, None).unwrap().without_signature();
    let (signature, event) = (HeaderName::from_static("x-sig"), HeaderName::from_static("x-event"));
    let stamp = Stamp::new("msg_11700000123".to_owned(), 5, 15)
        .with_header(Some(&signature), "sha256=00ff")
        .with_header(None, "nowhere")
        .with_header(Some(&event), "a.b");
    let own = AttemptRequest { target: Arc::new(target), stamp, ..plain };
    let expected = [
        ("svix-id", "msg_1"),
        ("svix-timestamp", "1700000123"),
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1700000123"),
        ("x-event", "a.b"),
        ("x-sig", "sha256=00ff"),
    ];
    let is_of_it = |name: &str| ["svix-", "webhook-", "x-"].iter().any(|prefix| name.starts_with(prefix));
    let head = head(&own);
    let mut written: Vec<_> = lines(&head).into_iter().filter(|(name, _)| is_of_it(name)).collect();
    written.sort_unstable();
    assert_eq!(written, expected);
    let built = build(&own);
    let mut headers: Vec<_> =
        built.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    headers.retain(|(name, _)| is_of_it(name));
    headers.sort_unstable();
    assert_eq!(headers, expected);
}

#[test]
fn a_payload_of_another_type_goes_out_as_that_and_the_rest_is_as_ever() {
    let plain = request("https://example.com/hook", &[("x-tenant", LINE)], SignatureHeaders::Both);
    for content_type in ["application/xml; charset=utf-8", "text/x-é"] {
        let other = AttemptRequest { content_type: Some(content_type.try_into().unwrap()), ..plain.clone() };
        assert_eq!(build(&other).headers()["content-type"].as_bytes(), content_type.as_bytes());
        let (plain, other) = (head(&plain), head(&other));
        let (plain, other) = (lines(&plain), lines(&other));
        let differ: Vec<_> = plain.iter().zip(&other).filter(|(one, other)| one != other).map(|(_, it)| *it).collect();
        assert_eq!((plain.len(), differ), (other.len(), vec![("content-type", content_type)]));
    }
}

/// Both versions of HTTP carry the same, in whatever order.
#[test]
fn the_head_on_the_wire_says_what_the_request_says() {
    let url = "https://u:p@example.com:8443/hook?x=1";
    let request = request(url, &[("x-tenant", "42"), ("accept", "text/plain")], SignatureHeaders::Both);
    let head = head(&request);
    let (start, rest) = head.strip_suffix("\r\n\r\n").unwrap().split_once("\r\n").unwrap();
    assert_eq!(start, "POST /hook?x=1 HTTP/1.1");
    let mut lines: Vec<(&str, &str)> = rest.split("\r\n").map(|line| line.split_once(": ").unwrap()).collect();
    let built = build(&request);
    assert_eq!(
        (built.method(), built.uri().to_string()),
        (&Method::POST, "https://example.com:8443/hook?x=1".to_owned())
    );
    let header =
        |(name, value): (&'_ HeaderName, &'_ HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    let mut expected: Vec<(String, String)> = built.headers().iter().map(header).collect();
    expected.push(("host".to_owned(), "example.com:8443".to_owned()));
    expected.push(("content-length".to_owned(), "7".to_owned()));
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>());
    assert!(!format!("{request:?}").contains("42"));
}
