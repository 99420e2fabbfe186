//! The end of a message's payload: it is removed, and every delivery that still waits for an attempt ends.
//!
//! A delivery that waits for a retry becomes a dead letter with the reason `expunged` in the same commit. A delivery
//! that was not tried yet has no row, and one whose first attempt is in flight gets its row later. Their lanes find the
//! payload gone and end them in the same way. The commit tells the engine ([`Change::Expunged`]), whose copies in
//! memory are void then. It also asks for an erasure of the store's files ([`super::erasure`]).

use crate::rows::{KeyKind, expunge_at};
use crate::store::{Direction, StoreError};
use crate::tables::{application, dead_letter, delivery, erasure, log, purge, scan};
use crate::txn::{Change, Txn};
use model::{AppId, DeadLetter, DeadLetterReason, EndpointId, EndpointRef, Seq, UnixMs};

/// Endpoints with retries that are looked at for one message. Deliveries to further endpoints end when they are due.
const ENDPOINTS_MAX: usize = if cfg!(test) { 3 } else { 1_024 };

/// Removes a message's payload and ends its deliveries. Answers `true` if there was a payload: a message that is
/// unknown, or expunged already, is left as it is.
///
/// # Errors
/// Whatever the store reports, and corruption of the message's block or of a delivery's row.
pub fn message(txn: &mut Txn<'_>, app: AppId, seq: Seq, now: UnixMs) -> Result<bool, StoreError> {
    if !log::expunge(txn, app, seq)? {
        // Retention may have removed the message since the caller looked; even so, copies in memory must not be sent.
        // An application that is gone has nothing in memory.
        if application::get(txn, app)?.is_some() {
            txn.tell(Change::Expunged(app, seq));
        }
        return Ok(false);
    }
    end_retries(txn, app, seq, now)?;
    erasure::want(txn)?;
    txn.tell(Change::Expunged(app, seq));
    Ok(true)
}

/// Expunges up to `limit` messages whose time has come by `now`, and answers how many rows it looked at.
///
/// # Errors
/// Whatever the store reports, or a corrupt key.
pub fn due(txn: &mut Txn<'_>, now: UnixMs, limit: usize) -> Result<u64, StoreError> {
    let rows = scan(txn, &expunge_at::due_by(now), limit, Direction::Forward)?;
    for (key, _) in &rows {
        let (_, app, seq) = expunge_at::decode(key)?;
        match message(txn, app, seq, now) {
            Ok(_) => {}
            // Its payload cannot be read either. Its entry is removed, so that it holds the others up no longer.
            Err(StoreError::CorruptRow { kind, detail }) => {
                tracing::error!(%app, %seq, kind, detail, "a message cannot be expunged: it is damaged");
            }
            Err(error) => return Err(error),
        }
        // The entry goes also when the message, or its application, is gone.
        txn.delete(key.clone());
    }
    Ok(rows.len() as u64)
}

/// Gives up the deliveries of a message that wait for a retry.
fn end_retries(txn: &mut Txn<'_>, app: AppId, seq: Seq, now: UnixMs) -> Result<(), StoreError> {
    // No endpoint has this number: a seek from here finds the application's first.
    let mut target = EndpointRef { app, endpoint: EndpointId(0) };
    for _ in 0..ENDPOINTS_MAX {
        let next = purge::next_endpoint(txn, KeyKind::Pending, Some(target))?;
        let Some(next) = next.filter(|next| next.app == app) else { break };
        target = next;
        if let Some(row) = delivery::pending(txn, target, seq)? {
            delivery::remove_pending(txn, target, seq, row.due);
            dead_letter::put(txn, target, seq, &given_up(row.attempts, row.last_outcome, now))?;
            // Its lane may hold up others for it until its retry would have been due.
            txn.tell(Change::Requeued(target));
        }
    }
    Ok(())
}

