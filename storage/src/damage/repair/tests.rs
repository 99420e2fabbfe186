//! Repairs that are interrupted, and rows that fit together again.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use model::{AppId, Cursor, Endpoint, EndpointId, Event, Pending, Seq, Trigger};

use super::*;
use crate::Direction;
use crate::disk::SeparatedKeys;
use crate::disk::crash_tests::copy_folder;
use crate::tables::testing::{TestStore, plain_endpoint, target};
use crate::tables::{delivery, endpoint, log, retained};
use crate::txn::Txn;

const APP: AppId = AppId(1);

/// With a small log, so that values are in their files.
const SMALL: OpenOptions =
    OpenOptions { cache_bytes: 1024 * 1024, log_max_bytes: 64 * 1024, separated: SeparatedKeys { from: 16, to: 18 } };

fn run(dir: &Path) -> Result<String, RepairError> {
    Repair { options: OpenOptions::default(), now: UnixMs(7), time_text: |time| time.to_string() }.run(dir)
}

fn one_row() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut batch = Batch::new();
    batch.put(rows::meta::encode("name"), &b"value"[..]);
    OpenOptions::default().open(dir.path()).unwrap().apply(batch).unwrap();
    dir
}

fn has_the_row(dir: &Path) -> bool {
    let store = OpenOptions::default().open(dir).unwrap();
    store.get(&rows::meta::encode("name")).unwrap().is_some()
}

#[test]
fn an_exchange_that_was_interrupted_is_ended_by_the_next_run_and_no_server_starts_before() {
    let dir = one_row();
    let (store, building, kept) =
        (dir.path().join("store"), dir.path().join(swap::BUILDING), dir.path().join("damaged-7"));
    // Killed while the new store was built.
    fs::create_dir_all(building.join("store/log")).unwrap();
    assert!(run(dir.path()).unwrap().contains("Kept: 1 rows (1 of meta)"));
    assert!(kept.join("store").exists() && kept.join("REPORT").exists() && !building.exists());
    // Killed between the two renames.
    fs::remove_dir_all(&kept).unwrap();
    fs::create_dir_all(&building).unwrap();
    fs::create_dir_all(kept.join("store")).unwrap();
    fs::rename(&store, building.join("store")).unwrap();
    fs::write(building.join("DONE"), "damaged-7\nthe report").unwrap();
    let refused = OpenOptions::default().open(dir.path()).err().expect("no store is made in its place").to_string();
    assert!(refused.contains("`pinion repair`") && !store.exists(), "{refused}");
    assert_eq!(run(dir.path()).unwrap(), "the report");
    assert!(has_the_row(dir.path()) && !building.exists());
    // Killed before it was tidied up.
    fs::create_dir_all(&building).unwrap();
    fs::write(building.join("DONE"), "damaged-7\nthe report").unwrap();
    assert_eq!(run(dir.path()).unwrap(), "the report");
    assert!(has_the_row(dir.path()) && !building.exists());
    // Killed before the first rename: the new store may be behind the old one.
    fs::create_dir_all(building.join("store")).unwrap();
    fs::write(building.join("DONE"), "damaged-7\nthe report").unwrap();
    fs::remove_dir_all(&kept).unwrap();
    assert!(run(dir.path()).unwrap().contains("Kept: 1 rows"));
    assert!(has_the_row(dir.path()));
}

fn endpoint(id: u32) -> Endpoint {
    Endpoint { uid: Some(format!("hook {id}")), ..plain_endpoint(target(APP.0, id)) }
}

fn event(seq: u64) -> Event {
    Event {
        app: APP,
        seq: Seq(seq),
        accepted_at: UnixMs(seq * 10),
        event_type: "a.b".into(),
        event_id: None,
        channels: Vec::new(),
        only_for: None,
        more: None,
        payload: Bytes::new(),
    }
}

/// Nine events, a block each, the seventh with its payload in a row of its own; all were offered to two endpoints, and
/// the first owes some.
fn nine_events() -> TestStore {
    let store = TestStore::default();
    store.write(|txn| endpoint::put(txn, &endpoint(1)));
    store.write(|txn| endpoint::put(txn, &endpoint(2)));
    for seq in 1..=9 {
        let payload = Bytes::from(vec![b'x'; if seq == 7 { 20_000 } else { 10 }]);
        let event = Event { payload, ..event(seq) };
        store.write(|txn| log::append(txn, APP, &[event]));
    }
    store.write(|txn| {
        delivery::put_routed(txn, APP, Seq(9));
        delivery::put_cursor(txn, target(1, 1), &Cursor { upto: Seq(5), holes: vec![Seq(4)] });
        delivery::put_pending(txn, target(1, 1), Seq(3), None, &waiting());
        Ok(())
    });
    store
}

