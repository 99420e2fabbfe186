//! Keys as commands make, rotate and revoke them.

use super::*;
use crate::command::application::{ApplicationFields, CreateApplication};
use crate::command::testing::Bench;
use crate::command::{Draw, Once};
use crate::find::find_application;
use crate::patch::Patch;
use model::KeyScopes;
use storage::Store as _;

/// A key for one application or all, which may do everything there.
fn new(name: &str, app: Option<&str>) -> CreateApiKey {
    let scopes = KeyScopes::of(&[KeyScope::Admin]);
    let app = app.map(str::to_owned);
    CreateApiKey { name: name.to_owned(), app, scopes, expires_at: None, rate_limit: None, derived: None }
}

fn bench() -> Bench {
    let mut bench = Bench::default();
    bench.rules.quotas.api_keys = 3;
    let fields = ApplicationFields {
        name: Some("a".to_owned()),
        uid: Patch::Set("tenant".to_owned()),
        ..ApplicationFields::default()
    };
    bench.run(CreateApplication { fields, or_get: false }).unwrap();
    bench
}

/// Makes the next key another one.
fn draw(bench: &mut Bench, text: &str) {
    let secret = Zeroizing::new(KeyHash::of(text).to_bytes());
    bench.draw = Draw { salt: 1, secret, challenge: [9; 32] };
}

fn add(bench: &mut Bench, name: &str, app: Option<&str>) -> Result<IssuedKey, Error> {
    draw(bench, name);
    bench.run(new(name, app)).map(Changed::into_thing)
}

fn rotation(id: &str, grace_period_s: u64) -> RotateApiKey {
    RotateApiKey { id: id.to_owned(), grace_period_s: Some(grace_period_s), expires_at: None, derived: None }
}

fn row_of(bench: &Bench, id: &str) -> ApiKeyRow {
    api_key::list(&bench.store).unwrap().into_iter().find(|row| id_of(&row.hash) == id).unwrap()
}

#[test]
fn an_application_is_named_by_id_or_uid() {
    let mut bench = bench();
    let app = find_application(&bench.store, "tenant").unwrap().unwrap();
    let id = app.public_id();
    assert_eq!(add(&mut bench, "one", Some(&id)).unwrap().info.app_id.as_deref(), Some(id.as_str()));
    assert_eq!(Thing::app(&add(&mut bench, "two", Some("tenant")).unwrap()), Some(app.id));
    let mut other = id;
    other.replace_range(other.len() - 1.., "0");
    for absent in ["absent", other.as_str()] {
        assert!(matches!(add(&mut bench, "three", Some(absent)), Err(Error::Invalid(_))), "{absent}");
    }
}

#[test]
fn an_application_has_only_so_many_keys() {
    let mut bench = bench();
    for name in ["a", "b", "c"] {
        add(&mut bench, name, Some("tenant")).unwrap();
    }
    let refused = add(&mut bench, "d", Some("tenant"));
    assert!(matches!(refused, Err(Error::QuotaExceeded { most: 3, .. })));
    add(&mut bench, "d", None).unwrap();
}

#[test]
fn a_name_is_unique_and_can_be_shown() {
    let mut bench = bench();
    add(&mut bench, "backend", None).unwrap();
    assert!(matches!(add(&mut bench, "backend", None), Err(Error::Conflict(_))));
    for name in ["", "a\nb", &"x".repeat(201)] {
        assert!(matches!(add(&mut bench, name, None), Err(Error::Invalid(_))));
    }
}

#[test]
fn a_revoked_key_is_gone_and_a_repetition_does_not_make_it_anew() {
    let bench = bench();
    let create = || CreateApiKey {
        derived: Some(Derived { root: KeyHash::of("root"), once: "key".to_owned() }),
        ..new("k", None)
    };
    let once = Once::new("key".to_owned(), b"body");
    let made = bench.run_once(create(), &once).unwrap().into_thing();
    let again = bench.run_once(create(), &once).unwrap();
    assert!(matches!(&again, Changed::Repeated(_)));
    assert_eq!(*again.into_thing().text, *made.text);
    bench.run(RevokeApiKey { id: made.info.id.clone() }).unwrap();
    assert!(matches!(bench.run_once(create(), &once), Err(Error::Conflict(_))));
    assert!(matches!(bench.run(RevokeApiKey { id: made.info.id }), Err(Error::NotFound("API key"))));
}

#[test]
fn keys_are_revoked_with_their_application() {
    let mut bench = bench();
    add(&mut bench, "own", Some("tenant")).unwrap();
    add(&mut bench, "all", None).unwrap();
    bench.run(crate::command::application::DeleteApplication { text: "tenant".to_owned() }).unwrap();
    let revoked = key::all(&bench.store).unwrap().into_iter().map(|info| (info.name, info.revoked_at));
    let mut revoked: Vec<_> = revoked.collect();
    revoked.sort();
    assert_eq!(revoked, [("all".to_owned(), None), ("own".to_owned(), Some(bench.now))]);
}

