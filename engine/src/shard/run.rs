//! A partition's life on one shard thread: take news until told to stop, drain, leave.
//!
//! The turns of an endpoint are in [`super::work`], the life of its actor in [`super::handles`].

use super::core::{ShardCore, ShardParts, Watch};
use super::shell::Shell;
use super::thread_shares::ThreadShares;
use super::{handles, housekeeping, report, timers, verify};
use crate::clock::Clock;
use crate::dispatch::Dispatch;
use crate::gauges::Highest;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The parts of a shard thread that all partitions on it share.
pub(super) struct Thread<D> {
    pub(super) clock: Clock,
    pub(super) dispatcher: Rc<D>,
    pub(super) shares: Rc<ThreadShares>,
    /// The age of the oldest delivery that waits.
    pub(super) oldest_seconds: Arc<Highest>,
}

impl<D> Clone for Thread<D> {
    fn clone(&self) -> Thread<D> {
        let Thread { clock, dispatcher, shares, oldest_seconds } = self;
        Thread {
            clock: *clock,
            dispatcher: dispatcher.clone(),
            shares: shares.clone(),
            oldest_seconds: oldest_seconds.clone(),
        }
    }
}

/// Runs the lanes of one partition until they are told to stop.
///
/// When this returns, nothing of the partition is on the thread but reads under way, whose answers nobody takes.
pub(super) async fn run<D: Dispatch + 'static>(parts: ShardParts, thread: Thread<D>) {
    let clock = thread.clock;
    let oldest = thread.oldest_seconds.of(parts.partition);
    let shell = Rc::new(Shell::new(clock, thread.dispatcher.clone()));
    let shard = Rc::new(ShardCore::new(parts, thread.shares, Box::new(shell.clone()), clock.now()));
    shard.thread.add(&shard);
    let tasks = [
        tokio::task::spawn_local(timers::run(shard.clone(), clock)),
        tokio::task::spawn_local(report::run(shard.clone())),
        tokio::task::spawn_local(housekeeping::run(shard.clone(), clock, oldest)),
        tokio::task::spawn_local(verify::run(shard.clone(), thread.dispatcher, clock)),
    ];
    // A panic fails the partition and is no reason to leave its lanes where they are.
    drop(AssertUnwindSafe(serve(&shard, &shell, clock)).catch_unwind().await);
    shell.end();
    handles::end(&shard);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn serve<D: Dispatch + 'static>(shard: &Rc<ShardCore>, shell: &Shell<D>, clock: Clock) {
    let _watch = Watch(shard);
    while !shard.stopping.get() {
        shard.inbox.woken().await;
        let mut news = shard.inbox.take();
        shell.try_out(std::mem::take(&mut news.trials));
        handles::take(shard, news, clock.now());
    }
    drain(shard).await;
}

/// Lets attempts in flight end, within the configured time, and reports their results.
///
/// An attempt that is still in flight then is a hole of its endpoint's cursor and is made again after the next start.
/// For a partition that has failed this waits for nothing: its results cannot be reported.
async fn drain(shard: &Rc<ShardCore>) {
    let deadline = Instant::now() + Duration::from_millis(shard.config.drain_timeout_ms);
    while shard.in_flight() > 0 {
        let ended = tokio::select! {
            ended = tokio::time::timeout_at(deadline, shard.attempt_ended.notified()) => ended.is_ok(),
            _ = shard.writer.failure() => false,
        };
        if !ended {
            tracing::warn!(
                partition = shard.partition.0,
                attempts = shard.in_flight(),
                "stopped with attempts in flight"
            );
            break;
        }
    }
    shard.report_now();
}
