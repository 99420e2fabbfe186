//! The chain: each record behind the one before, one signature a commit, and a check that sees what was done to it.

use super::verify::{Fault, Findings, Verification};
use super::*;
use crate::store::{INLINE_MAX_BYTES, MemoryStore, Store};
use model::audit::SIGNATURE_LEN;
use proptest::prelude::*;
use std::sync::Arc;

/// Signs with the first bytes of the message's end, so that a check is a comparison.
struct TestSigner;

fn signature_of(message: &[u8]) -> [u8; SIGNATURE_LEN] {
    let mut signature = [7; SIGNATURE_LEN];
    let tail = &message[message.len() - 40..];
    signature[..40].copy_from_slice(tail);
    signature
}

impl Sign for TestSigner {
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        signature_of(message)
    }
}

fn is_signed(message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
    *signature == signature_of(message)
}

fn entry(id: &str, app: Option<u32>) -> AuditEntry {
    AuditEntry {
        actor: Actor { kind: ActorKind::Key, name: "backend".to_owned(), ..Actor::plain(ActorKind::Key) },
        action: "endpoint.patch".to_owned(),
        kind: "endpoint".to_owned(),
        id: id.to_owned(),
        app: app.map(|number| AppName { number: AppId(number), id: format!("app_{number}") }),
        changes: vec![FieldChange::words("url", Some("a"), Some("b"))],
    }
}

/// A store with commits of so many records each, at times that are their numbers.
fn filled(commits: &[usize]) -> MemoryStore {
    let store = MemoryStore::new();
    let mut chain = Chain::new(Some(Arc::new(TestSigner)));
    for (at, records) in commits.iter().enumerate() {
        commit(&store, &mut chain, at as u64, |txn| {
            (0..*records).for_each(|n| txn.audit(entry(&format!("ep_{at}_{n}"), Some(n as u32 % 2))));
        });
    }
    store
}

