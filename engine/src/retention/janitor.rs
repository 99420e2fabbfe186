//! The janitor: the one task that makes retention's steps, each a small change, with pauses between them.
//!
//! - *Who owns the state:* this task; a restart begins a new pass.
//! - *What bounds it:* one step at a time, of about 256 rows; at most one commit in five carries one.
//! - *When the writer is busy:* it waits.
//! - *When the process dies here:* each step is whole or not made; the rows it left are found again.
//!
//! No decision of what may go.

use super::round::{Found, Round};
use super::step::{Step, Sweep, Tally};
use super::{Cutoffs, Limits, RetentionClock, pause_ms, rest_ms};
use crate::clock::Clock;
use crate::gauges::{Part, Said};
use metrics::Counter;
use model::{DeadLetterReason, UnixMs, metric};
use std::time::{Duration, Instant};
use storage::rows::meta::Retained;
use storage::tables::retained;
use storage::writer::{ChangeError, WriterHandle};
use storage::{SharedStore, StoreError};

/// Things looked at in one go on a thread that may block.
const LOOKS: usize = 256;

/// Pause before a busy writer is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Interval at which the bytes are looked at between two passes.
const GLANCE: Duration = Duration::from_secs(1);

/// Advance of the time, in ms, after which it is noted when nothing else is.
const NOTE_CLOCK_MS: u64 = 600_000;

/// Removes rows past their limits until the store is gone, and says how many seconds its clock is behind.
pub(crate) async fn run(
    store: SharedStore,
    writer: WriterHandle,
    clock: Clock,
    limits: Limits,
    period_ms: u64,
    lag_seconds: Said,
) {
    let now = clock.now();
    let noted = retained::clock(&*store).ok().flatten();
    let mut janitor = Janitor { store, writer, clock, counters: Counters::new() };
    let mut time = RetentionClock::resume(noted, now);
    let mut noted = noted;
    loop {
        let begun = Instant::now();
        let now = janitor.clock.now();
        let cutoffs = limits.cutoffs(time.advance(now));
        lag_seconds.set(now.since_ms(cutoffs.time) as f64 / 1_000.0);
        let Ok(done) = janitor.round(&limits, cutoffs, now).await else { return };
        let anything = done != Tally::default();
        if anything {
            tracing::info!(events = done.events, attempts = done.attempts, expired = done.expired, "retention removed");
        }
        let moved_on = noted.is_none_or(|noted| cutoffs.time.since_ms(noted) >= NOTE_CLOCK_MS || cutoffs.time < noted);
        if anything || moved_on {
            if janitor.change(Step::NoteClock, cutoffs, false).await.is_err() {
                return;
            }
            noted = Some(cutoffs.time);
        }
        let worked_ms = begun.elapsed().as_millis() as u64;
        if janitor.rest(&limits, worked_ms, period_ms, done.events > 0).await.is_err() {
            return;
        }
    }
}

/// There is no use in going on: the store failed, or the process is stopping.
struct Over;

struct Janitor {
    store: SharedStore,
    writer: WriterHandle,
    clock: Clock,
    counters: Counters,
}

