//! The judgement: does the ledger balance?
//!
//! Every acknowledged event must have arrived at every endpoint that must get it. An event whose acknowledgement was
//! lost may have arrived or not. It is a full scan: nothing is inferred from running totals.

use super::Ledger;
use super::chunk::CHUNK_EVENTS;
use std::sync::atomic::Ordering::Relaxed;

/// The result of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Events sent.
    pub(crate) sent: u64,
    /// Events acknowledged.
    pub(crate) acked: u64,
    /// Deliveries owed: acknowledged events x endpoints that must get them.
    pub(crate) owed: u64,
    /// Deliveries that arrived, each once.
    pub(crate) received: u64,
    /// Deliveries owed that did not arrive.
    pub(crate) lost: u64,
    /// Deliveries that arrived more than once.
    pub(crate) duplicated: u64,
    /// Deliveries that arrived after a later one, where order was promised.
    pub(crate) out_of_order: u64,
    /// Deliveries of scheduled events that arrived before their time.
    pub(crate) early: u64,
    /// Acknowledgements or deliveries whose message id was not the event's first one.
    pub(crate) changed_ids: u64,
    /// Signatures that did not verify.
    pub(crate) bad_signatures: u64,
    /// Requests that nobody sent, or to the wrong endpoint.
    pub(crate) unexpected: u64,
    /// Requests answered with a failure on purpose.
    pub(crate) refused: u64,
}

impl Account {
    /// The faults; empty when it balances. Duplicates are only allowed where processes are killed or answers are
    /// late.
    pub(crate) fn complaints(&self, duplicates_allowed: bool) -> Vec<String> {
        let duplicated = if duplicates_allowed { 0 } else { self.duplicated };
        let faults = [
            (self.lost, "deliveries lost"),
            (duplicated, "deliveries duplicated"),
            (self.out_of_order, "deliveries out of order"),
            (self.early, "deliveries before their time"),
            (self.changed_ids, "message ids changed"),
            (self.bad_signatures, "signatures that do not verify"),
            (self.unexpected, "requests that nobody sent"),
        ];
        faults.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }
}

impl Ledger {
    /// Deliveries owed that have not arrived.
    pub(crate) fn missing(&self) -> u64 {
        self.account().lost
    }

    /// The judgement over everything so far.
    pub(crate) fn account(&self) -> Account {
        let counts = &self.counts;
        let mut account = Account {
            sent: self.next.load(Relaxed),
            received: counts.received.load(Relaxed),
            out_of_order: counts.out_of_order.load(Relaxed),
            early: counts.early.load(Relaxed),
            changed_ids: counts.changed_ids.load(Relaxed),
            bad_signatures: counts.bad_signatures.load(Relaxed),
            unexpected: counts.unexpected.load(Relaxed),
            refused: counts.refused.load(Relaxed),
            ..Account::default()
        };
        if self.repeats {
            account.acked = counts.acked.load(Relaxed);
            account.owed = counts.healthy_owed.load(Relaxed);
            account.lost = account.owed.saturating_sub(account.received);
            return account;
        }
        for number in 0..account.sent {
            self.add_event(number, &mut account);
        }
        account
    }

