//! The ledger: accepted events against received requests, kept by the tenant and the receiver and not by the engine.
//!
//! Every accepted event is one delivery for every endpoint that wants it. Each must end in exactly one of two ways: the
//! endpoint said 200, or the API shows it as a dead letter. The ledger does no I/O.

use super::scene::{ROLES, Role};
use hdrhistogram::Histogram;
use std::collections::{HashMap, HashSet};

/// Latencies up to 2 minutes, with 2 digits.
const LATENCY_MAX_MS: u64 = 120_000;

/// An event that was accepted.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    event_type: &'static str,
    /// By the engine's clock, which is the receiver's too.
    at_ms: u64,
}

/// The requests that one endpoint got for one event.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Answered with a success.
    successes: u32,
    /// Answered with a failure.
    failures: u32,
    /// When the first success arrived.
    received_at_ms: u64,
}

/// One endpoint's page.
#[derive(Debug, Default)]
struct Page {
    seen: HashMap<String, Seen>,
    dead_letters: HashSet<String>,
    bad_signatures: u64,
    requests: u64,
    failures: u64,
    successes: u64,
}

/// The whole book.
#[derive(Debug)]
pub(super) struct Ledger {
    accepted: HashMap<String, Accepted>,
    pages: Vec<Page>,
    busy: u64,
}

/// The progress of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Requests that arrived.
    pub(super) requests: u64,
    /// Answered with a success.
    pub(super) successes: u64,
    /// Answered with a failure.
    pub(super) failures: u64,
}

/// The judgement over one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// The endpoint.
    pub(super) name: &'static str,
    /// Its behaviour in a few words.
    pub(super) note: &'static str,
    /// Deliveries that it was owed.
    pub(super) expected: u64,
    /// Of those, the ones it got.
    pub(super) delivered: u64,
    /// Attempts that failed and were followed by another.
    pub(super) retried: u64,
    /// Deliveries given up, as the API shows them.
    pub(super) dead_lettered: u64,
    /// Neither delivered nor given up.
    pub(super) lost: u64,
    /// Successes beyond the first of an event.
    pub(super) duplicated: u64,
    /// Requests for events that were never accepted, or that it does not want; dead letters that were delivered.
    pub(super) unexpected: u64,
    /// Signatures that did not verify.
    pub(super) bad_signatures: u64,
    /// From acceptance to receipt, median, in ms.
    pub(super) p50_ms: u64,
    /// From acceptance to receipt, 99th percentile, in ms.
    pub(super) p99_ms: u64,
}

// === impl Ledger ===

impl Ledger {
    /// An empty book with a page for each endpoint.
    pub(super) fn new() -> Ledger {
        Ledger { accepted: HashMap::new(), pages: ROLES.iter().map(|_| Page::default()).collect(), busy: 0 }
    }

    /// The tenant was told that an event is accepted.
    pub(super) fn accept(&mut self, message_id: String, event_type: &'static str, at_ms: u64) {
        self.accepted.insert(message_id, Accepted { event_type, at_ms });
    }

    /// The tenant was told to come back later.
    pub(super) fn refused_as_busy(&mut self) {
        self.busy += 1;
    }

    /// Times that the tenant was told to come back later.
    pub(super) fn busy(&self) -> u64 {
        self.busy
    }

    /// Events accepted so far.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.len() as u64
    }

    /// An endpoint got a request and answers it.
    pub(super) fn receive(&mut self, role: usize, message_id: &str, success: bool, signed: bool, at_ms: u64) {
        let Some(page) = self.pages.get_mut(role) else { return };
        page.requests += 1;
        page.bad_signatures += u64::from(!signed);
        let seen = page.seen.entry(message_id.to_owned()).or_default();
        if success {
            page.successes += 1;
            if seen.successes == 0 {
                seen.received_at_ms = at_ms;
            }
            seen.successes += 1;
        } else {
            page.failures += 1;
            seen.failures += 1;
        }
    }

    /// The API shows a delivery as given up.
    pub(super) fn dead_letter(&mut self, role: usize, message_id: String) {
        if let Some(page) = self.pages.get_mut(role) {
            page.dead_letters.insert(message_id);
        }
    }

    /// The progress of an endpoint.
    pub(super) fn progress(&self, role: usize) -> Progress {
        self.pages.get(role).map_or_else(Progress::default, |page| Progress {
            requests: page.requests,
            successes: page.successes,
            failures: page.failures,
        })
    }

    /// Deliveries owed to an endpoint so far.
    pub(super) fn expected(&self, role: &Role) -> u64 {
        self.accepted.values().filter(|event| role.wants(event.event_type)).count() as u64
    }

    /// Deliveries that an endpoint has answered with a success at least once.
    pub(super) fn delivered(&self, role: usize) -> u64 {
        self.pages.get(role).map_or(0, |page| page.seen.values().filter(|seen| seen.successes > 0).count() as u64)
    }

    /// The judgement over every endpoint.
    pub(super) fn accounts(&self) -> Vec<Account> {
        ROLES.iter().zip(&self.pages).map(|(role, page)| self.account(role, page)).collect()
    }

    fn account(&self, role: &Role, page: &Page) -> Account {
        let mut account = Account {
            name: role.name,
            note: role.note,
            expected: 0,
            delivered: 0,
            retried: 0,
            dead_lettered: page.dead_letters.len() as u64,
            lost: 0,
            duplicated: 0,
            unexpected: 0,
            bad_signatures: page.bad_signatures,
            p50_ms: 0,
            p99_ms: 0,
        };
        let mut latency_ms = Histogram::<u32>::new_with_bounds(1, LATENCY_MAX_MS, 2).ok();
        for (id, event) in self.accepted.iter().filter(|(_, event)| role.wants(event.event_type)) {
            account.expected += 1;
            let seen = page.seen.get(id).copied().unwrap_or_default();
            let dead = page.dead_letters.contains(id);
            account.delivered += u64::from(seen.successes > 0);
            account.lost += u64::from(seen.successes == 0 && !dead);
            account.unexpected += u64::from(seen.successes > 0 && dead);
            account.duplicated += u64::from(seen.successes.saturating_sub(1));
            // The last failure of a dead letter was not followed by another attempt.
            account.retried += u64::from(seen.failures.saturating_sub(u32::from(dead)));
            if seen.successes > 0
                && let Some(histogram) = &mut latency_ms
            {
                histogram.saturating_record(seen.received_at_ms.saturating_sub(event.at_ms));
            }
        }
        let wanted = |id: &&String| self.accepted.get(*id).is_some_and(|event| role.wants(event.event_type));
        account.unexpected += page.seen.keys().chain(&page.dead_letters).filter(|id| !wanted(id)).count() as u64;
        if let Some(histogram) = latency_ms.filter(|histogram| !histogram.is_empty()) {
            account.p50_ms = histogram.value_at_quantile(0.5);
            account.p99_ms = histogram.value_at_quantile(0.99);
        }
        account
    }
}

