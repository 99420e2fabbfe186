//! Asks the receivers of unverified endpoints for their proof, with the thread's own dispatcher and so behind the guard.
//!
//! An attempt has no place, breaker or record of deliveries: it is none. It reads the row, sends the challenge, and writes
//! the result into the row. The change of the row then reaches the lane and [`super::challenges`] as any other does.
//!
//! - *What bounds it:* see [`super::challenges`]; ten seconds and 4 KiB of an answer for each.
//! - *When the partition ends or the process dies:* attempts are given up; their rows still say that they are due.

use super::core::{ShardCore, Watch};
use crate::clock::{Clock, wall_now};
use crate::dispatch::{AttemptResult, Dispatch};
use crate::outcome::verification::{self, Shown};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use model::{Endpoint, EndpointRef, FieldChange, OutcomeClass, UnixMs, Verification};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;
use storage::tables::{audit, endpoint};
use storage::writer::ChangeError;
use storage::{StoreError, Txn};

/// Longest sleep: bounds how late an attempt is when the machine slept.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Pause before a busy writer is asked again, and after a row that could not be read.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Makes every attempt of one partition on this thread. Never ends.
pub(super) async fn run<D: Dispatch + 'static>(shard: Rc<ShardCore>, dispatcher: Rc<D>, clock: Clock) {
    let _watch = Watch(&shard);
    let mut under_way: FuturesUnordered<LocalBoxFuture<'static, EndpointRef>> = FuturesUnordered::new();
    loop {
        while let Some(target) = shard.challenges.next(clock.now()) {
            under_way.push(ask(shard.clone(), dispatcher.clone(), clock, target).boxed_local());
        }
        let now = clock.now();
        let until_next = shard.challenges.next_after(now).map(|at| Duration::from_millis(at.since_ms(now)));
        let sleep = until_next.map_or(SLEEP_MAX, |until| until.min(SLEEP_MAX));
        tokio::select! {
            Some(target) = under_way.next() => shard.challenges.over(target),
            () = shard.challenges.moved() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// One attempt, from the row and back to it. Gives its endpoint, whatever happens.
async fn ask<D: Dispatch>(shard: Rc<ShardCore>, dispatcher: Rc<D>, clock: Clock, target: EndpointRef) -> EndpointRef {
    let store = shard.store.clone();
    let row = match tokio::task::spawn_blocking(move || endpoint::get(&*store, target)).await {
        Ok(Ok(row)) => row,
        failed => {
            tracing::error!(?failed, "an endpoint's row cannot be read");
            tokio::time::sleep(BUSY_PAUSE).await;
            return target;
        }
    };
    let Some((row, before)) = row.and_then(|row| due(&row, clock.now()).map(|before| (row, before))) else {
        return target;
    };
    let plan = shard.compiler.plan(&row, None, 0, clock.now());
    let made = async {
        match plan.prepare_challenge(target.app, &before.challenge, clock.now(), wall_now()) {
            Ok(request) => dispatcher.attempt(request).await,
            Err(why) => AttemptResult::unmade(why.outcome, &why.words),
        }
    };
    // A defect in one attempt must not leave its endpoint unasked for ever.
    let caught = AssertUnwindSafe(made).catch_unwind().await;
    let result = caught
        .unwrap_or_else(|_| AttemptResult::unmade(OutcomeClass::InternalError, "the attempt failed inside Pinion"));
    let AttemptResult { outcome, status, response, lack, .. } = &result;
    let shown = Shown { made: lack.is_none(), outcome: *outcome, status: *status, response };
    let after = verification::after(&before, shown, clock.now());
    tracing::info!(
        app = target.app.0,
        endpoint = target.endpoint.0,
        verified = after.verified_at.is_some(),
        problem = after.problem,
        "asked a receiver for its proof"
    );
    write(&shard, target, before, after).await;
    target
}

/// The challenge of a row, if its receiver is to be asked now.
fn due(row: &Endpoint, now: UnixMs) -> Option<Verification> {
    let is_due = |before: &&Verification| {
        before.verified_at.is_none() && before.next_at.is_some_and(|at| at <= now) && row.disabled.is_none()
    };
    row.verification.as_ref().filter(is_due).cloned()
}

/// Writes a result into the row; a busy writer is asked again.
async fn write(shard: &ShardCore, target: EndpointRef, before: Verification, after: Verification) {
    loop {
        let (before, after) = (before.clone(), after.clone());
        match shard.writer.change(move |txn| settle(txn, target, &before, after)).await {
            Err(ChangeError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
            // Refused: the row is as it was, and a start finds it due. Unavailable: the partition ends.
            Ok(()) | Err(ChangeError::Rejected(_) | ChangeError::Refused(_) | ChangeError::Unavailable(_)) => return,
        }
    }
}

/// Puts the result of an attempt into its endpoint's row, which may have changed meanwhile.
///
/// # Errors
/// Whatever the store reports.
fn settle(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    before: &Verification,
    after: Verification,
) -> Result<(), StoreError> {
    let Some(row) = endpoint::get(txn, target)? else { return Ok(()) };
    let Some(present) = &row.verification else { return Ok(()) };
    // The URL leads elsewhere by now: this answer says nothing of the new origin.
    if present.challenge != before.challenge || present.verified_at.is_some() {
        return Ok(());
    }
    let asked_meanwhile = after.verified_at.is_none() && present.next_at != before.next_at;
    let next_at = if asked_meanwhile { present.next_at } else { after.next_at };
    let verification = Some(Verification { next_at, asked_at: present.asked_at, ..after });
    let is_proven = verification.as_ref().is_some_and(|proof| proof.verified_at.is_some());
    endpoint::put_over(txn, Some(&row), Endpoint { verification, ..row.clone() })?;
    if is_proven {
        let change = FieldChange::new("verified", Some("false".to_owned()), Some("true".to_owned()));
        audit::by_engine(txn, target, "endpoint.verified", change)?;
    }
    Ok(())
}
