//! Name resolution with bounds: the system's resolver (hosts file, search domains, as the operator set it up),
//! asked on tokio's blocking threads.
//!
//! A lookup cannot be cancelled: it holds its thread until the resolver gives up, often 10 s or more, long after the
//! attempt that wanted it has timed out. So that names which do not answer cannot use up the threads:
//! - running lookups are shared by application ([`crate::fairness::Shares`]), and so are names that wait for one; a
//!   slot is free again when its lookup ends, not when its caller leaves;
//! - one name is looked up once at a time, and all that want it get that answer. A name that waits in one application's
//!   line stands in the line of every application that wants it, so nobody waits for another's turn;
//! - after [`LOOKUP_MAX`] the callers are told that the name does not answer, and so is every caller that asks while
//!   the lookup still holds its thread;
//! - a failure is the answer for [`FAILURE_KEPT`] more.
//!
//! | | |
//! |---|---|
//! | who owns the state | the dispatcher of one shard, behind one mutex that is held to look and change |
//! | what bounds it | `running_max` lookups; [`NAMES_MAX`] places in line; [`FAILURES_MAX`] kept failures |
//! | when it is full | [`LookupError::Busy`]: a lack of ours, for which no endpoint is blamed |
//! | when the process dies | nothing is lost |
//!
//! Deliberately no cache of addresses: pooled connections make lookups rare, and the system has one.

mod queue;

use self::queue::{Joined, LookupQueue};
use model::AppId;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Most places in line for a lookup, over all applications.
pub const NAMES_MAX: usize = 1024;

/// Longest time that a name may take to answer.
pub const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// Time for which a failure is the answer after it was heard.
const FAILURE_KEPT: Duration = Duration::from_secs(2);

/// Failures that are kept.
const FAILURES_MAX: usize = 1024;

/// Function that asks for the addresses of a name; blocking. The system's resolver, or a scripted one in tests.
pub type LookupFn = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Result of a lookup. Cloned to every caller that waited for it.
type Answer = Result<Arc<[IpAddr]>, LookupError>;

/// State of a lookup.
#[derive(Clone, Debug)]
enum Progress {
    /// In line.
    Waits,
    /// Running since then.
    Runs(Instant),
    /// Over.
    Over(Answer),
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The resolver said so, in its words.
    #[error("{0}")]
    Failed(Arc<str>),
    /// The resolver answered without an address.
    #[error("it has no address")]
    NoAddress,
    /// The resolver did not answer in time.
    #[error("no answer within {} s", LOOKUP_MAX.as_secs())]
    NoAnswer,
    /// The application has as many lookups under way or in line as it may.
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

/// For whom a name is looked up, and how long that may wait for its turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) app: AppId,
    pub(super) until: Instant,
}

/// Looks names up within bounds. Cheap to clone.
#[derive(Clone)]
pub(super) struct Resolver {
    lookup: Arc<LookupFn>,
    queue: Arc<Mutex<LookupQueue>>,
}

impl Resolver {
    pub(super) fn new(lookup: Arc<LookupFn>, running_max: usize) -> Resolver {
        Resolver { lookup, queue: Arc::new(Mutex::new(LookupQueue::new(running_max))) }
    }

    /// Lookups that run, also those whose callers have left.
    pub(super) fn running(&self) -> usize {
        self.queue().running()
    }

    /// The addresses of `name`, at least one.
    ///
    /// # Cancel safety
    /// Dropped, the lookup goes on for the others who wait for it.
    pub(super) async fn lookup(&self, name: &str, caller: Caller) -> Answer {
        let joined = self.queue().join(name, caller.app, Instant::now());
        let mut progress = match joined {
            Joined::Answered(answer) => return answer,
            Joined::Waits(progress) => progress,
        };
        self.start_waiting();
        let begun = progress.wait_for(|progress| !matches!(progress, Progress::Waits));
        let since = match timeout_at(caller.until, begun).await {
            Ok(Ok(seen)) => match &*seen {
                Progress::Runs(since) => *since,
                Progress::Over(answer) => return answer.clone(),
                Progress::Waits => return Err(LookupError::Busy),
            },
            // Its turn did not come, for want of slots: that is ours.
            Err(_) => return Err(LookupError::Busy),
            Ok(Err(_)) => return Err(given_up()),
        };
        let over = progress.wait_for(|progress| matches!(progress, Progress::Over(_)));
        match timeout(LOOKUP_MAX.saturating_sub(since.elapsed()), over).await {
            Ok(Ok(seen)) => match &*seen {
                Progress::Over(answer) => answer.clone(),
                Progress::Waits | Progress::Runs(_) => Err(given_up()),
            },
            Ok(Err(_)) => Err(given_up()),
            Err(_) => Err(LookupError::NoAnswer),
        }
    }

    /// Starts the lookups whose turn it is.
    fn start_waiting(&self) {
        loop {
            let next = self.queue().next(Instant::now());
            let Some((app, name)) = next else { return };
            self.start(app, name);
        }
    }

