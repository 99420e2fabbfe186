//! Admission of connections: the places of a listener with the lock around them, and their counts.
//!
//! The lock is held for a choice, never across an await, and no request takes it.

use super::connection::Connection;
use super::ms_since;
use super::places::{Number, Origin, Places};
use super::request_id::RequestIds;
use super::wrong_keys::WrongKeys;
use model::metric;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// The longest idle connection was closed for a new one.
const MADE_ROOM: &str = "made_room";
/// A connection asked for nothing for too long.
const IDLE: &str = "idle";
/// A new connection was closed, because none was idle.
const ALL_BUSY: &str = "all_busy";
const CLOSED_REASONS: [&str; 3] = [MADE_ROOM, IDLE, ALL_BUSY];

/// The way into one listener.
#[derive(Debug)]
pub(super) struct Admission {
    listener: &'static str,
    epoch: Instant,
    places: Mutex<Places<Arc<Connection>>>,
    wrong_keys: Arc<WrongKeys>,
    /// Of this process and listener, for ids of requests.
    process: u32,
    /// Connections that came so far.
    connections: AtomicU32,
}

/// The place of a connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    number: Number,
    connection: Arc<Connection>,
}

// === impl Admission ===

impl Admission {
    pub(super) fn new(listener: &'static str, max_connections: usize) -> Admission {
        // A rate needs a counter that was seen before the first event.
        for reason in CLOSED_REASONS {
            metrics::counter!(metric::CONNECTIONS_CLOSED, "listener" => listener, "reason" => reason).increment(0);
        }
        metrics::counter!(metric::CONNECTIONS_ACCEPTED, "listener" => listener).increment(0);
        metrics::gauge!(metric::CONNECTIONS, "listener" => listener).increment(0.0);
        let places = Mutex::new(Places::new(max_connections));
        // The standard library's seed: these numbers are to differ, not to be secret.
        let process = RandomState::new().hash_one(listener) as u32;
        let (wrong_keys, connections) = (Arc::new(WrongKeys::new()), AtomicU32::new(0));
        Admission { listener, epoch: Instant::now(), places, wrong_keys, process, connections }
    }

    /// A place for a client, for which another connection may be closed; none when all others are answered just now.
    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Permit> {
        let request_ids = RequestIds::new(self.process, self.connections.fetch_add(1, Ordering::Relaxed));
        let connection = Connection::new(self.epoch, peer, Arc::clone(&self.wrong_keys), request_ids);
        let connection = Arc::new(connection);
        let origin = Origin::from(peer.ip());
        let given = self.places().admit(ms_since(self.epoch), origin, Arc::clone(&connection));
        let Some(given) = given else {
            self.count_closed(ALL_BUSY);
            return None;
        };
        if let Some(closed) = given.closed {
            closed.close();
            self.count_closed(MADE_ROOM);
        }
        metrics::counter!(metric::CONNECTIONS_ACCEPTED, "listener" => self.listener).increment(1);
        metrics::gauge!(metric::CONNECTIONS, "listener" => self.listener).increment(1.0);
        Some(Permit { admission: Arc::clone(self), number: given.number, connection })
    }

    /// Closes an idle connection, for want of descriptors.
    pub(super) fn make_room(&self) {
        // Of no address in particular.
        let closed = self.places().make_room(ms_since(self.epoch), Origin::V4(0));
        if let Some(closed) = closed {
            closed.close();
            self.count_closed(MADE_ROOM);
        }
    }

    fn count_closed(&self, reason: &'static str) {
        metrics::counter!(metric::CONNECTIONS_CLOSED, "listener" => self.listener, "reason" => reason).increment(1);
    }

    fn places(&self) -> MutexGuard<'_, Places<Arc<Connection>>> {
        // After a panic a connection is counted for too long, and nothing else is wrong.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Permit ===

impl Permit {
    /// The connection that holds the place.
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The connection is closed because it asked for nothing.
    pub(super) fn count_idle(&self) {
        self.admission.count_closed(IDLE);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.places().leave(self.number);
        metrics::gauge!(metric::CONNECTIONS, "listener" => self.admission.listener).decrement(1.0);
    }
}