impl Janitor {
    /// Makes every step of one round.
    async fn round(&mut self, limits: &Limits, cutoffs: Cutoffs, now: UnixMs) -> Result<Tally, Over> {
        let mut done = Tally::default();
        let mut round = Round::new(limits, self.retained()?, cutoffs, now);
        loop {
            let (found, asked) = self.blocking(move |store| (round.next(store, LOOKS), round)).await?;
            round = asked;
            match found {
                Ok(Found::Step(step)) => {
                    let tally = self.change(step, cutoffs, round.relieves()).await?;
                    round.made(&tally);
                    done.add(&tally);
                }
                Ok(Found::Nothing) => {}
                Ok(Found::End) => return Ok(done),
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    /// Makes one step durable and leaves the writer alone for a while.
    async fn change(&self, step: Step, cutoffs: Cutoffs, too_much: bool) -> Result<Tally, Over> {
        loop {
            let (step, now, begun) = (step.clone(), self.clock.now(), Instant::now());
            match self.writer.change(move |txn| step.run(txn, &cutoffs, now)).await {
                Ok(tally) => {
                    self.counters.count(&tally);
                    let took_ms = begun.elapsed().as_millis() as u64;
                    tokio::time::sleep(Duration::from_millis(pause_ms(took_ms, too_much))).await;
                    return Ok(tally);
                }
                Err(ChangeError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
                // It went well when it was tried. The next look tells of any change meanwhile.
                Err(ChangeError::Rejected(error) | ChangeError::Refused(error)) => {
                    tracing::error!(%error, "a step of retention failed");
                    tokio::time::sleep(GLANCE).await;
                    return Ok(Tally::default());
                }
                Err(ChangeError::Unavailable(_)) => return Err(Over),
            }
        }
    }

    /// Sleeps until the next round is due: for a while, or until there is too much.
    async fn rest(&mut self, limits: &Limits, worked_ms: u64, period_ms: u64, removed: bool) -> Result<(), Over> {
        let begun = Instant::now();
        loop {
            let too_much = limits.excess(self.retained()?) > 0;
            let rest = Duration::from_millis(rest_ms(worked_ms, period_ms, too_much, removed));
            let Some(left) = rest.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) else { return Ok(()) };
            tokio::time::sleep(left.min(GLANCE)).await;
        }
    }

    fn retained(&mut self) -> Result<Retained, Over> {
        let retained = retained::get(&*self.store).map_err(|error| failed(&error))?;
        self.counters.events_retained.set(retained.events as f64);
        self.counters.attempts_retained.set(retained.attempts as f64);
        Ok(retained)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn storage::Store) -> T + Send + 'static,
    ) -> Result<T, Over> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || read(&*store)).await.map_err(|_| Over)
    }
}

fn failed(error: &StoreError) -> Over {
    tracing::error!(%error, "retention ends: the store cannot be read");
    Over
}

/// The series, there from the start.
struct Counters {
    events: Counter,
    event_bytes: Counter,
    attempts: Counter,
    attempt_bytes: Counter,
    expunged: Counter,
    expired: Counter,
    swept: [Counter; Sweep::ALL.len()],
    events_retained: Part,
    attempts_retained: Part,
}

impl Counters {
    fn new() -> Counters {
        let removed = |kind: &'static str| metrics::counter!(metric::RETENTION_REMOVED, "kind" => kind);
        let bytes = |kind: &'static str| metrics::counter!(metric::RETENTION_REMOVED_BYTES, "kind" => kind);
        let retained = |kind: &'static str| Part::new(metrics::gauge!(metric::RETAINED_BYTES, "kind" => kind));
        metrics::counter!(metric::EXPIRED_UNTRIED).increment(0);
        Counters {
            events: removed("events"),
            event_bytes: bytes("events"),
            attempts: removed("attempts"),
            attempt_bytes: bytes("attempts"),
            expunged: removed("payloads"),
            expired: metrics::counter!(metric::DEAD_LETTERS, "reason" => DeadLetterReason::Expired.as_str()),
            swept: Sweep::ALL.map(|kind| {
                removed(match kind {
                    Sweep::DeadLetters => "dead_letters",
                    Sweep::Expired => "expired_notes",
                    Sweep::Gaps => "gaps",
                    Sweep::IdempotencyKeys => "idempotency_keys",
                    Sweep::Jobs => "jobs",
                    Sweep::DeletedEndpoints => "deleted_endpoints",
                    Sweep::EndpointUrls => "endpoint_urls",
                    Sweep::Audit => "audit_records",
                })
            }),
            events_retained: retained("events"),
            attempts_retained: retained("attempts"),
        }
    }

    fn count(&self, tally: &Tally) {
        self.events.increment(tally.events);
        self.event_bytes.increment(tally.event_bytes);
        self.attempts.increment(tally.attempts);
        self.attempt_bytes.increment(tally.attempt_bytes);
        self.expired.increment(tally.expired);
        self.expunged.increment(tally.expunged);
        for (counter, removed) in self.swept.iter().zip(tally.swept) {
            counter.increment(removed);
        }
    }
}
