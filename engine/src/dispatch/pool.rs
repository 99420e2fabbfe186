//! Connections between attempts: kept for the next one to the same scheme, host and port, the last used first.
//!
//! ```text
//! attempt ─▶ HTTP/2 connection there is, or idle HTTP/1.1 connection ─────────────▶ lease
//!        └─▶ none: dial, and wait for one that an attempt gives back ─ first wins ─▶ lease
//! ```
//! The last used connection goes first, so that no more are kept in use than attempts need at once. The others reach
//! their age and are closed. A dial that lost goes on in the background, a few per host. Otherwise a host whose
//! handshake takes longer than an attempt would never get a second connection.
//!
//! - *What bounds it:* idle connections per host; all connections by the dialler's slots; waiters are attempts.
//! - *When it is full:* the connection that is given back is closed. When the slots are all in use, the oldest idle
//!   connection of the host with most idle ones makes room. So a connection that waits for nothing yields to an
//!   attempt, and a tenant who leaves many connections behind yields first.
//! - *When the process dies here:* connections close, nothing else is lost.
//!
//! [`hosts`] knows the connections that there are; this file dials and waits. There is one mutex, never held across an
//! await, and in production only its shard's thread takes it. Nothing here depends on the bytes of a connection.

mod hosts;

use super::connect::{DialError, Dialled, Dialler, VettedStream};
use super::details::{Making, Trace};
use super::http2::Http2;
use super::identity::Identity;
use super::resolve::Caller;
use super::target::Target;
use futures_util::future::{Either, select};
use hosts::{Bounds, Hosts, Room};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Time in which a connection that makes room must say good-bye.
const ROOM_WITHIN: Duration = Duration::from_millis(1_500);

type Dial = Pin<Box<dyn Future<Output = Result<Dialled, DialError>> + Send>>;

/// The right to make one attempt on a connection. Reused means that it may have been closed by the peer meanwhile.
pub(super) enum Lease {
    /// For one attempt alone; given back with [`Pool::give_back`] when the next may follow.
    Http1 { stream: VettedStream, reused: bool },
    /// Shared with others.
    Http2 { connection: Http2, reused: bool },
}

/// The connections of one dispatcher.
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    dialler: Dialler,
    /// Interval of the search for connections that nobody uses.
    sweep_every: Duration,
    hosts: Mutex<Hosts>,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(dialler: Dialler, idle_timeout: Duration, idle_per_host_max: usize) -> Pool {
        let hosts = Mutex::new(Hosts::new(Bounds { idle_timeout, idle_per_host_max }));
        let sweep_every = idle_timeout / 2 + Duration::from_millis(1);
        Pool(Arc::new(Shared { dialler, sweep_every, hosts }))
    }

    /// A connection to where `target` is.
    ///
    /// # Cancel safety
    /// Dropped, its dial is given up; a connection that was on its way to it is closed.
    pub(super) async fn lease(
        &self,
        target: &Arc<Target>,
        caller: Caller,
        now: Instant,
        trace: &mut Trace,
    ) -> Result<Lease, DialError> {
        let identity = target.identity();
        // A statement of its own: the lock is given back before anything is waited for.
        let ready = self.0.lock().take(identity, now);
        if let Some(lease) = ready {
            return Ok(lease);
        }
        let given = self.0.wait(identity);
        let (shared, dialled, making) = (self.0.clone(), target.clone(), Making::new());
        trace.dials(&making);
        let dial: Dial = Box::pin(async move { shared.dial(&dialled, caller, making).await });
        match select(dial, given).await {
            Either::Left((dialled, _)) => Ok(self.0.admit(identity, dialled?)),
            Either::Right((Ok(lease), dial)) => {
                self.0.finish_in_background(identity, dial);
                Ok(lease)
            }
            // Nobody can give one any more, which happens to no host that someone waits for.
            Either::Right((Err(_), dial)) => Ok(self.0.admit(identity, dial.await?)),
        }
    }

    /// A connection whose attempt is over and whose answer was read to its end.
    pub(super) fn give_back(&self, identity: &Identity, stream: VettedStream, now: Instant) {
        self.0.give(identity, stream, now);
    }

    /// The host's HTTP/2 connection takes no more requests: the next attempt does not get it. Attempts under way on it
    /// go on.
    pub(super) fn forget_http2(&self, identity: &Identity) {
        self.0.lock().forget_http2(identity);
    }
}

