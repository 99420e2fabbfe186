//! Connections between attempts: kept for the next one to the same scheme, host and port, the last used first.
//!
//! ```text
//! attempt ─▶ HTTP/2 connection there is, or idle HTTP/1.1 connection ─────────────▶ lease
//!        └─▶ none: dial, and wait for one that an attempt gives back ─ first wins ─▶ lease
//! ```
//! The last used first, so that no more are kept in use than attempts need at once; the others reach their age and are
//! closed. A dial that lost goes on in the background, a few per host, for otherwise a host whose handshake takes longer
//! than an attempt would never get a second connection.
//!
//! - *What bounds it:* idle connections per host; all connections by the dialler's slots; those who wait are attempts.
//! - *When it is full:* the connection that is given back is closed. When the slots are all in use, the oldest idle
//!   connection of the host with most idle ones makes room: what waits for nothing yields to an attempt, and a tenant
//!   who leaves many connections behind yields first.
//! - *When the process dies here:* connections close, nothing else is lost.
//!
//! One mutex, never held across an await, that in production only its shard's thread takes. Deliberately nothing of
//! what is said on a connection.

use super::connect::{DialError, Dialled, Dialler, VettedStream};
use super::http2::Http2;
use super::identity::Identity;
use super::resolve::Caller;
use super::target::Target;
use foldhash::HashMap;
use futures_util::future::{Either, select};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a connection that makes room may take to say good-bye.
const ROOM_WITHIN: Duration = Duration::from_millis(1_500);
/// Dials to one host that go on without an attempt.
const BACKGROUND_DIALS_MAX: usize = 16;
/// So few that wait are not looked at.
const WAITING_LOOK_MIN: usize = 64;

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
    idle_timeout: Duration,
    idle_per_host_max: usize,
    hosts: Mutex<Hosts>,
}

#[derive(Default)]
struct Hosts {
    by_identity: HashMap<Identity, Host>,
    /// A task looks for what is too old.
    sweeping: bool,
}

/// One scheme, host and port.
#[derive(Default)]
struct Host {
    /// In the order they were given back.
    idle: Vec<Idle>,
    http2: Option<SharedHttp2>,
    /// Attempts without a connection; those that have left are skipped.
    waiting: VecDeque<oneshot::Sender<Lease>>,
    /// How many wait when those that have left are next taken out: looking at each of them for each that comes would cost
    /// the square of their number.
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

// === impl Pool ===

impl Pool {
    pub(super) fn new(dialler: Dialler, idle_timeout: Duration, idle_per_host_max: usize) -> Pool {
        Pool(Arc::new(Shared { dialler, idle_timeout, idle_per_host_max, hosts: Mutex::default() }))
    }

    /// A connection to where `target` is.
    ///
    /// # Cancel safety
    /// Dropped, its dial is given up; a connection that was on its way to it is closed.
    pub(super) async fn lease(&self, target: &Arc<Target>, caller: Caller, now: Instant) -> Result<Lease, DialError> {
        let identity = target.identity();
        if let Some(lease) = self.0.take(identity, now) {
            return Ok(lease);
        }
        let given = self.0.wait(identity);
        let (shared, dialled) = (self.0.clone(), target.clone());
        let dial: Dial = Box::pin(async move { shared.dial(&dialled, caller).await });
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

    /// The host's HTTP/2 connection takes no more requests: the next attempt does not get it. What is under way on it
    /// goes on.
    pub(super) fn forget_http2(&self, identity: &Identity) {
        if let Some(host) = self.0.lock().by_identity.get_mut(identity) {
            host.http2 = None;
        }
    }
}

// === impl Shared ===

/// What made room for a connection.
enum Room {
    /// An idle connection, closed when this is dropped.
    Now(VettedStream),
    /// One that ends in a moment.
    Soon,
}

impl Shared {
    async fn dial(&self, target: &Target, caller: Caller) -> Result<Dialled, DialError> {
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
        self.dialler.dial(target, slot, caller).await
    }