    fn add_event(&self, number: u64, account: &mut Account) {
        let Ok(index) = usize::try_from(number) else { return };
        let Some(chunk) = self.chunks.get(index / CHUNK_EVENTS).and_then(|chunk| chunk.get()) else { return };
        let (place, fan_out, stream) = (index % CHUNK_EVENTS, self.streams.fan_out(), self.streams.of(number));
        let is_acked = chunk.acked(place).is_some();
        account.acked += u64::from(is_acked);
        for member in 0..fan_out {
            let is_owed =
                is_acked && !self.is_held(number) && self.streams.is_owed(self.streams.endpoint(stream, member));
            let (seen, again) = chunk.is_seen(place * fan_out as usize + member as usize);
            account.owed += u64::from(is_owed);
            account.lost += u64::from(is_owed && !seen);
            account.duplicated += u64::from(again);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Promise, Receipt};
    use super::*;
    use crate::drive::Streams;
    use std::sync::Arc;

    fn ledger(streams: Streams, promise: Promise) -> Ledger {
        Ledger::new(Arc::new(streams), promise)
    }

    /// Two events to two endpoints, both acknowledged.
    fn sent() -> Ledger {
        let ledger = ledger(Streams::one(2), Promise::Numbers);
        for number in ledger.claim(2).unwrap() {
            ledger.intend(number, 100);
            ledger.ack(number, 150);
        }
        ledger
    }

    #[test]
    fn what_arrived_once_everywhere_balances() {
        let ledger = sent();
        assert_eq!(ledger.missing(), 4);
        for member in 0..2 {
            let first = Receipt::First { latency_us: 100, after_ack_us: 50 };
            assert_eq!(ledger.receive(0, b"id", 0, member, 200), first);
            assert_eq!(ledger.receive(1, b"id", 0, member, 200), first);
        }
        let account = ledger.account();
        assert_eq!((account.sent, account.acked, account.owed, account.received), (2, 2, 4, 4));
        assert!(account.complaints(false).is_empty(), "{account:?}");
    }

    #[test]
    fn what_did_not_arrive_is_lost() {
        let ledger = sent();
        ledger.receive(0, b"id", 0, 0, 200);
        assert_eq!(ledger.account().complaints(true), ["3 deliveries lost"]);
    }

    #[test]
    fn what_arrived_twice_is_counted_once_for_each_delivery() {
        let ledger = sent();
        for _ in 0..3 {
            ledger.receive(0, b"id", 0, 0, 200);
        }
        assert_eq!(ledger.receive(0, b"id", 0, 0, 200), Receipt::Again);
        let account = ledger.account();
        assert_eq!((account.duplicated, account.received), (1, 1));
        assert!(account.complaints(false).contains(&"1 deliveries duplicated".to_owned()));
        assert_eq!(account.complaints(true), ["3 deliveries lost"]);
    }

    #[test]
    fn an_id_must_stay_the_same() {
        let ledger = sent();
        ledger.note_id(0, b"msg_a");
        ledger.receive(0, b"msg_a", 0, 0, 200);
        ledger.receive(1, b"msg_b", 0, 0, 200);
        assert_eq!(ledger.account().changed_ids, 0);
        ledger.receive(0, b"msg_c", 0, 1, 200);
        assert_eq!(ledger.account().changed_ids, 1);
    }

    #[test]
    fn an_unacknowledged_event_may_arrive_or_not() {
        let ledger = ledger(Streams::one(1), Promise::None);
        assert_eq!(ledger.claim(2), Some(0..2));
        assert_eq!(ledger.receive(0, b"id", 0, 0, 200), Receipt::First { latency_us: 200, after_ack_us: 0 });
        assert!(ledger.account().complaints(false).is_empty());
    }

    #[test]
    fn a_later_event_first_is_out_of_order() {
        let ledger = sent();
        ledger.receive(1, b"id", 0, 0, 200);
        ledger.receive(0, b"id", 0, 0, 200);
        assert_eq!(ledger.account().out_of_order, 1);
    }

    #[test]
    fn an_event_that_was_accepted_before_another_was_sent_comes_first() {
        let ledger = ledger(Streams::one(2), Promise::Times);
        // Sent and acknowledged: the first two were under way together, the third was sent after both.
        for (number, sent_us, acked_us) in [(0, 100, 150), (1, 120, 140), (2, 200, 250)] {
            ledger.claim(1).unwrap();
            ledger.intend(number, sent_us);
            ledger.ack(number, acked_us);
        }
        for number in [1, 0, 2] {
            ledger.receive(number, b"id", 0, 0, 300);
        }
        assert_eq!(ledger.account().out_of_order, 0);
        for number in [2, 1, 0] {
            ledger.receive(number, b"id", 0, 1, 300);
        }
        assert_eq!(ledger.account().complaints(false), ["2 deliveries out of order"]);
    }

    #[test]
    fn a_scheduled_event_must_not_come_before_its_time() {
        let ledger = sent();
        ledger.intend(0, 2_000_000);
        ledger.receive(0, b"id", 0, 0, 1_999_500);
        assert_eq!(ledger.account().early, 0, "the API takes whole ms");
        ledger.receive(0, b"id", 0, 1, 1_998_000);
        assert_eq!(ledger.account().early, 1);
    }

    #[test]
    fn what_is_held_is_owed_to_nobody_and_must_not_come() {
        let ledger = ledger(Streams::one(2), Promise::None);
        ledger.hold(0..2);
        ledger.claim(3).unwrap().for_each(|number| ledger.ack(number, 1));
        assert_eq!((ledger.account().owed, ledger.totals().healthy_owed), (2, 2));
        assert_eq!(ledger.receive(1, b"id", 0, 0, 200), Receipt::Unexpected);
        assert!(matches!(ledger.receive(2, b"id", 0, 0, 200), Receipt::First { .. }));
    }

    #[test]
    fn strangers_are_noticed() {
        let ledger = sent();
        assert_eq!(ledger.receive(2, b"id", 0, 0, 200), Receipt::Unexpected, "a number that was not sent");
        assert_eq!(ledger.receive(0, b"id", 1, 0, 200), Receipt::Unexpected, "a stream that does not exist");
        assert_eq!(ledger.receive(0, b"id", 0, 2, 200), Receipt::Unexpected, "an endpoint that does not exist");
        ledger.bad_signature();
        let complaints = ledger.account().complaints(true);
        assert!(complaints.contains(&"1 signatures that do not verify".to_owned()), "{complaints:?}");
        assert!(complaints.contains(&"3 requests that nobody sent".to_owned()), "{complaints:?}");
    }

    #[test]
    fn an_exempt_endpoint_is_owed_nothing() {
        let ledger = ledger(Streams::even(2, 1).with_bad(1, false), Promise::None);
        let mut owed = 0;
        for number in ledger.claim(100).unwrap() {
            ledger.ack(number, 1);
            if ledger.streams.of(number) == 1 {
                owed += 1;
            }
        }
        assert_eq!(ledger.account().owed, owed);
        assert_eq!(ledger.totals().healthy_owed, owed);
        assert!(owed > 20 && owed < 80, "{owed} of 100");
    }
}