// === impl Shared ===

impl Shared {
    async fn dial(&self, target: &Target, caller: Caller, making: Arc<Making>) -> Result<Dialled, DialError> {
        let slot = loop {
            if let Some(slot) = self.dialler.slot() {
                break slot;
            }
            // Ends: each round closes a connection, or is the last.
            let room = self.lock().make_room();
            match room.ok_or(DialError::TooManyConnections)? {
                Room::Now(stream) => drop(stream),
                Room::Soon => {
                    break self.dialler.slot_within(ROOM_WITHIN).await.ok_or(DialError::TooManyConnections)?;
                }
            }
        };
        self.dialler.dial(target, slot, caller, making).await
    }

    fn wait(self: &Arc<Self>, identity: &Identity) -> oneshot::Receiver<Lease> {
        let mut hosts = self.lock();
        let receiver = hosts.wait(identity);
        // Also a host that never answers is forgotten when nobody tries it any more.
        self.sweep_later(&mut hosts);
        receiver
    }

    /// The dialled connection, as the attempt that dialled it may use it.
    fn admit(self: &Arc<Self>, identity: &Identity, dialled: Dialled) -> Lease {
        match dialled {
            Dialled::Http1(stream) => Lease::Http1 { stream, reused: false },
            Dialled::Http2(connection) => Lease::Http2 { connection: self.share(identity, connection), reused: false },
        }
    }

    fn share(self: &Arc<Self>, identity: &Identity, connection: Http2) -> Http2 {
        let mut hosts = self.lock();
        let shared = hosts.share(identity, connection, Instant::now());
        self.sweep_later(&mut hosts);
        shared
    }

    fn give(self: &Arc<Self>, identity: &Identity, stream: VettedStream, now: Instant) {
        let mut hosts = self.lock();
        if hosts.give(identity, stream, now) {
            self.sweep_later(&mut hosts);
        }
    }

    fn finish_in_background(self: &Arc<Self>, identity: &Identity, dial: Dial) {
        if !self.lock().begin_background_dial(identity) {
            return;
        }
        let going_on = GoingOn { shared: self.clone(), identity: identity.clone() };
        tokio::spawn(async move {
            let GoingOn { shared, identity } = &going_on;
            match dial.await {
                Ok(Dialled::Http1(stream)) => shared.give(identity, stream, Instant::now()),
                Ok(Dialled::Http2(connection)) => drop(shared.share(identity, connection)),
                // Nobody waits for it. Whoever needs a connection dials for itself and hears why there is none.
                Err(error) => tracing::trace!(%error, "a spare connection was not made"),
            }
        });
    }

    /// Sees to it that what nobody uses is closed in time.
    fn sweep_later(self: &Arc<Self>, hosts: &mut Hosts) {
        if std::mem::replace(&mut hosts.sweeping, true) {
            return;
        }
        let (shared, period) = (Arc::downgrade(self), self.sweep_every);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(period).await;
                let Some(shared) = shared.upgrade() else { return };
                if !shared.lock().sweep(Instant::now()) {
                    return;
                }
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        // Nothing panics while it is held; if something did, the lists are still whole.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dial in the background, counted until it ends, however it ends.
struct GoingOn {
    shared: Arc<Shared>,
    identity: Identity,
}

impl Drop for GoingOn {
    fn drop(&mut self) {
        self.shared.lock().end_background_dial(&self.identity);
    }
}

#[cfg(test)]
mod tests;
