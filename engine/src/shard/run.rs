//! A shard's life: start its thread and tasks, take news until told to stop, drain.
//!
//! Deliberately short: what happens to an endpoint is in [`super::work`], who has an actor in [`super::seats`].

use super::core::{ShardCore, ShardParts, Watch};
use super::inbox::ShardInbox;
use super::shell::Shell;
use super::{housekeeping, report, seats, timers};
use crate::clock::Clock;
use crate::dispatch::{Dispatch, DispatchConfig, DispatchSetupError, HttpDispatcher};
use crate::endpoint::actor;
use crate::stall;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::Instant;

/// A running shard.
pub struct ShardThread {
    /// Its inbox.
    pub inbox: Arc<ShardInbox>,
    thread: JoinHandle<()>,
}

impl ShardThread {
    /// Waits for its end, which [`ShardInbox::stop`] brings about. Blocks.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("a shard ended by a panic");
        }
    }
}

/// Why a shard did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Its dispatcher could not be set up.
    #[error(transparent)]
    Dispatch(#[from] DispatchSetupError),
    /// Its thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Starts a shard's thread, whose attempts go over HTTP.
///
/// # Errors
/// As [`SpawnError`] lists.
pub fn spawn(parts: ShardParts, clock: Clock) -> Result<ShardThread, SpawnError> {
    let dispatch = DispatchConfig {
        // The client may dial for an attempt that a connection of the pool then serves, and keeps the spare one a while:
        // attempts are to find the shard's own limit first, where they wait, and not this one, where they fail.
        connections_max: parts.config.max_in_flight_per_shard.saturating_mul(2),
        // Endpoints behind one gateway share its host and port: a smaller bound would close and redial what they use.
        pool_idle_per_host_max: parts.config.max_in_flight_per_shard,
        response_read_len_max: parts.config.response_read_bytes,
        response_kept_len_max: parts.config.response_kept_bytes,
        extra_roots: parts.config.extra_roots.clone(),
        egress: parts.config.egress.clone(),
        ..DispatchConfig::default()
    };
    let dispatcher = HttpDispatcher::new(dispatch, parts.guard.clone())?;
    Ok(spawn_with(parts, clock, dispatcher)?)
}

/// Starts a shard's thread, whose attempts are made by `dispatcher`.
///
/// # Errors
/// When the thread cannot be started.
pub fn spawn_with(
    parts: ShardParts,
    clock: Clock,
    dispatcher: impl Dispatch + Send + 'static,
) -> std::io::Result<ShardThread> {
    let inbox = parts.inbox.clone();
    let thread = std::thread::Builder::new()
        .name(format!("pinion-shard-{}", parts.index))
        .spawn(move || actor::run_on_this_thread(run(parts, clock, dispatcher)))?;
    Ok(ShardThread { inbox, thread })
}

async fn run(parts: ShardParts, clock: Clock, dispatcher: impl Dispatch + 'static) {
    let shell = Rc::new(Shell::new(clock, dispatcher));
    let shard = Rc::new(ShardCore::new(parts, Box::new(shell), clock.now()));
    tokio::task::spawn_local(timers::run(shard.clone(), clock));
    tokio::task::spawn_local(stall::watch_this_thread(format!("shard-{}", shard.index), clock));
    tokio::task::spawn_local(report::run(shard.clone()));
    tokio::task::spawn_local(housekeeping::run(shard.clone(), clock));
    let _watch = Watch(&shard);
    while !shard.stopping.get() {
        shard.inbox.woken().await;
        seats::take(&shard, shard.inbox.take(), clock.now());
    }
    drain(&shard).await;
}

/// Lets attempts in flight end, within the configured time, and reports what they showed. What is still in flight then
/// is in its endpoint's cursor as a hole and will be tried again after the next start.
async fn drain(shard: &Rc<ShardCore>) {
    let deadline = Instant::now() + Duration::from_millis(shard.config.drain_timeout_ms);
    while shard.in_flight() > 0 {
        if tokio::time::timeout_at(deadline, shard.attempt_ended.notified()).await.is_err() {
            tracing::warn!(attempts = shard.in_flight(), "stopped with attempts in flight");
            break;
        }
    }
    shard.report_now();
}
