//! The life of a server process: started, announced, stopped by a signal or by a failed store.
//!
//! It runs in the foreground under a supervisor: it does not fork and writes no process id file.

use crate::config::Loaded;
use crate::data_dir::DataDirError;
use crate::serve::{self, StartError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use storage::disk::OpenError;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Time that the end of the process waits for threads that still read from disk.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// The end of a run, when it was not by a signal and an orderly stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No threads or no signal handlers.
    #[error("could not set up the process: {0}")]
    Setup(#[from] io::Error),
    /// The store failed: nothing is acknowledged any more, and starting again is the way on.
    #[error("the store failed: {0}")]
    Store(String),
    /// A second signal came while the first was being obeyed.
    #[error("stopped by a second signal before everything was settled; nothing acknowledged is lost")]
    Impatient,
}

// === impl RunError ===

impl RunError {
    /// Advice for the operator when the store is damaged, or may be.
    pub(crate) fn way_on(&self, data_dir: &Path) -> Option<String> {
        let damaged = |condition: &str| {
            let data_dir = data_dir.display();
            Some(format!("{condition}`pinion repair --data-dir {data_dir}` saves what can be saved"))
        };
        match self {
            RunError::Start(StartError::DataDir(DataDirError::Open(OpenError::Corrupt { .. }))) => damaged(""),
            RunError::Start(StartError::DataDir(DataDirError::Key(_))) => {
                damaged("if it is the file that is damaged, ")
            }
            RunError::Store(_) => damaged("start again, and when it is damage that comes back, "),
            RunError::Start(_) | RunError::Setup(_) | RunError::Impatient => None,
        }
    }
}

/// Runs until SIGTERM or SIGINT and drains.
///
/// # Errors
/// See [`RunError`].
pub(crate) fn until_stopped(loaded: Loaded) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("upkeep").enable_all().build()?;
    let result = runtime.block_on(serve_until_stopped(Arc::new(loaded)));
    runtime.shutdown_timeout(RUNTIME_END);
    result
}

async fn serve_until_stopped(loaded: Arc<Loaded>) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let starting = serve::start(&loaded, |variable| std::env::var(variable).ok());
    let running = tokio::select! {
        // Nothing was promised yet.
        _ = signals.next() => return Ok(()),
        started = starting => started?,
    };
    let (api, metrics) = (running.api, running.metrics);
    tracing::info!(%api, %metrics, data_dir = %loaded.config.data_dir.display(), "listening");
    let failure = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "stopping");
            None
        }
        reason = running.failed() => {
            tracing::error!(reason, "the store failed, stopping");
            Some(reason)
        }
    };
    tokio::select! {
        () = running.stop() => {}
        _ = signals.next() => return Err(RunError::Impatient),
    }
    match failure {
        Some(reason) => Err(RunError::Store(reason)),
        None => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

/// The signals that stop a process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Signals ===

impl Signals {
    /// From here on they no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