fn waiting() -> Pending {
    Pending { attempts: 2, due: UnixMs(50), last_outcome: None, trigger: Trigger::Scheduled }
}

fn remove(store: &TestStore, keys: Vec<Vec<u8>>) {
    store.write(|txn| {
        keys.into_iter().for_each(|key| txn.delete(key));
        Ok(())
    });
}

fn mended(store: &TestStore, findings: Vec<Finding>) -> String {
    let mut report = Report::new(|time| time.to_string(), findings);
    mend::mend(store, &mut report, 1_600).unwrap();
    report.text("damaged-7")
}

fn lost(from: Vec<u8>, to: Vec<u8>) -> Finding {
    Finding::LostKeys(from.into(), to.into())
}

#[test]
fn lost_messages_are_named_and_the_rest_of_the_log_is_read_over_them() {
    let store = nine_events();
    let block = |seq| rows::event::encode(APP, Seq(seq));
    remove(&store, vec![block(4), block(5), rows::payload::encode(APP, Seq(7))]);
    store.write(|txn| {
        txn.put(block(2), &b"damaged"[..]);
        Ok(())
    });
    let text = mended(&store, vec![lost(block(4), block(6))]);
    for part in ["positions 2 to 2 (1 of them), accepted between 10 and 30", "positions 4 to 5 (2 of", "7 to 7 (1 of"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("the last messages"), "{text}");
    let there = log::read_after(&store, APP, Seq(0), 99, usize::MAX).unwrap();
    assert_eq!(there.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [1, 3, 6, 8, 9]);
    let rows = store.scan(&[16], &[19], 99, Direction::Forward).unwrap();
    let bytes: usize = rows.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert_eq!(retained::get(&store).unwrap().events, bytes as u64);
    assert_eq!(delivery::routed(&store, APP).unwrap(), Seq(9));
}