fn commit(store: &MemoryStore, chain: &mut Chain, at: u64, work: impl FnOnce(&mut Txn<'_>)) {
    let mut txn = Txn::new(store);
    work(&mut txn);
    chain.append(&mut txn, UnixMs(at)).unwrap();
    store.apply(txn.into_parts().batch).unwrap();
}

fn all(store: &MemoryStore) -> Vec<(u64, AuditRecord)> {
    list(store, None, usize::MAX, Direction::Forward).unwrap()
}

fn check(records: &[(u64, AuditRecord)], expected: Option<Head>) -> Findings {
    let mut verification = Verification::new(&is_signed, expected);
    records.iter().for_each(|(at, record)| verification.next(*at, record));
    verification.finish()
}

#[test]
fn records_follow_each_other_over_restarts_and_the_last_of_a_commit_is_signed() {
    let store = filled(&[2, 1]);
    let mut again = Chain::new(None);
    commit(&store, &mut again, 9, |txn| txn.audit(entry("ep_9", None)));
    let records = all(&store);
    let signed: Vec<bool> = records.iter().map(|(_, record)| record.signature.is_some()).collect();
    assert_eq!(signed, [false, true, true, false], "the last process had no key");
    let found = check(&records, None);
    assert_eq!((found.records, found.first, found.signed_upto, found.faulty), (4, 1, 3, 0));
    assert_eq!(found.end, head(&store).unwrap());
    assert_eq!(list_of_app(&store, AppId(0), None, 9, Direction::Forward).unwrap(), [1, 3]);
    assert_eq!(list_of_app(&store, AppId(1), None, 9, Direction::Reverse).unwrap(), [2]);
}

#[test]
fn a_dropped_change_leaves_no_record() {
    let store = MemoryStore::new();
    let mut txn = Txn::new(&store);
    let mut refused = txn.nested();
    refused.audit(entry("ep_1", None));
    drop(refused);
    let mut made = txn.nested();
    made.audit(entry("ep_2", None));
    let made = made.into_parts();
    txn.merge(made);
    Chain::new(None).append(&mut txn, UnixMs(1)).unwrap();
    store.apply(txn.into_parts().batch).unwrap();
    let records = all(&store);
    assert_eq!((records.len(), records[0].1.entry.id.as_str()), (1, "ep_2"));
}

#[test]
fn a_record_of_any_length_fits_one_value() {
    let store = MemoryStore::new();
    let long = || Some(format!("\"{}\"", "x".repeat(20_000)));
    let mut long_entry = entry("ep_1", Some(1));
    long_entry.changes = (0..200).map(|n| FieldChange::new(&format!("field{n}"), long(), long())).collect();
    commit(&store, &mut Chain::new(Some(Arc::new(TestSigner))), 1, |txn| txn.audit(long_entry));
    let records = all(&store);
    assert!(audit::to_value(&records[0].1).len() <= INLINE_MAX_BYTES);
    let changes = &records[0].1.entry.changes;
    assert!(changes.len() > 20, "{} are kept", changes.len());
    assert!(changes[0].old.as_ref().unwrap().starts_with("{\"bytes\":20002,\"sha256\":"), "{changes:?}");
    assert_eq!(check(&records, None).faulty, 0);
}

#[test]
fn retention_says_what_it_removed_and_nobody_else_can() {
    let store = filled(&[150, 60, 1]);
    let mut chain = Chain::new(Some(Arc::new(TestSigner)));
    let trimmed = |chain: &mut Chain, before, most| {
        let mut removed = 0;
        commit(&store, chain, 5, |txn| removed = trim(txn, UnixMs(before), most, 256).unwrap());
        removed
    };
    assert_eq!(trimmed(&mut chain, 0, 1_000), 0);
    assert_eq!(trimmed(&mut chain, 1, 1_000), 150, "by age");
    let found = check(&all(&store), None);
    assert_eq!((found.first, found.records, found.faulty), (151, 62, 0));
    assert!(list_of_app(&store, AppId(0), None, 999, Direction::Forward).unwrap()[0] > 150);
    assert_eq!(trimmed(&mut chain, 2, 1_000), 0, "60 are too few for a record");
    let records = all(&store);
    assert_eq!(check(&records[1..], None).faults, [Fault::Begin(152)]);

    let store = filled(&[500]);
    let mut removed = 0;
    commit(&store, &mut chain_of(&store), 5, |txn| removed = trim(txn, UnixMs(0), 300, 128).unwrap());
    assert_eq!(removed, 128, "no more than the limit");
    commit(&store, &mut chain_of(&store), 5, |txn| removed = trim(txn, UnixMs(0), 300, 128).unwrap());
    assert_eq!((removed, all(&store).len()), (0, 373), "73 are too few");
    assert_eq!(check(&all(&store), None).faulty, 0);
}

fn chain_of(_: &MemoryStore) -> Chain {
    Chain::new(Some(Arc::new(TestSigner)))
}

#[test]
fn a_cut_end_is_found_by_whoever_noted_it() {
    let store = filled(&[2, 2]);
    let (records, noted) = (all(&store), head(&store).unwrap());
    assert_eq!(check(&records, Some(noted)).faulty, 0);
    assert_eq!(check(&records[..2], None).faulty, 0, "nothing of what is left shows it");
    assert_eq!(check(&records[..2], Some(noted)).faults, [Fault::End(4)]);
}

/// A thing that somebody does to a chain of at least three records; each is to be found.
fn tamper(records: &mut Vec<(u64, AuditRecord)>, how: usize, at: usize) {
    // The last record is signed, so that a change of any is found; what is cut off the end is not.
    let at = at % (records.len() - 1);
    let record = &mut records[at].1;
    match how {
        0 => drop(records.remove(at)),
        1 => records.swap(at, at + 1),
        2 => record.at = record.at.plus_ms(1),
        3 => record.entry.actor.name.push('x'),
        4 => record.entry.app = None,
        5 => record.entry.changes[0].old = None,
        6 => record.entry.changes.clear(),
        // Moves a letter from one field to the next.
        7 => {
            let letter = record.entry.action.pop().unwrap();
            record.entry.kind.insert(0, letter);
        }
        8 => record.previous[0] ^= 1,
        9 => {
            let double = records[at].clone();
            records.insert(at + 1, double);
        }
        // Makes the chain fit again behind the change, but for the signature.
        _ => {
            record.entry.id.push('x');
            for next in at + 1..records.len() {
                records[next].1.previous = hash_of(&records[next - 1].1);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_done_to_a_record_is_found(
        commits in proptest::collection::vec(1usize..4, 2..6),
        (how, at) in (0usize..11, 0usize..99),
    ) {
        let mut records = all(&filled(&commits));
        if records.len() < 3 {
            return Ok(());
        }
        prop_assert_eq!(check(&records, None).faulty, 0);
        tamper(&mut records, how, at);
        prop_assert!(check(&records, None).faulty > 0, "{how} at {at}");
    }
}