    fn take(&self, identity: &Identity, now: Instant) -> Option<Lease> {
        let mut hosts = self.lock();
        let host = hosts.by_identity.get_mut(identity)?;
        if let Some(shared) = &mut host.http2 {
            if !shared.connection.is_closed() {
                shared.used_at = now;
                return Some(Lease::Http2 { connection: shared.connection.clone(), reused: true });
            }
            host.http2 = None;
        }
        let Idle { stream, since } = host.idle.pop()?;
        if now.duration_since(since) > self.idle_timeout {
            // It was the youngest.
            host.idle.clear();
            return None;
        }
        Some(Lease::Http1 { stream, reused: true })
    }

    fn wait(self: &Arc<Self>, identity: &Identity) -> oneshot::Receiver<Lease> {
        let (sender, receiver) = oneshot::channel();
        let mut hosts = self.lock();
        let host = hosts.host(identity);
        // Those that have left, so that there are no more than twice the attempts in flight.
        if host.waiting.len() >= host.waiting_look_at {
            host.waiting.retain(|waiting| !waiting.is_closed());
            host.waiting_look_at = WAITING_LOOK_MIN.max(2 * host.waiting.len());
        }
        host.waiting.push_back(sender);
        // Also a host that never answers is forgotten when nobody tries it any more.
        self.sweep_later(&mut hosts);
        receiver
    }

    /// What was dialled, as the one who dialled may use it.
    fn admit(self: &Arc<Self>, identity: &Identity, dialled: Dialled) -> Lease {
        match dialled {
            Dialled::Http1(stream) => Lease::Http1 { stream, reused: false },
            Dialled::Http2(connection) => Lease::Http2 { connection: self.share(identity, connection), reused: false },
        }
    }

    /// Makes an HTTP/2 connection the host's, unless it has one: that is the one to use then.
    fn share(self: &Arc<Self>, identity: &Identity, connection: Http2) -> Http2 {
        let mut hosts = self.lock();
        let host = hosts.host(identity);
        if let Some(shared) = host.http2.as_ref().filter(|shared| !shared.connection.is_closed()) {
            return shared.connection.clone();
        }
        for waiting in host.waiting.drain(..) {
            // Whoever has left needs none.
            drop(waiting.send(Lease::Http2 { connection: connection.clone(), reused: true }));
        }
        host.http2 = Some(SharedHttp2 { connection: connection.clone(), used_at: Instant::now() });
        self.sweep_later(&mut hosts);
        connection
    }

    fn give(self: &Arc<Self>, identity: &Identity, stream: VettedStream, now: Instant) {
        let mut hosts = self.lock();
        let host = hosts.host(identity);
        let mut lease = Lease::Http1 { stream, reused: true };
        while let Some(waiting) = host.waiting.pop_front() {
            match waiting.send(lease) {
                Ok(()) => return,
                Err(back) => lease = back,
            }
        }
        if let Lease::Http1 { stream, .. } = lease
            && host.idle.len() < self.idle_per_host_max
        {
            host.idle.push(Idle { stream, since: now });
            self.sweep_later(&mut hosts);
        }
    }

