//! The threads that serve the connections of the API: one for each core, each with a runtime of its own.
//!
//! A connection stays on one thread, so its tasks wake where they run, and the answers of a commit reach all of a thread's
//! requests by one wake ([`storage::writer::replies`]). A handler must not block, for nobody takes over what waits behind it:
//! long reads are made on threads of their own (`admin_api::reader`).
//!
//! - *Who owns the state:* the process; the listener gives connections to threads.
//! - *What bounds it:* the number of cores; the connections are bounded by the listener.
//! - *When a thread has many connections:* a new one goes to the thread that has fewest.
//! - *When this is dropped:* the threads end, and what still runs on them with them.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{JoinHandle, available_parallelism};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// The running threads.
pub(crate) struct ApiThreads(Vec<ApiThread>);

struct ApiThread {
    runtime: Handle,
    /// Connections that it serves.
    connections: Arc<AtomicUsize>,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A connection counts for its thread as long as this is there.
struct Counted(Arc<AtomicUsize>);

// === impl ApiThreads ===

impl ApiThreads {
    /// Starts one for each core.
    ///
    /// # Errors
    /// When the system gives no thread, or no descriptors for its runtime.
    pub(crate) fn start() -> io::Result<ApiThreads> {
        let count = available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        (0..count).map(ApiThread::start).collect::<io::Result<_>>().map(ApiThreads)
    }

    /// Runs the task of a connection on the thread that has fewest of them.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Option<AbortHandle> {
        let thread = self.0.iter().min_by_key(|thread| thread.connections.load(Ordering::Relaxed))?;
        thread.connections.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&thread.connections));
        let task = thread.runtime.spawn(async move {
            let _counted = counted;
            task.await;
        });
        Some(task.abort_handle())
    }
}

impl ApiThread {
    fn start(index: usize) -> io::Result<ApiThread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(format!("pinion-api-{index}")).spawn(move || {
            runtime.spawn(storage::writer::replies::serve_this_thread());
            drop(runtime.block_on(stopped));
            // A read that blocks is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(ApiThread { runtime: handle, connections: Arc::default(), stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for ApiThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a thread of the API ended by a panic");
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::thread;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn connections_are_spread_over_threads_and_end_with_them() {
        let threads = ApiThreads((0..3).map(ApiThread::start).collect::<io::Result<_>>().unwrap());
        let (told, mut names) = mpsc::channel(9);
        for _ in 0..9 {
            let told = told.clone();
            threads.spawn(async move {
                told.send(thread::current().name().unwrap_or_default().to_owned()).await.ok();
                std::future::pending::<()>().await;
            });
        }
        let mut of_thread: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..9 {
            *of_thread.entry(names.recv().await.unwrap()).or_default() += 1;
        }
        assert_eq!(of_thread.into_values().collect::<Vec<_>>(), [3, 3, 3]);
        drop(threads);
        drop(told);
        assert_eq!(names.recv().await, None, "every task is gone");
    }

    #[tokio::test]
    async fn a_connection_that_ended_counts_no_more() {
        let threads = ApiThreads((0..2).map(ApiThread::start).collect::<io::Result<_>>().unwrap());
        let task = threads.spawn(std::future::pending()).unwrap();
        let counts = || threads.0.iter().map(|thread| thread.connections.load(Ordering::Relaxed)).sum::<usize>();
        assert_eq!(counts(), 1);
        task.abort();
        let ended = async {
            while counts() > 0 {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), ended).await.unwrap();
    }
}
