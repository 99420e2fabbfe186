//! Rules of every command: names, old and new, once.

use super::api_key::*;
use super::application::*;
use super::attempt::*;
use super::delivery::*;
use super::endpoint::*;
use super::event_type::*;
use super::job::*;
use super::message::*;
use super::testing::Bench;
use super::*;
use crate::caller::Caller;
use crate::find::EndpointName;
use std::collections::HashSet;
use storage::tables::endpoint;

fn named(name: &str) -> ApplicationFields {
    ApplicationFields { name: Some(name.to_owned()), ..ApplicationFields::default() }
}

fn application(bench: &Bench) -> AppId {
    bench.run(CreateApplication { fields: named("a"), or_get: false }).unwrap().into_thing().id
}

fn at_url(url: &str) -> EndpointFields {
    EndpointFields { url: Some(url.to_owned()), ..EndpointFields::default() }
}

fn create(app: AppId, uid: &str) -> CreateEndpoint {
    let fields = EndpointFields { uid: Patch::Set(uid.to_owned()), ..at_url("https://example.com/") };
    CreateEndpoint { app, fields, secret: None, headers: None }
}

fn name(app: AppId, text: &str) -> EndpointName {
    EndpointName { app, text: text.to_owned() }
}

#[test]
fn no_two_commands_have_one_name() {
    fn name_of<C: Command>() -> (&'static str, &'static str) {
        (C::NAME, C::Thing::KIND)
    }
    let all = [
        name_of::<CreateApplication>(),
        name_of::<EnsureApplication>(),
        name_of::<PutApplication>(),
        name_of::<PatchApplication>(),
        name_of::<DeleteApplication>(),
        name_of::<CreateEndpoint>(),
        name_of::<PutEndpoint>(),
        name_of::<PatchEndpoint>(),
        name_of::<DeleteEndpoint>(),
        name_of::<PutHeaders>(),
        name_of::<PatchHeaders>(),
        name_of::<RotateSecret>(),
        name_of::<CreateEventType>(),
        name_of::<PutEventType>(),
        name_of::<PatchEventType>(),
        name_of::<ArchiveEventType>(),
        name_of::<ExpungeEventType>(),
        name_of::<ExpungePayload>(),
        name_of::<Resend>(),
        name_of::<Redrive>(),
        name_of::<ForgetDeadLetter>(),
        name_of::<ExpungeResponse>(),
        name_of::<StartJob>(),
        name_of::<CreateApiKey>(),
        name_of::<RevokeApiKey>(),
    ];
    let names: HashSet<&str> = all.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), all.len());
    for (name, kind) in all {
        let is_named = name.split_once('.').is_some_and(|(kind, verb)| !kind.is_empty() && !verb.is_empty());
        assert!(is_named && !kind.is_empty(), "{name} on {kind}");
    }
}

#[test]
fn a_change_answers_old_and_new_and_a_deletion_what_went() {
    let bench = Bench::default();
    let app = application(&bench);
    let made = bench.run(create(app, "e")).unwrap();
    assert!(made.is_new() && made.before().is_none());
    let patch = PatchEndpoint { endpoint: name(app, "e"), fields: at_url("https://example.org/"), secret: None };
    let changed = bench.run(patch).unwrap();
    assert_eq!(changed.before(), made.after());
    assert_eq!(changed.after().unwrap().url, "https://example.org/");
    let stored = endpoint::get(&bench.store, changed.after().unwrap().target()).unwrap();
    assert_eq!(stored.as_ref(), changed.after(), "the new one is what lies on the disk");
    let gone = bench.run(DeleteEndpoint { endpoint: name(app, "e") }).unwrap();
    assert_eq!((gone.before(), gone.after()), (changed.after(), None));
    let thing = gone.into_thing();
    assert_eq!((Thing::app(&thing), thing.id().is_empty()), (Some(app), false));
    let gone = bench.run(DeleteApplication { text: "none".to_owned() });
    assert!(matches!(gone, Err(Error::NotFound("application"))));
}

#[test]
fn a_repetition_changes_nothing_and_another_content_is_refused() {
    let bench = Bench::default();
    let app = application(&bench);
    let once = Once::new("key".to_owned(), b"body");
    let made = bench.run_once(create(app, "e"), &once).unwrap();
    let again = bench.run_once(create(app, "e"), &once).unwrap();
    assert!(matches!(again, Changed::Repeated(_)));
    assert_eq!(again.after(), made.after());
    let other = bench.run_once(create(app, "f"), &Once::new("key".to_owned(), b"other"));
    assert!(matches!(other, Err(Error::KeyReused)));
    assert_eq!(endpoint::count(&bench.store, app).unwrap(), 1);
}

#[test]
fn what_did_nothing_leaves_no_key() {
    let bench = Bench::default();
    let get = || {
        let fields = ApplicationFields { uid: Patch::Set("u".to_owned()), ..named("a") };
        CreateApplication { fields, or_get: true }
    };
    bench.run(get()).unwrap();
    let once = Once::new("key".to_owned(), b"body");
    for _ in 0..2 {
        assert!(matches!(bench.run_once(get(), &once).unwrap(), Changed::Nothing(_)));
    }
}

#[test]
fn quotas_refuse_one_too_many() {
    let mut bench = Bench::default();
    let app = application(&bench);
    bench.rules.quotas.endpoints = 1;
    bench.run(create(app, "e")).unwrap();
    let refused = bench.run(create(app, "f"));
    assert!(matches!(refused, Err(Error::QuotaExceeded { quota: "endpoints", most: 1, .. })));
}

#[test]
fn a_key_for_one_application_changes_neither_its_uid_nor_its_rate() {
    let mut bench = Bench::default();
    let fields = ApplicationFields { uid: Patch::Set("u".to_owned()), rate_limit: Patch::Set(7), ..named("a") };
    let app = bench.run(CreateApplication { fields, or_get: false }).unwrap().into_thing();
    bench.by = by(Reach::Application(app.id));
    let text = || "u".to_owned();
    let kept = bench.run(PutApplication { text: text(), fields: named("b") }).unwrap().into_thing();
    assert_eq!((kept.name.as_str(), kept.uid.as_deref(), kept.rate_limit), ("b", Some("u"), Some(7)));
    for fields in [
        ApplicationFields { uid: Patch::Clear, ..ApplicationFields::default() },
        ApplicationFields { rate_limit: Patch::Set(8), ..ApplicationFields::default() },
    ] {
        assert!(matches!(bench.run(PatchApplication { text: text(), fields }), Err(Error::Forbidden(_))));
    }
    assert!(matches!(bench.run(DeleteApplication { text: text() }), Err(Error::Forbidden(_))));
    bench.by = by(Reach::Application(AppId(99)));
    let other = bench.run(PatchApplication { text: text(), fields: named("c") });
    assert!(matches!(other, Err(Error::NotFound("application"))));
    let new = bench.run(PutApplication { text: "new".to_owned(), fields: named("c") });
    assert!(matches!(new, Err(Error::NotFound("application"))));
    bench.by = by(Reach::Everything);
    let cleared = bench.run(PutApplication { text: text(), fields: named("b") }).unwrap().into_thing();
    assert_eq!((cleared.uid, cleared.rate_limit), (None, None));
}

/// Somebody whose key reaches so far.
fn by(reach: Reach) -> Caller {
    Caller::of_request(reach, None, String::new(), String::new())
}