#[test]
fn the_last_messages_are_named_too_and_their_positions_stay_used() {
    let damaged = || vec![Finding::Unreadable("values/0000000000".into(), 7, 300)];
    let damage = |store: &TestStore, seq| {
        store.write(|txn| {
            txn.put(rows::event::encode(APP, Seq(seq)), &b""[..]);
            Ok(())
        });
    };
    let store = nine_events();
    damage(&store, 1);
    damage(&store, 9);
    let text = mended(&store, damaged());
    for part in ["positions 1 to 1 (1 of", "the last messages of application 1: those behind position 8"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let head = log::head(&store, APP).unwrap();
    assert!(head.0 >= 9 + rows::event::block::RECORDS_MAX - 1 && text.contains(&format!("behind {head}")), "{text}");
    let store = nine_events();
    (1..=9).for_each(|seq| damage(&store, seq));
    let text = mended(&store, damaged());
    assert!(text.contains("the last messages of application 1: all left"), "{text}");
    let store = nine_events();
    remove(
        &store,
        vec![rows::payload::encode(APP, Seq(7)), rows::event::encode(APP, Seq(8)), rows::event::encode(APP, Seq(9))],
    );
    let text = mended(&store, damaged());
    assert!(text.contains("those behind position 6"), "{text}");
}

/// A store on disk with so many events, a block each, whose values are apart, and not in its log any more.
fn on_disk(dir: &Path, events: u64) {
    let store = SMALL.open(dir).unwrap();
    for seq in 1..=events {
        let event = Event { payload: Bytes::from(vec![seq as u8; 2_000]), ..event(seq) };
        let mut txn = Txn::new(&store);
        log::append(&mut txn, APP, &[event]).unwrap();
        store.apply(txn.into_parts().batch).unwrap();
    }
    drop(store);
    drop(SMALL.open(dir).unwrap());
}

const EVENTS: u64 = 150;

fn repaired(dir: &Path) -> (String, Vec<u64>) {
    let report = Repair { options: SMALL, now: UnixMs(7), time_text: |time| time.to_string() }.run(dir).unwrap();
    let store = SMALL.open(dir).unwrap();
    let there = log::read_after(&store, APP, Seq(0), 999, usize::MAX).unwrap();
    assert!(there.iter().all(|event| event.payload == vec![event.seq.0 as u8; 2_000]));
    (report, there.into_iter().map(|event| event.seq.0).collect())
}

#[test]
fn damage_of_a_value_file_costs_the_messages_in_it() {
    let whole = tempfile::tempdir().unwrap();
    on_disk(whole.path(), EVENTS);
    let all: Vec<u64> = (1..=EVENTS).collect();
    // About the fourth event, and which are in the first file.
    for (bytes, lost) in [(1, 0..0), (600, 4..5), (usize::MAX, 1..33)] {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(whole.path(), dir.path());
        let path = dir.path().join("store/values/0000000000");
        let mut file = fs::read(&path).unwrap();
        if bytes == usize::MAX {
            fs::remove_file(&path).unwrap();
            let refused = SMALL.open(dir.path()).err().expect("it is missing").to_string();
            assert!(refused.contains("values/0000000000 is damaged: it is missing"), "{refused}");
        } else {
            file[7_000..7_000 + bytes].iter_mut().for_each(|byte| *byte ^= 2);
            fs::write(&path, file).unwrap();
        }
        let (report, there) = repaired(dir.path());
        let left: Vec<u64> = all.iter().copied().filter(|seq| !lost.contains(seq)).collect();
        assert_eq!(there, left, "{report}");
        assert!(report.contains("store/values/0000000000: "), "{report}");
        let names = if lost.is_empty() {
            "Nothing is lost.".to_owned()
        } else {
            format!("positions {} to {}", lost.start, lost.end - 1)
        };
        assert!(report.contains(&names), "{names}: {report}");
        assert!(report.contains(&format!("{} of event", left.len())), "{report}");
    }
}

#[test]
fn rows_that_others_tell_come_back() {
    let store = nine_events();
    let pending = rows::pending::encode(target(1, 1), Seq(3));
    remove(&store, vec![pending.clone(), rows::endpoint_uid::encode(APP, "hook 2")]);
    mended(&store, vec![lost(pending.clone(), [pending.clone(), vec![0]].concat())]);
    let begun_anew = Pending { attempts: 0, ..waiting() };
    assert_eq!(delivery::pending(&store, target(1, 1), Seq(3)).unwrap(), Some(begun_anew));
    assert_eq!(endpoint::by_uid(&store, APP, "hook 2").unwrap(), Some(EndpointId(2)));
    let due = rows::due::encode(target(1, 1), UnixMs(50), Seq(3));
    remove(&store, vec![due.clone()]);
    mended(&store, vec![Finding::Unknown]);
    assert!(store.get(&due).unwrap().is_some());
    // One that is left over from a commit that is lost.
    remove(&store, vec![pending]);
    mended(&store, vec![Finding::Unknown]);
    assert!(store.get(&due).unwrap().is_none());
}

#[test]
fn an_endpoint_whose_mark_is_lost_gets_what_it_may_not_have_had() {
    let store = nine_events();
    let cursor = rows::cursor::encode(target(1, 1));
    remove(&store, vec![cursor.clone()]);
    let text = mended(&store, vec![lost(cursor.clone(), [cursor, vec![0]].concat())]);
    assert!(text.contains("where endpoint 1 of application 1 stood: it gets the messages behind position 0"), "{text}");
    let stands = delivery::cursor(&store, target(1, 1)).unwrap();
    assert_eq!(stands, Some(Cursor { upto: Seq(0), holes: Vec::new() }));
    assert_eq!(delivery::cursor(&store, target(1, 2)).unwrap(), None, "this one had none");
    // If the mark of the application is lost, all behind the last known delivery is offered again.
    let routed = rows::routed::encode(APP);
    let store = nine_events();
    remove(&store, vec![routed.clone()]);
    mended(&store, vec![lost(routed.clone(), [routed, vec![0]].concat())]);
    assert_eq!(delivery::routed(&store, APP).unwrap(), Seq(5));
}

#[test]
fn no_position_and_no_number_is_given_out_twice() {
    let store = nine_events();
    store.write(|txn| {
        delivery::put_routed(txn, APP, Seq(6));
        Ok(())
    });
    let text = mended(&store, vec![Finding::LostCommits(5, 5)]);
    assert!(text.contains("behind position 9; the next one gets position 110"), "{text}");
    assert_eq!(log::head(&store, APP).unwrap(), Seq(109));
    // The engine offers nothing again below that, so an endpoint that has not had 7 to 9 has a mark now that says so.
    let stands = delivery::cursor(&store, target(1, 2)).unwrap();
    assert_eq!(stands, Some(Cursor { upto: Seq(6), holes: Vec::new() }));
    let last: u32 =
        rows::meta::from_value(&store.get(&rows::meta::encode("last_endpoint_id")).unwrap().unwrap()).unwrap();
    assert_eq!(last, 2);
}