    fn start(&self, app: AppId, name: Arc<str>) {
        // Frees the slot however the task ends, also when its runtime drops it.
        let running = Running { resolver: self.clone(), app, name, answer: Err(given_up()) };
        let (lookup, asked) = (self.lookup.clone(), running.name.clone());
        tokio::spawn(async move {
            let mut running = running;
            running.answer = match tokio::task::spawn_blocking(move || lookup(&asked)).await {
                Ok(Ok(addresses)) if addresses.is_empty() => Err(LookupError::NoAddress),
                Ok(Ok(addresses)) => Ok(addresses.into()),
                Ok(Err(error)) if super::lack::is_ours(&error) => Err(LookupError::Busy),
                Ok(Err(error)) => Err(LookupError::Failed(error.to_string().into())),
                Err(_) => Err(given_up()),
            };
            let resolver = running.resolver.clone();
            drop(running);
            resolver.start_waiting();
        });
    }

    fn queue(&self) -> MutexGuard<'_, LookupQueue> {
        // A panic cannot leave it in disorder: nothing that can panic runs while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lookup that runs.
struct Running {
    resolver: Resolver,
    app: AppId,
    name: Arc<str>,
    answer: Answer,
}

impl Drop for Running {
    fn drop(&mut self) {
        let answer = std::mem::replace(&mut self.answer, Err(LookupError::NoAddress));
        self.resolver.queue().over(self.app, &self.name, answer, Instant::now());
    }
}

/// The lookup ended without a word: its runtime is going down.
fn given_up() -> LookupError {
    LookupError::Failed("the lookup was given up".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn of(app: u32) -> Caller {
        Caller { app: AppId(app), until: Instant::now() + PATIENCE }
    }

    fn resolver(
        running_max: usize,
        lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Resolver {
        Resolver::new(Arc::new(lookup), running_max)
    }

    /// A lookup that answers names beginning with "stuck" only when told to.
    fn gated(running_max: usize) -> (Resolver, SyncSender<()>, Arc<AtomicUsize>) {
        let (go, gate): (_, Receiver<()>) = sync_channel(64);
        let (gate, asked) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
        let counter = asked.clone();
        let resolver = resolver(running_max, move |name| {
            counter.fetch_add(1, Ordering::SeqCst);
            if name.starts_with("stuck") {
                gate.lock().unwrap().recv().map_err(io::Error::other)?;
            }
            Ok(vec![[1, 1, 1, 1].into()])
        });
        (resolver, go, asked)
    }

    /// Asks for a name and leaves.
    async fn leave(resolver: &Resolver, name: &str, app: u32) {
        let asked = timeout(Duration::from_millis(10), resolver.lookup(name, of(app)));
        assert!(asked.await.is_err(), "{name} was answered");
    }

    #[tokio::test]
    async fn one_name_is_looked_up_once_at_a_time_and_forgotten_after() {
        let (resolver, go, asked) = gated(8);
        let both = async { tokio::join!(resolver.lookup("stuck", of(1)), resolver.lookup("stuck", of(2))) };
        let ((first, second), ()) = tokio::join!(both, async { go.send(()).unwrap() });
        assert_eq!(first.unwrap()[..], second.unwrap()[..]);
        assert_eq!((asked.load(Ordering::SeqCst), resolver.running()), (1, 0));
        go.send(()).unwrap();
        resolver.lookup("stuck", of(1)).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_slot_is_held_until_the_lookup_ends_not_until_its_caller_leaves() {
        let (resolver, go, _) = gated(1);
        leave(&resolver, "stuck", 1).await;
        leave(&resolver, "other", 1).await;
        go.send(()).unwrap();
        assert!(resolver.lookup("other", of(1)).await.is_ok());
    }

    #[tokio::test]
    async fn names_of_one_tenant_that_do_not_answer_cost_another_nothing() {
        let (resolver, go, _) = gated(16);
        for number in 0..100 {
            leave(&resolver, &format!("stuck{number}"), 1).await;
        }
        assert_eq!(resolver.running(), 8, "half of the slots");
        for name in ["a", "b", "c"] {
            assert!(resolver.lookup(name, of(2)).await.is_ok(), "{name}");
        }
        // A name in the mean one's line is in the other's own line as well.
        leave(&resolver, "wanted", 1).await;
        assert!(resolver.lookup("wanted", of(2)).await.is_ok());
        (0..8).for_each(|_| go.send(()).unwrap());
    }

    #[tokio::test]
    async fn a_turn_that_does_not_come_is_a_lack_of_ours() {
        let (resolver, go, _) = gated(1);
        leave(&resolver, "stuck", 1).await;
        let hurried = Caller { until: Instant::now() + Duration::from_millis(10), ..of(1) };
        assert_eq!(resolver.lookup("other", hurried).await, Err(LookupError::Busy));
        go.send(()).unwrap();
    }

    #[tokio::test]
    async fn failures_and_empty_answers_are_told_apart_and_kept_for_a_moment() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let resolver = resolver(1, move |name| {
            log.lock().unwrap().push(name.to_owned());
            if name == "empty" { Ok(vec![]) } else { Err(io::Error::other("no such host")) }
        });
        for _ in 0..3 {
            assert_eq!(resolver.lookup("empty", of(1)).await, Err(LookupError::NoAddress));
            assert_eq!(resolver.lookup("gone", of(2)).await, Err(LookupError::Failed("no such host".into())));
        }
        let asked = asked.lock().unwrap();
        assert_eq!((asked.len(), asked.iter().collect::<HashSet<_>>().len()), (2, 2));
    }
}