// === impl Account ===

impl Account {
    /// Its faults; empty when it balances. A duplicate is allowed, as the promise is at least once, and shown.
    pub(super) fn complaints(&self, is_dead: bool) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut complain = |count: u64, what: &str| {
            if count > 0 {
                complaints.push(format!("{}: {count} {what}", self.name));
            }
        };
        complain(self.lost, "deliveries lost");
        complain(self.unexpected, "deliveries that nobody ordered, or that ended twice");
        complain(self.bad_signatures, "signatures that do not verify");
        if is_dead {
            complain(self.delivered, "deliveries to an endpoint that took none");
        } else {
            complain(self.dead_lettered, "dead letters of an endpoint that recovers");
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: usize = 0;
    const DEAD: usize = 5;

    /// Two events: one for everyone, one that the dead endpoint wants too.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new();
        ledger.accept("msg_1".to_owned(), "user.updated", 1_000);
        ledger.accept("msg_2".to_owned(), "account.closed", 1_000);
        ledger
    }

    fn complaints(ledger: &Ledger, role: usize) -> Vec<String> {
        ledger.accounts()[role].complaints(ROLES[role].is_dead())
    }

    #[test]
    fn what_arrived_once_balances() {
        let mut ledger = ledger();
        assert_eq!(complaints(&ledger, HEALTHY), ["warehouse: 2 deliveries lost"]);
        ledger.receive(HEALTHY, "msg_1", true, true, 1_010);
        ledger.receive(HEALTHY, "msg_2", false, true, 1_010);
        ledger.receive(HEALTHY, "msg_2", true, true, 1_210);
        assert!(complaints(&ledger, HEALTHY).is_empty());
        let account = &ledger.accounts()[HEALTHY];
        assert_eq!((account.expected, account.delivered, account.retried, account.duplicated), (2, 2, 1, 0));
        assert_eq!(account.p50_ms, 10);
        assert!((209..=211).contains(&account.p99_ms));
    }

    #[test]
    fn a_second_success_is_a_duplicate_and_no_complaint() {
        let mut ledger = ledger();
        for _ in 0..2 {
            ledger.receive(HEALTHY, "msg_1", true, true, 1_010);
            ledger.receive(HEALTHY, "msg_2", true, true, 1_010);
        }
        assert_eq!(ledger.accounts()[HEALTHY].duplicated, 2);
        assert!(complaints(&ledger, HEALTHY).is_empty());
    }

    #[test]
    fn a_dead_letter_balances_only_where_it_belongs() {
        let mut ledger = ledger();
        for _ in 0..3 {
            ledger.receive(DEAD, "msg_2", false, true, 1_010);
        }
        assert_eq!(complaints(&ledger, DEAD), ["partner-c: 1 deliveries lost"]);
        ledger.dead_letter(DEAD, "msg_2".to_owned());
        assert!(complaints(&ledger, DEAD).is_empty());
        assert_eq!(ledger.accounts()[DEAD].retried, 2);
        ledger.receive(HEALTHY, "msg_1", true, true, 1_010);
        ledger.dead_letter(HEALTHY, "msg_2".to_owned());
        assert_eq!(complaints(&ledger, HEALTHY), ["warehouse: 1 dead letters of an endpoint that recovers"]);
    }

    #[test]
    fn a_forged_an_unknown_and_an_unwanted_request_are_noticed() {
        let mut ledger = ledger();
        ledger.dead_letter(DEAD, "msg_2".to_owned());
        ledger.receive(DEAD, "msg_1", false, true, 1_010);
        ledger.receive(DEAD, "msg_9", false, false, 1_010);
        let complaints = complaints(&ledger, DEAD);
        assert!(complaints[0].contains("2 deliveries that nobody ordered"), "{complaints:?}");
        assert!(complaints[1].contains("1 signatures that do not verify"), "{complaints:?}");
    }
}
