//! `pinion serve`: the parts put together, and taken apart again.
//!
//! ```text
//! start: metrics served ─▶ roots ─▶ store ─▶ API bound ─▶ keys ─▶ engine ─▶ ready ─▶ API served ─▶ «listening»
//! stop:  not ready ─▶ no new attempts; API takes no more, requests in flight finish ─▶ engine settles and commits
//!        ─▶ metrics end
//! ```
//! The engine outlives the API, so that no request finds it gone. The metrics listener outlives the engine, so that a
//! stop can be watched. This process has one partition, and ends when that fails. Its supervisor starts it anew, and
//! starting is recovery.

use crate::api_threads::ApiThreads;
use crate::ca_files::{self, CaFileError};
use crate::config::{Config, Loaded};
use crate::data_dir::{self, DataDirError};
use crate::listen::{self, BindError, Certificate, Handler, Listener, Reloader, TlsError, TlsFiles};
use crate::metrics_listen::{self, Probed, RecorderError};
use admin_api::{ApiLimits, ApiState};
use engine::config::EngineConfig;
use engine::dispatch::Egress;
use engine::{Node, Partition, PartitionId};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Time that the end waits for a scrape in flight.
const METRICS_DRAIN: Duration = Duration::from_millis(500);

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The store or a key.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A file with root certificates.
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    /// The certificate of the API.
    #[error("TLS for the API: {0}")]
    Tls(#[from] TlsError),
    /// An address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Threads.
    #[error("cannot start the threads of the API: {0}")]
    Threads(std::io::Error),
    /// Metrics.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// The engine.
    #[error("the engine did not start: {0}")]
    Node(#[from] engine::StartError),
    /// The partition over its store.
    #[error("the engine did not start: {0}")]
    Partition(#[from] engine::OpenError),
    /// The runtime lost a thread.
    #[error("a part of the start panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

/// A listener that is being served.
struct Served {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<bool>,
}

/// Everything, running.
pub(crate) struct Running {
    /// The address of the API.
    pub(crate) api: SocketAddr,
    /// The address of the metrics listener.
    pub(crate) metrics: SocketAddr,
    node: Node,
    partition: Partition,
    stopping: Arc<AtomicBool>,
    api_served: Served,
    metrics_served: Served,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts everything; when this returns, events are taken.
///
/// # Errors
/// See [`StartError`]; nothing keeps running then.
pub(crate) async fn start(
    loaded: &Arc<Loaded>,
    environment: fn(&str) -> Option<String>,
) -> Result<Running, StartError> {
    let config = &loaded.config;
    let recorder = metrics_listen::install_recorder()?;
    crate::metric_help::describe(loaded);
    let probed = Probed::default();
    let metrics_listener = Listener::bind("metrics", config.metrics_listen, metrics_listen::BOUNDS).await?;
    let metrics = metrics_listener.address();
    let metrics_router = metrics_listen::router(recorder.clone(), probed.clone());
    // It ends with the start, if that fails.
    let metrics_served = serve(metrics_listener, metrics_router, METRICS_DRAIN);
    let opened = blocking({
        let loaded = Arc::clone(loaded);
        move || {
            let roots = ca_files::read(&loaded.config.ca_files, environment)?;
            let tls = certificate(&loaded.config)?;
            let store = data_dir::open_store(&loaded)?;
            Ok::<_, StartError>((roots, tls, store))
        }
    });
    let (roots, tls, store) = opened.await??;
    let (certificate, reloader) = tls.unzip();
    let api_listener = Listener::bind("api", config.listen, config.http).await?.with_certificate(certificate);
    let api_listener = api_listener.on_threads(ApiThreads::start().map_err(StartError::Threads)?);
    let api = api_listener.address();
    // Not before both ports are ours: a start that fails for want of one leaves no keys that nobody was told of.
    let keys = blocking({
        let (loaded, store) = (Arc::clone(loaded), Arc::clone(&store));
        move || data_dir::keys(&loaded, &store, &environment)
    });
    let (root_key_hash, master_key) = keys.await??;

    // One that cannot be read was refused with the configuration.
    let proxy = config.egress_proxy.as_ref().and_then(|proxy| proxy.read().ok());
    let egress = proxy.map(|proxy| Egress { proxy, except: config.egress_proxy_except.clone() });
    let engine_config = EngineConfig { extra_roots: roots, egress, ..config.engine.clone() };
    let master_key = engine::seal::MasterKey::new(*master_key.bytes);
    let opened = blocking(move || {
        let node = Node::start(engine_config, master_key)?;
        let partition = Partition::open(&node, PartitionId::default(), store)?;
        Ok::<_, StartError>((node, partition))
    });
    let (node, partition) = opened.await??;

    let stopping = Arc::new(AtomicBool::new(false));
    probed.runs(partition.clone(), Arc::clone(&stopping));
    // Tiers that do not go together were refused with the configuration.
    let limits = ApiLimits { tiers: config.tiers().unwrap_or_default(), ..config.api.clone() };
    let state = ApiState::new(partition.clone(), root_key_hash, limits);
    let usage = admin_api::usage::watch(state.clone());
    let drain = Duration::from_millis(config.engine.drain_timeout_ms);
    let api_served = serve(api_listener, admin_api::service(state, config.cors_origins.clone()), drain);
    let upkeep = tokio::spawn(metrics_listen::upkeep(recorder));
    let mut tasks = vec![upkeep, tokio::spawn(usage)];
    tasks.extend(reloader.map(|reloader| tokio::spawn(reloader.run())));
    Ok(Running { api, metrics, node, partition, stopping, api_served, metrics_served, tasks })
}

/// The API's certificate and the reloader that replaces it; none when the API is to be plain.
fn certificate(config: &Config) -> Result<Option<(Certificate, Reloader)>, TlsError> {
    match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => {
            listen::first_certificate(TlsFiles { cert: cert.clone(), key: key.clone() }).map(Some)
        }
        // One without the other was refused with the configuration.
        _ => Ok(None),
    }
}

/// For work that reads much from the disk: opening replays the changes that the last run left in the log.
fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

fn serve<S>(listener: Listener, service: S, drain: Duration) -> Served
where
    TowerToHyperService<S>: Handler,
    S: Send + 'static,
{
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(listener.serve(service, async { drop(stopped.await) }, drain));
    Served { stop, ended }
}

// === impl Served ===

impl Served {
    /// Stops accepting and waits for requests in flight; true if all of them finished.
    async fn stop(self) -> bool {
        drop(self.stop);
        self.ended.await.unwrap_or(false)
    }
}

// === impl Running ===

impl Running {
    /// Resolves when the store has failed, with the reason: nothing can be promised any more.
    pub(crate) async fn failed(&self) -> String {
        self.partition.failed().await.to_string()
    }

    /// Drains: takes no more, finishes attempts and requests in flight within the deadline, commits.
    pub(crate) async fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        // Attempts and requests have the same time to end in, not one after the other.
        self.partition.stop_attempts();
        if !self.api_served.stop().await {
            tracing::warn!("some API requests did not finish in time");
        }
        self.partition.stop().await;
        self.node.stop().await;
        self.tasks.iter().for_each(JoinHandle::abort);
        self.metrics_served.stop().await;
    }
}
