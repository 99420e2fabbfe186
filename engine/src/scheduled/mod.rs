//! Scheduled messages: each is put in line for its endpoints when its time comes.
//!
//! ```text
//! writer ─▶ bell (application, time) ─▶ agenda: whose turn it is ─▶ find (reads) ─▶ Batch::apply (one commit) ─▶ lanes' wheels
//! ```
//!
//! A message is put in line [`AHEAD_MS`] before its time, as a delivery that is due at its time to the millisecond: so
//! the wheel of its shard decides when the attempt starts, and not the time that a commit takes. The endpoints are those
//! that are there then.
//!
//! - *Who owns the state:* the task that [`run`] is owns the [`Agenda`], a cache of the rows of `tables::schedule`.
//! - *What bounds it:* one entry for each application with scheduled messages, however many it has; of the messages
//!   themselves one [`Batch`] is in memory.
//! - *When it is full:* the writer refuses a message beyond its application's quota.
//! - *When a tenant has many:* each application has one batch in turn.
//! - *When the process dies here:* each batch was one commit, and the next start goes on from the rows.

mod agenda;
mod batch;
mod bell;

pub use agenda::{Agenda, Next};
pub use batch::{Batch, find};
pub use bell::{Bell, Rung};

use crate::clock::Clock;
use model::UnixMs;
use std::sync::Arc;
use std::time::Duration;
use storage::writer::{ChangeError, WriterHandle};
use storage::{SharedStore, StoreError};

/// How long before its time a message is put in line.
pub const AHEAD_MS: u64 = 1_000;

/// How long to wait before a busy writer is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// How long an application waits whose scheduled messages could not be put in line.
pub const FAILED_PAUSE_MS: u64 = 10_000;

/// The longest sleep: the clock may be set meanwhile.
const SLEEP_MAX_MS: u64 = 60_000;

/// Puts messages in line until the store is gone.
pub(crate) async fn run(store: SharedStore, writer: WriterHandle, clock: Clock, bell: Arc<Bell>) {
    let mut agenda = Agenda::default();
    loop {
        let (reader, now, rung) = (store.clone(), clock.now(), bell.take());
        // Only with something to read is a thread asked for that may block.
        let found = match agenda.idle_until(&rung, now) {
            Some(until) => Ok(Next::Idle { until }),
            None => {
                let looked = tokio::task::spawn_blocking(move || {
                    let found = agenda.look(&*reader, rung, now);
                    (agenda, found)
                });
                let Ok((looked, found)) = looked.await else { return };
                agenda = looked;
                found
            }
        };
        match found {
            Ok(Next::Batch(batch)) => {
                let (app, next) = (batch.app, batch.next);
                match writer.change(move |txn| batch.apply(txn, now)).await {
                    Ok(()) => agenda.made(app, next, now),
                    Err(ChangeError::Busy) => {
                        agenda.again(app, now);
                        tokio::time::sleep(BUSY_PAUSE).await;
                    }
                    Err(ChangeError::Rejected(error) | ChangeError::Refused(error)) => {
                        failed(&error);
                        agenda.again(app, now.plus_ms(FAILED_PAUSE_MS));
                    }
                    Err(ChangeError::Unavailable(_)) => return,
                }
            }
            Ok(Next::Idle { until }) => {
                let sleep_ms = until.map_or(SLEEP_MAX_MS, |until| until.since_ms(now).clamp(1, SLEEP_MAX_MS));
                drop(tokio::time::timeout(Duration::from_millis(sleep_ms), bell.rung()).await);
            }
            Err(error) => {
                failed(&error);
                if store.poisoned().is_some() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(FAILED_PAUSE_MS)).await;
            }
        }
    }
}

fn failed(error: &StoreError) {
    tracing::error!(%error, "scheduled messages cannot be put in line; it is tried again");
}

/// Up to when messages are put in line at `now`.
fn horizon(now: UnixMs) -> UnixMs {
    now.plus_ms(AHEAD_MS)
}
