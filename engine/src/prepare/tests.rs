//! Tests of plans: the plan of a row, and the requests that it prepares.

use super::*;
use crate::config::EngineConfig;
use crate::dispatch::Guard;
use crate::seal::{MasterKey, SealContext, SealPurpose};
use bytes::Bytes;
use model::endpoint::EndpointSecret;
use model::{AppId, Endpoint, EndpointId, EndpointRef, Event, EventMore, OutcomeClass, SealedBytes, Seq, UnixMs};
use std::sync::Arc;

const TARGET: EndpointRef = EndpointRef { app: AppId(1), endpoint: EndpointId(2) };
const SECRETS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
const NOW: UnixMs = UnixMs(1_000);
const WALL: UnixMs = UnixMs(1_700_000_123_456);

fn seal(purpose: SealPurpose, text: &str) -> SealedBytes {
    let context = SealContext { app: TARGET.app, endpoint: TARGET.endpoint, purpose };
    MasterKey::new([1; 32]).seal(text.as_bytes(), context).unwrap()
}

fn secret(text: &str, expires_at: Option<UnixMs>) -> EndpointSecret {
    EndpointSecret { sealed: seal(SealPurpose::SigningSecret, text), expires_at }
}

fn row(url: &str, secrets: Vec<EndpointSecret>) -> Endpoint {
    Endpoint { url: url.to_owned(), secrets, ..Endpoint::plain(TARGET, UnixMs(0)) }
}

fn plan(row: &Endpoint) -> Plan {
    let (config, master) = (Arc::new(EngineConfig::default()), Arc::new(MasterKey::new([1; 32])));
    Compiler { config, master, guard: Arc::new(Guard::default()) }.plan(row, None, 3, NOW)
}

fn event() -> Event {
    Event {
        app: TARGET.app,
        seq: Seq(9),
        accepted_at: UnixMs(1_700_000_000_000),
        event_type: "invoice.paid".into(),
        event_id: None,
        channels: Vec::new(),
        only_for: None,
        more: None,
        payload: Bytes::from_static(b"{\"a\":1}"),
    }
}

fn signature(keys: &[&str], event: &Event) -> String {
    let keys: Vec<_> = keys.iter().map(|text| SigningKey::parse(text).unwrap()).collect();
    let id = |out: &mut String| out.push_str(&event.message_id());
    sign::stamp(keys.iter(), id, WALL.seconds(), &event.payload).signature().to_owned()
}

#[test]
fn a_request_is_signed_over_what_is_sent_by_every_key_that_has_not_expired() {
    let rotated = vec![secret(SECRETS[0], None), secret(SECRETS[1], Some(NOW.plus_ms(100)))];
    let plan = plan(&row("https://example.com/", rotated));
    let both = plan.prepare(event(), NOW.plus_ms(99), WALL).unwrap();
    assert_eq!(both.stamp.signature(), signature(&SECRETS, &event()));
    assert_eq!((both.stamp.id(), both.stamp.timestamp()), (&*event().message_id(), "1700000123"));
    assert_eq!((both.body, both.content_type, both.app), (event().payload, None, TARGET.app));
    let one = plan.prepare(event(), NOW.plus_ms(100), WALL).unwrap();
    assert_eq!(one.stamp.signature(), signature(&SECRETS[..1], &event()));
}

#[test]
fn a_message_of_another_type_is_signed_as_it_is_and_sent_as_that_type() {
    let more = EventMore { content_type: Some("application/xml".to_owned()), ..EventMore::default() };
    let xml = Event { more: Some(more.into()), payload: Bytes::from_static(b"<a/>"), ..event() };
    let plan = plan(&row("https://example.com/", vec![secret(SECRETS[0], None)]));
    let request = plan.prepare(xml.clone(), NOW, WALL).unwrap();
    assert_eq!(request.content_type.unwrap(), "application/xml");
    assert_eq!(request.stamp.signature(), signature(&SECRETS[..1], &xml));
}

#[test]
fn nothing_is_sent_unsigned() {
    let unsigned = |plan: &Plan, now| plan.prepare(event(), now, WALL).unwrap_err().words;
    for secrets in [Vec::new(), vec![secret(SECRETS[0], Some(NOW))]] {
        assert_eq!(unsigned(&plan(&row("https://example.com/", secrets)), NOW), "there is no key to sign with");
    }
    let last = plan(&row("https://example.com/", vec![secret(SECRETS[0], Some(NOW.plus_ms(1)))]));
    assert!(last.prepare(event(), NOW, WALL).is_ok());
    assert_eq!(unsigned(&last, NOW.plus_ms(1)), "there is no key to sign with");
}

#[test]
fn a_row_that_allows_no_request_says_why_and_shows_no_secret() {
    let of = |row: &Endpoint| plan(row).prepare(event(), NOW, WALL).unwrap_err();
    let good = || vec![secret(SECRETS[0], None)];
    assert_eq!(of(&row("http://127.0.0.1/", good())).outcome, OutcomeClass::Refused);
    let moved = EndpointSecret { sealed: seal(SealPurpose::Headers, SECRETS[0]), expires_at: None };
    let headers =
        |text| Endpoint { sealed_headers: Some(seal(SealPurpose::Headers, text)), ..row("https://a.example/", good()) };
    for (row, words) in [
        (row("https://example.com/", vec![moved]), "authentic"),
        (row("nonsense", good()), "http"),
        (headers("no json"), "not readable"),
        (headers(r#"{"webhook-id":"forged"}"#), "cannot be set"),
        (Endpoint { ca_pem: "no pem".to_owned(), ..row("https://example.com/", good()) }, "certificate"),
    ] {
        let why = of(&row);
        assert!(why.outcome == OutcomeClass::InternalError && why.words.contains(words), "{why:?}");
    }
}

#[test]
fn user_info_and_custom_headers_authorise_and_stay_hidden() {
    let row = Endpoint {
        sealed_user_info: Some(seal(SealPurpose::UserInfo, "u:p")),
        sealed_headers: Some(seal(SealPurpose::Headers, r#"{"X-Tenant":"42"}"#)),
        ..row("https://***@example.com/hook?x=1", vec![secret(SECRETS[0], None)])
    };
    let plan = plan(&row);
    let request = plan.prepare(event(), NOW, WALL).unwrap();
    assert_eq!(request.target.uri(), "https://example.com/hook?x=1");
    assert_eq!((plan.url_number, request.timeout_ms), (3, EngineConfig::default().attempt_timeout_ms));
    let shown = format!("{plan:?} {request:?}");
    assert!(!shown.contains("dTpw") && !shown.contains("42\"") && !shown.contains("MfKQ"), "{shown}");
}
