//! Records of commands: what changed and who did it, no secret, and nothing of what was not done.

use super::*;
use crate::command::application::{ApplicationFields, CreateApplication};
use crate::command::endpoint::{
    CreateEndpoint, DeleteEndpoint, EndpointFields, Headers, PatchEndpoint, RevealSecret, RotateSecret,
};
use crate::command::pause::PauseEndpoint;
use crate::command::testing::Bench;
use crate::find::EndpointName;
use crate::patch::Patch;
use model::{Actor, ActorKind, AuditRecord};
use storage::Direction;
use zeroize::Zeroizing;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA==";

fn records(bench: &Bench) -> Vec<AuditRecord> {
    let found = audit::list(&bench.store, None, 99, Direction::Forward).unwrap();
    found.into_iter().map(|(_, record)| record).collect()
}

/// The record that was made last, its changes as text.
fn last(bench: &Bench) -> (String, Vec<(String, String, String)>) {
    let record = records(bench).pop().unwrap();
    let text = |value: Option<String>| value.unwrap_or_default();
    let changes = record.entry.changes.into_iter();
    (record.entry.action, changes.map(|change| (change.field, text(change.old), text(change.new))).collect())
}

fn of(app: AppId) -> EndpointName {
    EndpointName { app, text: "e".to_owned() }
}

/// A store with an endpoint that has every kind of secret.
fn bench() -> (Bench, AppId) {
    let bench = Bench::default();
    let fields = ApplicationFields { name: Some("a".to_owned()), ..ApplicationFields::default() };
    let app = bench.run(CreateApplication { fields, or_get: false }).unwrap().into_thing().id;
    let fields = EndpointFields {
        url: Some("https://user:canary-password@a.b/".to_owned()),
        uid: Patch::Set("e".to_owned()),
        ..EndpointFields::default()
    };
    let headers = Some(Headers::from([("authorization".to_owned(), "canary-header".to_owned())]));
    let secret = Some(Zeroizing::new(SECRET.to_owned()));
    bench.run(CreateEndpoint { app, fields, secret, headers }).unwrap();
    (bench, app)
}

#[test]
fn a_new_thing_shows_what_it_has_and_no_secret() {
    let (bench, _) = bench();
    let records = records(&bench);
    let actor =
        Actor { address: "127.0.0.1".to_owned(), request_id: "req_1".to_owned(), ..Actor::plain(ActorKind::Root) };
    assert_eq!(records[1].entry.actor, actor);
    assert_eq!(records[1].entry.app.as_ref().unwrap().id, records[0].entry.id, "of the application");
    let (action, changes) = last(&bench);
    let names: Vec<&str> = changes.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!((action.as_str(), names), ("endpoint.create", vec!["uid", "url", "userInfo", "secrets", "headers"]));
    assert!(changes.iter().all(|(_, old, _)| old.is_empty()));
    let all = format!("{records:?}");
    for secret in ["canary-password", "canary-header", "whsec_", "MDEyMzQ1"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[test]
fn a_change_shows_only_what_changed_and_a_deletion_what_was_there() {
    let (bench, app) = bench();
    let fields = EndpointFields { rate_limit: Patch::Set(4), ..EndpointFields::default() };
    bench.run(PatchEndpoint { endpoint: of(app), fields, secret: None }).unwrap();
    let change = |field: &str, old: &str, new: &str| (field.to_owned(), old.to_owned(), new.to_owned());
    assert_eq!(last(&bench), ("endpoint.patch".to_owned(), vec![change("rateLimit", "", "4")]));
    bench.run(RotateSecret { endpoint: of(app), secret: None, grace_period_s: Some(60) }).unwrap();
    let (action, changes) = last(&bench);
    assert_eq!((action.as_str(), changes[0].0.as_str()), ("endpoint.rotate-secret", "secrets"));
    assert_ne!(changes[0].1, changes[0].2, "marks tell one secret from another");
    bench.run(RevealSecret { endpoint: of(app) }).unwrap();
    assert_eq!(last(&bench), ("endpoint.reveal-secret".to_owned(), Vec::new()));
    bench.run(DeleteEndpoint { endpoint: of(app) }).unwrap();
    let (action, changes) = last(&bench);
    assert_eq!(action, "endpoint.delete");
    assert!(changes.contains(&change("rateLimit", "4", "")) && changes.iter().all(|(_, _, new)| new.is_empty()));
}

#[test]
fn what_is_refused_or_already_so_leaves_no_record() {
    let (bench, app) = bench();
    bench.run(PauseEndpoint { endpoint: of(app) }).unwrap();
    let before = records(&bench).len();
    bench.run(PauseEndpoint { endpoint: of(app) }).unwrap();
    let unknown = EndpointName { app, text: "other".to_owned() };
    assert!(bench.run(RevealSecret { endpoint: unknown }).is_err());
    assert_eq!(records(&bench).len(), before);
}

#[test]
fn a_long_value_is_cut_to_what_tells_it_from_another() {
    let (bench, app) = bench();
    let fields = EndpointFields { description: Some("d".repeat(600)), ..EndpointFields::default() };
    bench.run(PatchEndpoint { endpoint: of(app), fields, secret: None }).unwrap();
    let (_, changes) = last(&bench);
    assert!(changes[0].2.starts_with("{\"bytes\":602,\"sha256\":\""), "{changes:?}");
}