fn given_up(attempts: u16, last_outcome: Option<model::OutcomeClass>, at: UnixMs) -> DeadLetter {
    DeadLetter { at, attempts, reason: DeadLetterReason::Expunged, last_outcome, last_status: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::{TestStore, target};
    use bytes::Bytes;
    use model::{Application, Event, EventMore, Pending, Trigger};
    use std::sync::Arc;

    const NOW: UnixMs = UnixMs(9);

    fn event(app: u32, seq: u64) -> Event {
        Event {
            app: AppId(app),
            seq: Seq(seq),
            accepted_at: UnixMs(seq),
            event_type: Arc::from("a"),
            event_id: None,
            channels: Vec::new(),
            only_for: None,
            more: None,
            payload: Bytes::from_static(b"{\"a\":1}"),
        }
    }

    fn waits(store: &TestStore, app: u32, endpoint: u32, seq: u64) -> bool {
        delivery::pending(store, target(app, endpoint), Seq(seq)).unwrap().is_some()
    }

    fn reason(store: &TestStore, app: u32, endpoint: u32, seq: u64) -> Option<(DeadLetterReason, u16)> {
        dead_letter::get(store, target(app, endpoint), Seq(seq)).unwrap().map(|row| (row.reason, row.attempts))
    }

    /// Two applications with two messages, of which each waits for a retry to four endpoints.
    fn world() -> TestStore {
        let store = TestStore::default();
        let row = Pending { attempts: 2, due: UnixMs(50), last_outcome: None, trigger: Trigger::Scheduled };
        for app in [1, 2] {
            store.write(|txn| {
                log::append(txn, AppId(app), &[event(app, 1), event(app, 2)])?;
                for endpoint in 1..=4 {
                    for seq in [1, 2] {
                        delivery::put_pending(txn, target(app, endpoint), Seq(seq), None, &row);
                    }
                }
                Ok(())
            });
        }
        store
    }

    #[test]
    fn retries_of_the_message_end_with_the_reason_and_no_others_do() {
        let store = world();
        store.write(|txn| {
            assert!(message(txn, AppId(1), Seq(2), NOW)?);
            let (last, told) = txn.changes().split_last().expect("it tells of the message");
            assert!(matches!(last, Change::Expunged(AppId(1), Seq(2))), "{last:?}");
            // Their lanes may hold up others for these retries.
            let is_told = |(id, change): (u32, &Change)| matches!(change, Change::Requeued(of) if of.endpoint.0 == id);
            assert!(told.len() == 3 && (1..).zip(told).all(is_told), "{told:?}");
            Ok(())
        });
        assert!(log::get(&store, AppId(1), Seq(2)).unwrap().unwrap().is_expunged());
        for endpoint in 1..=3 {
            assert!(!waits(&store, 1, endpoint, 2));
            assert_eq!(reason(&store, 1, endpoint, 2), Some((DeadLetterReason::Expunged, 2)));
            assert!(waits(&store, 1, endpoint, 1) && waits(&store, 2, endpoint, 2));
        }
        assert!(waits(&store, 1, 4, 2), "beyond the bound its lane ends it");
        assert!(!log::get(&store, AppId(1), Seq(1)).unwrap().unwrap().is_expunged());
        assert!(!log::get(&store, AppId(2), Seq(2)).unwrap().unwrap().is_expunged());
    }

    #[test]
    fn what_is_due_goes_in_the_order_of_its_time_and_nothing_before() {
        let store = TestStore::default();
        let timed = |seq, at| Event {
            more: Some(Arc::new(EventMore {
                tags: vec!["t".to_owned()],
                expunge_at: Some(UnixMs(at)),
                ..EventMore::default()
            })),
            ..event(1, seq)
        };
        store.write(|txn| {
            log::append(txn, AppId(1), &[timed(1, 30), timed(2, 10), timed(3, 20)])?;
            for (seq, at) in [(1, 30), (2, 10), (3, 20)] {
                txn.put(expunge_at::encode(UnixMs(at), AppId(1), Seq(seq)), Bytes::new());
            }
            // An entry of an application that is gone.
            txn.put(expunge_at::encode(UnixMs(5), AppId(7), Seq(1)), Bytes::new());
            Ok(())
        });
        let expunged = || {
            let events = log::read_after(&store, AppId(1), Seq::ZERO, 9, usize::MAX).unwrap();
            assert!(events.iter().all(|event| event.tags() == ["t"]));
            events.iter().filter(|event| event.is_expunged()).map(|event| event.seq.0).collect::<Vec<_>>()
        };
        let step = |now, limit| {
            let mut looked_at = 0;
            store.write(|txn| {
                looked_at = due(txn, UnixMs(now), limit)?;
                Ok(())
            });
            (looked_at, expunged())
        };
        assert_eq!(step(4, 9), (0, vec![]));
        assert_eq!(step(20, 2), (2, vec![2]));
        assert_eq!(step(20, 2), (1, vec![2, 3]));
        assert_eq!(step(29, 2), (0, vec![2, 3]));
        // Expunged by hand before its time: nothing is left to do then.
        store.write(|txn| message(txn, AppId(1), Seq(1), NOW).map(drop));
        assert_eq!(step(99, 9), (0, vec![1, 2, 3]));
    }

    #[test]
    fn a_second_time_and_an_unknown_message_change_nothing() {
        let store = world();
        store.write(|txn| message(txn, AppId(1), Seq(2), NOW).map(drop));
        store.write(|txn| {
            assert!(!message(txn, AppId(1), Seq(2), NOW)?);
            assert!(!message(txn, AppId(1), Seq(7), NOW)?);
            assert!(txn.is_empty() && txn.changes().is_empty());
            Ok(())
        });
    }

    #[test]
    fn of_a_message_that_retention_has_taken_copies_in_memory_are_void_too() {
        let store = world();
        let app = Application { name: "a".to_owned(), ..Application::plain(AppId(1), NOW) };
        store.write(|txn| application::put(txn, &app));
        let changes = store.write(|txn| message(txn, AppId(1), Seq(7), NOW).map(drop));
        assert!(matches!(changes[..], [Change::Expunged(AppId(1), Seq(7))]), "{changes:?}");
    }
}