    fn finish_in_background(self: &Arc<Self>, identity: &Identity, dial: Dial) {
        let mut hosts = self.lock();
        let host = hosts.host(identity);
        if host.background_dials >= BACKGROUND_DIALS_MAX {
            return;
        }
        host.background_dials += 1;
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
        let (shared, period) = (Arc::downgrade(self), self.idle_timeout / 2 + Duration::from_millis(1));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(period).await;
                let Some(shared) = shared.upgrade() else { return };
                if !shared.sweep(Instant::now()) {
                    return;
                }
            }
        });
    }

    /// Closes what is too old; `false` when nothing is left to look after.
    fn sweep(&self, now: Instant) -> bool {
        let is_old = |since: Instant| now.duration_since(since) > self.idle_timeout;
        let mut hosts = self.lock();
        hosts.by_identity.retain(|_, host| {
            let old = host.idle.partition_point(|idle| is_old(idle.since));
            host.idle.drain(..old);
            host.http2.take_if(|shared| is_old(shared.used_at) || shared.connection.is_closed());
            host.waiting.retain(|waiting| !waiting.is_closed());
            !host.idle.is_empty() || host.http2.is_some() || !host.waiting.is_empty() || host.background_dials > 0
        });
        hosts.sweeping = !hosts.by_identity.is_empty();
        hosts.sweeping
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        // Nothing panics while it is held; if something did, the lists are still whole.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Hosts ===

impl Hosts {
    /// Takes out the oldest idle connection of the host with most idle ones. Looks at every host: it is only asked when
    /// all slots are in use.
    fn make_room(&mut self) -> Option<Room> {
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
        // The name is shared with the target, so that asking costs no copy.
        self.by_identity.entry(identity.clone()).or_default()
    }
}

/// A dial in the background, counted until it ends, however it ends.
struct GoingOn {
    shared: Arc<Shared>,
    identity: Identity,
}

impl Drop for GoingOn {
    fn drop(&mut self) {
        if let Some(host) = self.shared.lock().by_identity.get_mut(&self.identity) {
            host.background_dials = host.background_dials.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::guard::Guard;
    use super::super::http2::Bounds;
    use super::super::resolve::{Resolver, system_lookup};
    use super::super::target::SignatureHeaders;
    use super::super::url::check_url;
    use super::*;
    use http::HeaderMap;
    use tokio::sync::Semaphore;

    fn pool() -> Pool {
        let guard = Arc::new(Guard::new(vec!["127.0.0.0/8".parse().unwrap()]));
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let (resolver, slots) = (Resolver::new(Arc::new(system_lookup), 1), Arc::new(Semaphore::new(8)));
        let dialler = Dialler::new(
            guard,
            resolver,
            slots,
            tls,
            None,
            Bounds { head_len_max: 8192, body_len_max: 8192 },
            Duration::from_secs(5),
        );
        Pool::new(dialler, Duration::from_millis(10), 8)
    }

    fn caller() -> Caller {
        Caller { app: model::AppId(1), until: Instant::now() + Duration::from_secs(1) }
    }

    #[tokio::test]
    async fn those_that_no_longer_wait_are_taken_out_in_the_end() {
        let (pool, identity) = (pool(), Identity::new(false, "there", None));
        let waits: Vec<_> = (0..100).map(|_| pool.0.wait(&identity)).collect();
        (0..1_000).for_each(|_| drop(pool.0.wait(&identity)));
        let len = pool.0.lock().by_identity[&identity].waiting.len();
        assert!((waits.len()..=2 * waits.len() + WAITING_LOOK_MIN).contains(&len), "{len} in line");
    }

    #[tokio::test]
    async fn a_host_is_forgotten_when_nobody_uses_it_whether_it_answered_or_not() {
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let target = |address: std::net::SocketAddr| {
            let url = check_url(&format!("http://{address}/"), &guard).unwrap();
            Arc::new(Target::new(&url, HeaderMap::new(), SignatureHeaders::Both, None).unwrap())
        };
        let pool = pool();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = target(listener.local_addr().unwrap());
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nowhere = target(gone.local_addr().unwrap());
        drop(gone);

        assert!(pool.lease(&nowhere, caller(), Instant::now()).await.is_err());
        let Ok(Lease::Http1 { stream, reused: false }) = pool.lease(&there, caller(), Instant::now()).await else {
            panic!("no new connection");
        };
        pool.give_back(there.identity(), stream, Instant::now());
        assert_eq!(pool.0.lock().by_identity.len(), 2);
        let all_forgotten = async {
            while !pool.0.lock().by_identity.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), all_forgotten).await.expect("hosts are kept for ever");
    }
}
