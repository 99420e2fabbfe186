//! The connections of each identity: idle ones and the shared HTTP/2 one, and the attempts that wait for one.
//!
//! Nothing here dials or waits; the time is an argument.

use super::Lease;
use crate::dispatch::connect::VettedStream;
use crate::dispatch::http2::Http2;
use crate::dispatch::identity::Identity;
use foldhash::HashMap;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Dials for one identity that go on without an attempt.
const BACKGROUND_DIALS_MAX: usize = 16;
/// So few that wait are not looked at.
pub(super) const WAITING_LOOK_MIN: usize = 64;

/// Bounds of the connections that are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Time for which an unused connection is kept.
    pub(super) idle_timeout: Duration,
    /// Unused connections of one identity.
    pub(super) idle_per_host_max: usize,
}

/// All identities.
pub(super) struct Hosts {
    pub(super) by_identity: HashMap<Identity, Host>,
    /// A task looks for connections that are too old.
    pub(super) sweeping: bool,
    bounds: Bounds,
}

/// One identity.
#[derive(Default)]
pub(super) struct Host {
    /// In the order they were given back.
    idle: Vec<Idle>,
    http2: Option<SharedHttp2>,
    /// Attempts without a connection; those that have left are skipped.
    pub(super) waiting: VecDeque<oneshot::Sender<Lease>>,
    /// Length of `waiting` at which the attempts that have left are next taken out. Looking at each of them for each
    /// that comes would cost the square of their number.
    waiting_look_at: usize,
    background_dials: usize,
}

struct Idle {
    stream: VettedStream,
    since: Instant,
}

struct SharedHttp2 {
    connection: Http2,
    used_at: Instant,
}

/// The connection that made room for another.
pub(super) enum Room {
    /// An idle connection, closed when this is dropped.
    Now(VettedStream),
    /// One that ends in a moment.
    Soon,
}

impl Hosts {
    pub(super) fn new(bounds: Bounds) -> Hosts {
        Hosts { by_identity: HashMap::default(), sweeping: false, bounds }
    }

    /// A connection that there is.
    pub(super) fn take(&mut self, identity: &Identity, now: Instant) -> Option<Lease> {
        let host = self.by_identity.get_mut(identity)?;
        if let Some(shared) = &mut host.http2 {
            if !shared.connection.is_closed() {
                shared.used_at = now;
                return Some(Lease::Http2 { connection: shared.connection.clone(), reused: true });
            }
            host.http2 = None;
        }
        let Idle { stream, since } = host.idle.pop()?;
        if now.duration_since(since) > self.bounds.idle_timeout {
            // It was the youngest.
            host.idle.clear();
            return None;
        }
        Some(Lease::Http1 { stream, reused: true })
    }

    /// Puts an attempt in line for a connection.
    pub(super) fn wait(&mut self, identity: &Identity) -> oneshot::Receiver<Lease> {
        let (sender, receiver) = oneshot::channel();
        let host = self.host(identity);
        // Those that have left, so that there are no more than twice the attempts in flight.
        if host.waiting.len() >= host.waiting_look_at {
            host.waiting.retain(|waiting| !waiting.is_closed());
            host.waiting_look_at = WAITING_LOOK_MIN.max(2 * host.waiting.len());
        }
        host.waiting.push_back(sender);
        receiver
    }

    /// Makes an HTTP/2 connection the one that is shared, unless there is one: that is the one to use then.
    pub(super) fn share(&mut self, identity: &Identity, connection: Http2, now: Instant) -> Http2 {
        let host = self.host(identity);
        if let Some(shared) = host.http2.as_ref().filter(|shared| !shared.connection.is_closed()) {
            return shared.connection.clone();
        }
        for waiting in host.waiting.drain(..) {
            // An attempt that has left needs none.
            drop(waiting.send(Lease::Http2 { connection: connection.clone(), reused: true }));
        }
        host.http2 = Some(SharedHttp2 { connection: connection.clone(), used_at: now });
        connection
    }

    /// The shared HTTP/2 connection takes no more requests.
    pub(super) fn forget_http2(&mut self, identity: &Identity) {
        if let Some(host) = self.by_identity.get_mut(identity) {
            host.http2 = None;
        }
    }

    /// Gives a connection to the first that waits, or keeps it for the next. Answers whether it was kept.
    pub(super) fn give(&mut self, identity: &Identity, stream: VettedStream, now: Instant) -> bool {
        let most = self.bounds.idle_per_host_max;
        let host = self.host(identity);
        let mut lease = Lease::Http1 { stream, reused: true };
        while let Some(waiting) = host.waiting.pop_front() {
            match waiting.send(lease) {
                Ok(()) => return false,
                Err(back) => lease = back,
            }
        }
        match lease {
            Lease::Http1 { stream, .. } if host.idle.len() < most => {
                host.idle.push(Idle { stream, since: now });
                true
            }
            _ => false,
        }
    }

    /// A dial goes on without its attempt. `false` when too many do.
    pub(super) fn begin_background_dial(&mut self, identity: &Identity) -> bool {
        let host = self.host(identity);
        let may = host.background_dials < BACKGROUND_DIALS_MAX;
        host.background_dials += usize::from(may);
        may
    }

    /// It is over.
    pub(super) fn end_background_dial(&mut self, identity: &Identity) {
        if let Some(host) = self.by_identity.get_mut(identity) {
            host.background_dials = host.background_dials.saturating_sub(1);
        }
    }

    /// Closes connections that are too old; `false` when nothing is left to look after.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        let idle_timeout = self.bounds.idle_timeout;
        let is_old = |since: Instant| now.duration_since(since) > idle_timeout;
        self.by_identity.retain(|_, host| {
            let old = host.idle.partition_point(|idle| is_old(idle.since));
            host.idle.drain(..old);
            host.http2.take_if(|shared| is_old(shared.used_at) || shared.connection.is_closed());
            host.waiting.retain(|waiting| !waiting.is_closed());
            !host.idle.is_empty() || host.http2.is_some() || !host.waiting.is_empty() || host.background_dials > 0
        });
        self.sweeping = !self.by_identity.is_empty();
        self.sweeping
    }

    /// Takes out the oldest idle connection of the host with most idle ones. Looks at every host: it is only asked when
    /// all slots are in use.
    pub(super) fn make_room(&mut self) -> Option<Room> {
        let most = self.by_identity.values_mut().max_by_key(|host| host.idle.len());
        if let Some(host) = most.filter(|host| !host.idle.is_empty()) {
            return Some(Room::Now(host.idle.remove(0).stream));
        }
        // A host has one HTTP/2 connection at most: the one that was not used for longest.
        let is_idle = |host: &&mut Host| host.http2.as_ref().is_some_and(|shared| !shared.connection.is_busy());
        let idle = self.by_identity.values_mut().filter(is_idle);
        let oldest = idle.min_by_key(|host| host.http2.as_ref().map(|shared| shared.used_at))?;
        oldest.http2.take().map(|_| Room::Soon)
    }

    fn host(&mut self, identity: &Identity) -> &mut Host {
        // Shared with the target, so that asking costs no copy.
        self.by_identity.entry(identity.clone()).or_default()
    }
}
