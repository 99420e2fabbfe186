//! Endpoints: fields that a replacement keeps or a change clears, secrets and user names under seal.

use super::*;
use crate::command::application::{ApplicationFields, CreateApplication};
use crate::command::testing::Bench;
use crate::patch::Patch;
use model::{Disabled, DisabledReason, Seq, UnixMs};
use zeroize::Zeroizing;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA==";

fn bench() -> (Bench, AppId) {
    let bench = Bench::default();
    let fields = ApplicationFields { name: Some("a".to_owned()), ..ApplicationFields::default() };
    let app = bench.run(CreateApplication { fields, or_get: false }).unwrap().into_thing().id;
    (bench, app)
}

fn at_url(url: &str) -> EndpointFields {
    EndpointFields { url: Some(url.to_owned()), uid: Patch::Set("e".to_owned()), ..EndpointFields::default() }
}

fn create(app: AppId, fields: EndpointFields) -> CreateEndpoint {
    let headers = Headers::from([("x-id".to_owned(), "7".to_owned())]);
    CreateEndpoint { app, fields, secret: Some(Zeroizing::new(SECRET.to_owned())), headers: Some(headers) }
}

fn put(app: AppId, fields: EndpointFields) -> PutEndpoint {
    PutEndpoint { endpoint: EndpointName { app, text: "e".to_owned() }, fields, secret: None, headers: None }
}

fn patch(app: AppId, fields: EndpointFields) -> PatchEndpoint {
    PatchEndpoint { endpoint: EndpointName { app, text: "e".to_owned() }, fields, secret: None }
}

