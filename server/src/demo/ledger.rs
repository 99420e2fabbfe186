//! The ledger: accepted events against received requests, kept by the tenant and the receiver and not by the engine.
//!
//! Every accepted event is one delivery for every endpoint that wants it. Each must end in exactly one of two ways: the
//! endpoint said 200, or the API shows it as a dead letter. A backup says it in the place of its endpoint, and one that
//! is promised an order must have seen it. The ledger does no I/O.

use super::order::{Place, Sequence};
use super::scene::{ROLES, Role};
use hdrhistogram::Histogram;
use std::collections::{HashMap, HashSet};

#[cfg(test)]
mod tests;

/// Latencies up to 2 minutes, with 2 digits.
const LATENCY_MAX_MS: u64 = 120_000;

/// An event that was accepted.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    place: Place,
    /// By the engine's clock, which is the receiver's too.
    at_ms: u64,
}

/// A request, and the answer that it gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Receipt<'a> {
    /// The `webhook-id`.
    pub(super) message_id: &'a str,
    /// True when the backup of the endpoint got it.
    pub(super) by_backup: bool,
    /// The answer is a success.
    pub(super) success: bool,
    /// The signature is right.
    pub(super) is_signed: bool,
    /// When it arrived.
    pub(super) at_ms: u64,
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
    /// Kept for an endpoint that is promised an order.
    sequence: Option<Sequence>,
    /// Events that the backup took.
    by_backup: u64,
    /// When the endpoint was put back in the place of its backup.
    returned_at_ms: Option<u64>,
    /// Events that the endpoint itself took after that.
    after_return: u64,
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
    /// Requests out of the order that was promised.
    pub(super) out_of_order: u64,
    /// Deliveries that the backup took.
    pub(super) by_backup: u64,
    /// Owed from when the endpoint was put back in the place of its backup.
    pub(super) expected_after_return: u64,
    /// Deliveries that the endpoint itself took from then on.
    pub(super) after_return: u64,
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
        let page = |role: &Role| Page { sequence: role.is_ordered.then(Sequence::default), ..Page::default() };
        Ledger { accepted: HashMap::new(), pages: ROLES.iter().map(page).collect(), busy: 0 }
    }

    /// A pusher was told that its event is accepted.
    pub(super) fn accept(&mut self, message_id: String, place: Place, at_ms: u64) {
        self.accepted.insert(message_id, Accepted { place, at_ms });
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

    /// An endpoint or its backup got a request and answers it.
    pub(super) fn receive(&mut self, role: usize, receipt: Receipt<'_>) {
        let Some(page) = self.pages.get_mut(role) else { return };
        page.requests += 1;
        page.bad_signatures += u64::from(!receipt.is_signed);
        page.failures += u64::from(!receipt.success);
        let seen = page.seen.entry(receipt.message_id.to_owned()).or_default();
        let is_first = receipt.success && seen.successes == 0;
        seen.successes += u32::from(receipt.success);
        seen.failures += u32::from(!receipt.success);
        if is_first {
            seen.received_at_ms = receipt.at_ms;
            page.by_backup += u64::from(receipt.by_backup);
            let is_after_return = page.returned_at_ms.is_some_and(|at| receipt.at_ms >= at);
            page.after_return += u64::from(is_after_return && !receipt.by_backup);
        }
        if let Some(sequence) = &mut page.sequence {
            sequence.note(receipt.message_id, receipt.success, is_first);
        }
    }

    /// The tenant put an endpoint back in the place of its backup.
    pub(super) fn put_back(&mut self, role: usize, at_ms: u64) {
        if let Some(page) = self.pages.get_mut(role) {
            page.returned_at_ms.get_or_insert(at_ms);
        }
    }

    /// True when the tenant has put an endpoint back in the place of its backup.
    pub(super) fn is_back(&self, role: usize) -> bool {
        self.pages.get(role).is_some_and(|page| page.returned_at_ms.is_some())
    }

    /// The API shows a delivery as given up.
    pub(super) fn dead_letter(&mut self, role: usize, message_id: String) {
        if let Some(page) = self.pages.get_mut(role) {
            page.dead_letters.insert(message_id);
        }
    }

    /// The progress of an endpoint.
    pub(super) fn progress(&self, role: usize) -> Progress {
        let of = |page: &Page| Progress { requests: page.requests, failures: page.failures };
        self.pages.get(role).map_or_else(Progress::default, of)
    }

    /// Deliveries owed to an endpoint so far.
    pub(super) fn expected(&self, role: &Role) -> u64 {
        self.accepted.values().filter(|event| role.wants(event.place.number)).count() as u64
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
            out_of_order: 0,
            by_backup: page.by_backup,
            expected_after_return: 0,
            after_return: page.after_return,
            bad_signatures: page.bad_signatures,
            p50_ms: 0,
            p99_ms: 0,
        };
        let mut latency_ms = Histogram::<u32>::new_with_bounds(1, LATENCY_MAX_MS, 2).ok();
        for (id, event) in self.accepted.iter().filter(|(_, event)| role.wants(event.place.number)) {
            account.expected += 1;
            account.expected_after_return += u64::from(page.returned_at_ms.is_some_and(|at| event.at_ms >= at));
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
        let wanted = |id: &&String| self.accepted.get(*id).is_some_and(|event| role.wants(event.place.number));
        account.unexpected += page.seen.keys().chain(&page.dead_letters).filter(|id| !wanted(id)).count() as u64;
        if let Some(sequence) = &page.sequence {
            account.out_of_order = sequence.out_of_order(|id| self.accepted.get(id).map(|event| event.place));
        }
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
    pub(super) fn complaints(&self, role: &Role) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut complain = |count: u64, what: &str| {
            if count > 0 {
                complaints.push(format!("{}: {count} {what}", self.name));
            }
        };
        complain(self.lost, "deliveries lost");
        complain(self.unexpected, "deliveries that nobody ordered, or that ended twice");
        complain(self.out_of_order, "requests out of order");
        complain(self.bad_signatures, "signatures that do not verify");
        if role.backup.is_some() {
            complain(u64::from(self.by_backup == 0), "backup that took nothing");
            complain(
                u64::from(self.after_return == 0 && self.expected_after_return > 0),
                "return after which nothing came",
            );
        }
        if role.is_dead() {
            complain(self.delivered, "deliveries to an endpoint that took none");
        } else {
            complain(self.dead_lettered, "dead letters of an endpoint that recovers");
        }
        complaints
    }
}
