//! Name resolution with bounds: the system's resolver (hosts file, search domains, whatever the operator set up),
//! asked on tokio's blocking threads.
//!
//! A lookup cannot be cancelled: it holds its thread until the resolver gives up, often 10 s or more, long after the
//! attempt that wanted it has timed out. So that names which do not answer cannot use up the threads:
//! - one name is looked up once at a time, and whoever else wants it waits for that answer;
//! - at most `running_max` lookups run, and a slot is free again when the lookup ends, not when its caller leaves;
//! - at most [`NAMES_MAX`] names are looked up or wait for a slot; beyond that a lookup fails at once.
//!
//! Deliberately no cache: pooled connections make lookups rare, and the system has one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, watch};

/// Most names being looked up or waiting for a slot.
pub const NAMES_MAX: usize = 1024;

/// What asks for the addresses of a name; blocking. The system's resolver, or a scripted one in tests.
pub type LookupFn = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// What a lookup found. Cloned to everyone who waited for it.
type Answer = Result<Arc<[IpAddr]>, LookupError>;
type Waiting = HashMap<Box<str>, watch::Receiver<Option<Answer>>>;

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The resolver said so, in its words.
    #[error("{0}")]
    Failed(Arc<str>),
    /// The resolver answered without an address.
    #[error("it has no address")]
    NoAddress,
    /// More than [`NAMES_MAX`] names are being looked up.
    #[error("too many names are being looked up")]
    Busy,
}

/// Asks the system (`getaddrinfo`).
///
/// # Errors
/// When the name does not resolve.
pub fn system_lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// Looks names up within bounds.
pub(super) struct Resolver {
    lookup: Arc<LookupFn>,
    running: Arc<Semaphore>,
    /// Names being looked up. Held only to look and change, never across an await.
    waiting: Arc<Mutex<Waiting>>,
}

impl Resolver {
    pub(super) fn new(lookup: Arc<LookupFn>, running_max: usize) -> Resolver {
        Resolver { lookup, running: Arc::new(Semaphore::new(running_max)), waiting: Arc::default() }
    }

    /// One permit per lookup that may run.
    pub(super) fn slots(&self) -> Arc<Semaphore> {
        self.running.clone()
    }

    /// The addresses of `name`, at least one.
    ///
    /// # Cancel safety
    /// Dropped, the lookup goes on for the others who wait for it.
    pub(super) async fn lookup(&self, name: &str) -> Answer {
        let mut answer = self.join_or_start(name)?;
        match answer.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(answer)) => answer.clone(),
            // The lookup ended without a word: its runtime is going down.
            Ok(None) | Err(_) => Err(LookupError::Failed("the lookup was given up".into())),
        }
    }

    fn join_or_start(&self, name: &str) -> Result<watch::Receiver<Option<Answer>>, LookupError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = waiting.len() >= NAMES_MAX;
        match waiting.entry(name.into()) {
            Entry::Occupied(entry) => Ok(entry.get().clone()),
            Entry::Vacant(_) if full => Err(LookupError::Busy),
            Entry::Vacant(entry) => {
                let (sender, receiver) = watch::channel(None);
                entry.insert(receiver.clone());
                drop(waiting);
                self.start(name.into(), sender);
                Ok(receiver)
            }
        }
    }

    fn start(&self, name: Box<str>, sender: watch::Sender<Option<Answer>>) {
        let (lookup, running, waiting) = (self.lookup.clone(), self.running.clone(), self.waiting.clone());
        // Removes the name however the task ends, also when its runtime drops it.
        let entry = Entered { waiting, name };
        tokio::spawn(async move {
            let name = entry.name.clone();
            let slot = running.acquire_owned().await;
            let found = tokio::task::spawn_blocking(move || {
                let _slot = slot;
                lookup(&name)
            });
            let answer = match found.await {
                Ok(Ok(addresses)) if addresses.is_empty() => Err(LookupError::NoAddress),
                Ok(Ok(addresses)) => Ok(addresses.into()),
                Ok(Err(error)) => Err(LookupError::Failed(error.to_string().into())),
                Err(_) => Err(LookupError::Failed("the lookup was given up".into())),
            };
            drop(entry);
            // Nobody may be waiting any more.
            sender.send_replace(Some(answer));
        });
    }
}

/// A name's place among those being looked up.
struct Entered {
    waiting: Arc<Mutex<Waiting>>,
    name: Box<str>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::sync_channel;

    fn resolver(
        running_max: usize,
        lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Resolver {
        Resolver::new(Arc::new(lookup), running_max)
    }

    #[tokio::test]
    async fn one_name_is_looked_up_once_at_a_time_and_forgotten_after() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let (go, gate) = sync_channel::<()>(2);
        let gate = Mutex::new(gate);
        let resolver = resolver(8, move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            gate.lock().unwrap().recv().map_err(io::Error::other)?;
            Ok(vec![[1, 1, 1, 1].into()])
        });
        let both = async { tokio::join!(resolver.lookup("a"), resolver.lookup("a")) };
        let ((first, second), ()) = tokio::join!(both, async { go.send(()).unwrap() });
        assert_eq!(first.unwrap()[..], second.unwrap()[..]);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(resolver.waiting.lock().unwrap().is_empty());

        go.send(()).unwrap();
        resolver.lookup("a").await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_slot_is_held_until_the_lookup_ends_not_until_its_caller_leaves() {
        let (go, gate) = sync_channel::<()>(1);
        let gate = Mutex::new(gate);
        let resolver = resolver(1, move |name| {
            if name == "stuck" {
                gate.lock().unwrap().recv().map_err(io::Error::other)?;
            }
            Ok(vec![[1, 1, 1, 1].into()])
        });
        let patience = std::time::Duration::from_millis(30);
        assert!(tokio::time::timeout(patience, resolver.lookup("stuck")).await.is_err());
        assert!(tokio::time::timeout(patience, resolver.lookup("other")).await.is_err());
        go.send(()).unwrap();
        assert!(resolver.lookup("other").await.is_ok());
    }

    #[tokio::test]
    async fn failures_and_empty_answers_are_told_apart_and_names_are_bounded() {
        let resolver = resolver(1, |name| match name {
            "empty" => Ok(vec![]),
            _ => Err(io::Error::other("no such host")),
        });
        assert_eq!(resolver.lookup("empty").await, Err(LookupError::NoAddress));
        assert_eq!(resolver.lookup("gone").await, Err(LookupError::Failed("no such host".into())));
        let (_sender, receiver) = watch::channel(None);
        resolver.waiting.lock().unwrap().extend((0..NAMES_MAX).map(|n| (n.to_string().into(), receiver.clone())));
        assert_eq!(resolver.lookup("more").await, Err(LookupError::Busy));
    }
}