fn wrong<T>(result: Result<T, Error>) -> Vec<String> {
    match result {
        Err(Error::Invalid(wrong)) => wrong.iter().map(|wrong| wrong.at.join(".")).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_replacement_clears_settings_and_keeps_identity_secret_and_headers() {
    let (mut bench, app) = bench();
    let fields =
        EndpointFields { description: Some("d".to_owned()), rate_limit: Patch::Set(4), ..at_url("https://a.b/") };
    let old = bench.run(create(app, fields)).unwrap().into_thing();
    bench.now = UnixMs(2_000);
    let fields = EndpointFields { url: Some("https://c.d/".to_owned()), ..EndpointFields::default() };
    let new = bench.run(put(app, fields)).unwrap().into_thing();
    assert_eq!((new.description.as_str(), new.rate_limit, new.uid.as_deref()), ("", None, None));
    assert_eq!((new.id, new.salt, new.created_at, new.updated_at), (old.id, old.salt, old.created_at, UnixMs(2_000)));
    assert_eq!((&new.secrets, &new.sealed_headers), (&old.secrets, &old.sealed_headers));
}

#[test]
fn a_put_of_an_unknown_name_creates_under_that_name_and_of_an_unknown_id_does_not() {
    let (bench, app) = bench();
    let fields = || EndpointFields { url: Some("https://a.b/".to_owned()), ..EndpointFields::default() };
    let made = bench.run(put(app, fields())).unwrap();
    assert!(made.is_new());
    assert_eq!(made.into_thing().uid.as_deref(), Some("e"));
    let unknown =
        PutEndpoint { endpoint: EndpointName { app, text: format!("ep_{}", "0".repeat(26)) }, ..put(app, fields()) };
    assert!(matches!(bench.run(unknown), Err(Error::NotFound("endpoint"))));
}

#[test]
fn a_change_clears_with_clear_and_an_empty_list() {
    let (bench, app) = bench();
    let fields = EndpointFields {
        channels: Patch::Set(vec!["c".to_owned()]),
        event_types: Patch::Set(vec!["a".to_owned()]),
        rate_limit: Patch::Set(4),
        timeout_ms: Patch::Set(500),
        ..at_url("https://a.b/")
    };
    bench.run(create(app, fields)).unwrap();
    let fields = EndpointFields {
        uid: Patch::Clear,
        channels: Patch::Set(Vec::new()),
        event_types: Patch::Clear,
        timeout_ms: Patch::Clear,
        ..EndpointFields::default()
    };
    let new = bench.run(patch(app, fields)).unwrap().into_thing();
    assert_eq!((new.uid, new.timeout_ms, new.rate_limit), (None, None, Some(4)));
    assert!(new.channels.is_empty() && new.event_types.is_empty());
}

#[test]
fn disabling_by_hand_notes_since_when_and_a_replacement_enables() {
    let (mut bench, app) = bench();
    bench.run(create(app, at_url("https://a.b/"))).unwrap();
    let disable = || EndpointFields { disabled: Some(true), ..EndpointFields::default() };
    let since = Some(Disabled { at: UnixMs(1_000), reason: DisabledReason::Operator });
    assert_eq!(bench.run(patch(app, disable())).unwrap().into_thing().disabled, since);
    bench.now = UnixMs(2_000);
    assert_eq!(bench.run(patch(app, disable())).unwrap().into_thing().disabled, since);
    assert_eq!(bench.run(patch(app, EndpointFields::default())).unwrap().into_thing().disabled, since);
    assert_eq!(bench.run(put(app, at_url("https://a.b/"))).unwrap().into_thing().disabled, None);
}

#[test]
fn every_bound_is_named() {
    let (bench, app) = bench();
    let fields = EndpointFields {
        timeout_ms: Patch::Set(1),
        max_in_flight: Patch::Set(0),
        rate_limit: Patch::Set(0),
        channels: Patch::Set(Vec::new()),
        event_types: Patch::Set(vec!["*".to_owned()]),
        version: Some(0),
        ..at_url("ftp://a.b/")
    };
    let expected = ["url", "eventTypes.0", "channels", "throttleRate", "timeoutMs", "maxInFlight", "version"];
    assert_eq!(wrong(bench.run(create(app, fields))), expected);
    let empty = EndpointFields { channels: Patch::Set(Vec::new()), ..EndpointFields::default() };
    bench.run(create(app, at_url("https://a.b/"))).unwrap();
    assert!(bench.run(patch(app, empty)).is_ok(), "in a change, an empty list clears");
}

#[test]
fn a_name_is_unique_in_its_application() {
    let (bench, app) = bench();
    bench.run(create(app, at_url("https://a.b/"))).unwrap();
    assert!(matches!(bench.run(create(app, at_url("https://a.b/"))), Err(Error::Conflict(_))));
}

#[test]
fn the_same_secret_given_again_leaves_those_that_still_sign_beside_it() {
    let (bench, app) = bench();
    bench.run(create(app, at_url("https://a.b/"))).unwrap();
    let rotate =
        RotateSecret { endpoint: EndpointName { app, text: "e".to_owned() }, secret: None, grace_period_s: None };
    let rotated = bench.run(rotate).unwrap().into_thing();
    assert_eq!(rotated.secrets.len(), 2);
    let shown = verification_key(&bench.seals, &rotated).unwrap();
    let with = |secret: &str| PatchEndpoint {
        secret: Some(Zeroizing::new(secret.to_owned())),
        ..patch(app, EndpointFields::default())
    };
    assert_eq!(bench.run(with(&shown)).unwrap().into_thing().secrets, rotated.secrets);
    assert_eq!(bench.run(with(SECRET)).unwrap().into_thing().secrets.len(), 1);
    assert_eq!(wrong(bench.run(with("short"))), ["secret"]);
}

#[test]
fn a_repeated_rotation_gives_the_secret_of_the_first_one_or_says_that_it_is_gone() {
    let (bench, app) = bench();
    bench.run(create(app, at_url("https://a.b/"))).unwrap();
    let rotate = |grace_period_s| RotateSecret {
        endpoint: EndpointName { app, text: "e".to_owned() },
        secret: None,
        grace_period_s,
    };
    let once = super::super::Once::new("key".to_owned(), b"");
    let first = bench.run_once(rotate(None), &once).unwrap().into_thing();
    bench.run(rotate(None)).unwrap();
    let again = bench.run_once(rotate(None), &once).unwrap();
    assert!(matches!(again, Changed::Repeated(_)));
    assert_eq!(again.into_thing().secrets[0].sealed, first.secrets[0].sealed);
    bench.run(rotate(Some(0))).unwrap();
    let with =
        PatchEndpoint { secret: Some(Zeroizing::new(SECRET.to_owned())), ..patch(app, EndpointFields::default()) };
    bench.run(with).unwrap();
    assert!(matches!(bench.run_once(rotate(None), &once), Err(Error::Conflict(_))));
}

#[test]
fn a_user_name_stays_behind_its_mask_and_goes_nowhere_else() {
    let (bench, app) = bench();
    let old = bench.run(create(app, at_url("https://me:canary@a.b/x"))).unwrap().into_thing();
    assert!(!old.url.contains("canary") && old.sealed_user_info.is_some());
    let url = |url: &str| EndpointFields { url: Some(url.to_owned()), ..EndpointFields::default() };
    let same = bench.run(patch(app, url(&old.url))).unwrap().into_thing();
    assert_eq!((&same.url, &same.sealed_user_info), (&old.url, &old.sealed_user_info));
    let elsewhere = old.url.replace("a.b", "evil.b");
    assert_eq!(wrong(bench.run(patch(app, url(&elsewhere)))), ["url"]);
    let none = bench.run(patch(app, url("https://a.b/x"))).unwrap().into_thing();
    assert_eq!(none.sealed_user_info, None);
    assert_eq!(none.active_from, Seq::ZERO);
}

#[test]
fn headers_are_sealed_and_change_as_they_are_by_then() {
    let (bench, app) = bench();
    let endpoint = || EndpointName { app, text: "e".to_owned() };
    bench.run(create(app, at_url("https://a.b/"))).unwrap();
    let headers = [("x-new".to_owned(), Patch::Set("n".to_owned())), ("X-Id".to_owned(), Patch::Clear)].into();
    let change = PatchHeaders { endpoint: endpoint(), headers, removed: Vec::new(), kept: Vec::new() };
    let row = bench.run(change).unwrap().into_thing();
    let expected = Headers::from([("x-new".to_owned(), "n".to_owned())]);
    assert_eq!(open_headers(&bench.seals, &row).unwrap(), expected);
    let reserved = Headers::from([("x-amz-date".to_owned(), "n".to_owned())]);
    let put = PutHeaders { endpoint: endpoint(), headers: reserved, kept: Vec::new() };
    assert_eq!(wrong(bench.run(put)), ["headers.x-amz-date"]);
}
