//! The tools for a test of the whole program: the program itself, a receiver that misbehaves on request, a tiny client.
//!
//! ```no_run
//! let server = Server::start(&["--retry-schedule", "100ms,100ms"]);
//! let receiver = Receiver::start();
//! let (status, app) = server.api("POST", "/api/v1/app", json!({"name": "a"}));
//! receiver.script("/hook", [Behaviour::status(500), Behaviour::status(200)]);
//! // … create an endpoint at receiver.url("/hook"), push a message …
//! receiver.wait_until(seconds(5), |requests| requests.len() == 2);
//! ```
//! Everything is blocking, bounded and on loopback; nothing outlives its value. Deliberately without Pinion's crates:
//! the program and its wire format are under test.
#![allow(dead_code, unused_imports, reason = "tests come and go; the harness stays")]

mod behaviour;
mod client;
mod random;
mod receiver;
mod server;
mod signature;

pub(crate) use self::behaviour::Behaviour;
pub(crate) use self::client::{Client, Response, raw};
pub(crate) use self::random::{Random, from_environment, seed};
pub(crate) use self::receiver::{Received, Receiver};
pub(crate) use self::server::{Exited, Server, is_release, pinion, repair};
pub(crate) use self::signature::verify;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For deadlines.
pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A value that can be waited for.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the value and wakes everyone who waits.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `probe` finds a value; `None` when the deadline passes first.
    pub(crate) fn wait<R>(&self, deadline: Duration, mut probe: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let until = Instant::now() + deadline;
        let mut value = self.lock();
        loop {
            if let Some(found) = probe(&mut value) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            value = self.changed.wait_timeout(value, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Asks `probe` every 20 ms until it answers: for things that can only be seen by asking, such as a page of the API.
///
/// # Panics
/// When the deadline passes first; `what` names the awaited thing in the message.
#[track_caller]
pub(crate) fn poll_until<R>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Option<R>) -> R {
    let until = Instant::now() + deadline;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {deadline:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