#[test]
fn a_name_and_a_place_are_free_again_once_a_key_is_refused() {
    let mut bench = bench();
    for name in ["a", "b", "c"] {
        add(&mut bench, name, Some("tenant")).unwrap();
    }
    let id = key::all(&bench.store).unwrap()[0].id.clone();
    let name = row_of(&bench, &id).name;
    bench.run(RevokeApiKey { id }).unwrap();
    draw(&mut bench, "another");
    let end = bench.now.plus_ms(1_000);
    bench.run(CreateApiKey { expires_at: Some(end), ..new(&name, Some("tenant")) }).unwrap();
    assert!(matches!(add(&mut bench, "d", Some("tenant")), Err(Error::QuotaExceeded { .. })));
    bench.now = end;
    draw(&mut bench, "yet another");
    bench.run(new(&name, Some("tenant"))).unwrap();
}

#[test]
fn a_key_has_a_scope_a_future_end_and_a_rate_within_bounds() {
    let mut bench = bench();
    bench.now = UnixMs(10_000);
    let wrong = [
        CreateApiKey { scopes: KeyScopes::of(&[]), ..new("a", None) },
        CreateApiKey { expires_at: Some(UnixMs(10_000)), ..new("a", None) },
        CreateApiKey { rate_limit: Some(0), ..new("a", None) },
        CreateApiKey { rate_limit: Some(6_000_001), ..new("a", None) },
    ];
    for command in wrong {
        assert!(matches!(bench.run(command), Err(Error::Invalid(_))));
    }
    assert!(key::all(&bench.store).unwrap().is_empty());
}

#[test]
fn a_rotated_key_leaves_all_it_had_to_its_successor_and_works_for_a_while() {
    let mut bench = bench();
    bench.now = UnixMs(1_000_000);
    let first = CreateApiKey {
        scopes: KeyScopes::of(&[KeyScope::Ingest]),
        expires_at: Some(UnixMs(1_500_000)),
        rate_limit: Some(60),
        ..new("backend", Some("tenant"))
    };
    let first = bench.run(first).unwrap().into_thing();
    bench.now = UnixMs(1_200_000);
    draw(&mut bench, "second");
    let changed = bench.run(rotation(&first.info.id, 100)).unwrap();
    let second = changed.into_thing();
    assert_ne!(*first.text, *second.text);
    let KeyInfo { name, app_id, scopes, rate_limit, .. } = first.info.clone();
    assert_eq!(
        (second.info.name, second.info.app_id, second.info.scopes, second.info.rate_limit),
        (name, app_id, scopes, rate_limit)
    );
    assert_eq!(second.info.expires_at, Some(UnixMs(1_700_000)), "as long a life");
    let old = row_of(&bench, &first.info.id);
    assert_eq!((old.expires_at, old.replaced_by), (Some(UnixMs(1_300_000)), Some(second.row.hash)));
    // Its name belongs to the successor; it is replaced once.
    draw(&mut bench, "third");
    assert!(matches!(bench.run(new("backend", None)), Err(Error::Conflict(_))));
    assert!(matches!(bench.run(rotation(&first.info.id, 100)), Err(Error::Conflict(_))));
    // It never works for longer than it would have.
    bench.run(rotation(&second.info.id, 1_000_000)).unwrap();
    assert_eq!(row_of(&bench, &second.info.id).expires_at, Some(UnixMs(1_700_000)));
    bench.now = UnixMs(1_300_000);
    assert!(matches!(bench.run(rotation(&first.info.id, 0)), Err(Error::NotFound("API key"))));
}

#[test]
fn a_rotation_is_done_once_for_an_idempotency_key() {
    let mut bench = bench();
    let first = add(&mut bench, "backend", None).unwrap();
    let again = || RotateApiKey {
        derived: Some(Derived { root: KeyHash::of("root"), once: "key".to_owned() }),
        ..rotation(&first.info.id, 100)
    };
    draw(&mut bench, "second");
    let once = Once::new("key".to_owned(), b"body");
    let made = bench.run_once(again(), &once).unwrap().into_thing();
    let repeated = bench.run_once(again(), &once).unwrap();
    assert!(matches!(&repeated, Changed::Repeated(_)));
    assert_eq!(*repeated.into_thing().text, *made.text);
    assert_eq!(key::all(&bench.store).unwrap().len(), 2);
}

#[test]
fn the_key_that_was_refused_for_longest_makes_room() {
    let mut bench = bench();
    let mut txn = Txn::new(&bench.store);
    for number in 0..api_key::MAX_LISTED as u64 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let revoked_at = (number % 2_000 == 7).then_some(UnixMs(50 + number));
        let row = ApiKeyRow::plain(hash, format!("key {number}"), None, UnixMs(1));
        api_key::put(&mut txn, &ApiKeyRow { revoked_at, ..row }).unwrap();
    }
    bench.store.apply(txn.into_parts().batch).unwrap();
    let revoked = |bench: &Bench| {
        let rows = api_key::list(&bench.store).unwrap();
        assert_eq!(rows.len(), api_key::MAX_LISTED);
        rows.into_iter().filter_map(|row| row.revoked_at).min()
    };
    for oldest in [2_057, 4_057] {
        add(&mut bench, &format!("new {oldest}"), None).unwrap();
        assert_eq!(revoked(&bench), Some(UnixMs(oldest)));
    }
}
