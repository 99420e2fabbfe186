//! An engine over a model store with one application, and a receiver that counts.

use bytes::Bytes;
use engine::prepare::generate_secret;
use engine::retention::Limits;
use engine::seal::{MasterKey, SealContext, SealPurpose};
use engine::{EngineConfig, IngestOutcome, NewMessage, Node, Partition, PartitionId};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::endpoint::EndpointSecret;
use model::{
    AppId, Application, DeadLetterReason, Endpoint, EndpointId, EndpointRef, Event, Expired, Jitter, Job, JobKind,
    RetryPolicy, Seq, Spacing, UnixMs,
};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::rows::KeyKind;
use storage::store::MemoryStore;
use storage::tables::{application, counter, dead_letter, delivery, endpoint, history, job, log, retained, settle};
use storage::{Change, Direction, SharedStore, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const APP: AppId = AppId(1);

pub(crate) struct World {
    pub(crate) receiver: Counting,
    engine: Partition,
    store: Arc<MemoryStore>,
    limits: Limits,
}

impl World {
    pub(crate) async fn start() -> World {
        World::retaining(EngineConfig::default().retention).await
    }

    /// One that keeps only so much.
    pub(crate) async fn retaining(limits: Limits) -> World {
        let store = Arc::new(MemoryStore::new());
        let engine = start_engine(store.clone(), limits);
        let created = engine.change(|txn| {
            let id = counter::next_app_id(txn)?;
            application::put(txn, &app(id))
        });
        created.await.map_err(|error: engine::ChangeError<StoreError>| error.to_string()).unwrap();
        World { receiver: Counting::start().await, engine, store, limits }
    }

    /// Creates an endpoint at the receiver; with gaps, it retries after those, in ms.
    pub(crate) async fn endpoint(&self, gaps_ms: &[u64]) -> EndpointRef {
        let engine = self.engine.clone();
        let url = format!("http://{}/", self.receiver.address);
        let policy = (!gaps_ms.is_empty()).then(|| RetryPolicy {
            spacing: Spacing::Schedule { delays_ms: gaps_ms.to_vec() },
            max_attempts: gaps_ms.len() as u16 + 1,
            max_delay_ms: 60_000,
            jitter: Jitter::None,
        });
        let created = self.engine.change(move |txn| {
            let id = counter::next_endpoint_id(txn)?;
            let target = EndpointRef { app: APP, endpoint: id };
            endpoint::put(txn, &row(id, url, policy, secret(&engine, target)))?;
            Ok::<_, StoreError>(target)
        });
        created.await.map_err(|error| error.to_string()).unwrap()
    }

    /// Pushes messages in requests of 100 and gives their positions.
    pub(crate) async fn push(&self, count: usize) -> Vec<Seq> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            let messages = (0..100.min(count - seqs.len())).map(|_| message()).collect();
            for outcome in self.engine.ingest(APP, messages).await.unwrap() {
                match outcome {
                    IngestOutcome::Accepted(event) => seqs.push(event.seq),
                    other => panic!("{other:?}"),
                }
            }
        }
        seqs
    }

    pub(crate) async fn requeue(&self, target: EndpointRef, seq: Seq) {
        let now = self.engine.now();
        let done = self.engine.change(move |txn| delivery::requeue(txn, target, seq, now));
        done.await.map_err(|error| error.to_string()).unwrap();
    }

    pub(crate) async fn enable(&self, target: EndpointRef) {
        let done = self.engine.change(move |txn| {
            let mut row = endpoint::get(txn, target)?.unwrap();
            row.disabled = None;
            endpoint::put(txn, &row)
        });
        done.await.map_err(|error: engine::ChangeError<StoreError>| error.to_string()).unwrap();
    }

    /// Paces everything that the application is sent.
    pub(crate) async fn pace(&self, per_s: u32) {
        let done = self.engine.change(move |txn| {
            let row = application::get(txn, APP)?.unwrap();
            application::put(txn, &Application { rate_limit: Some(per_s), ..row })
        });
        done.await.map_err(|error: engine::ChangeError<StoreError>| error.to_string()).unwrap();
    }

    pub(crate) fn has_outstanding(&self, target: EndpointRef) -> bool {
        settle::has_outstanding(&*self.store, target).unwrap()
    }

    pub(crate) fn is_disabled(&self, target: EndpointRef) -> bool {
        endpoint::get(&*self.store, target).unwrap().unwrap().disabled.is_some()
    }

    pub(crate) fn dead_letter(&self, target: EndpointRef, seq: Seq) -> Option<DeadLetterReason> {
        dead_letter::get(&*self.store, target, seq).unwrap().map(|letter| letter.reason)
    }

    pub(crate) fn attempts(&self, target: EndpointRef, seq: Seq) -> Vec<u16> {
        history::of_message(&*self.store, target, seq).unwrap().iter().map(|record| record.status).collect()
    }

    pub(crate) fn event(&self, seq: Seq) -> Event {
        log::get(&*self.store, APP, seq).unwrap().unwrap()
    }

    pub(crate) fn message_id(&self, seq: Seq) -> String {
        self.event(seq).message_id()
    }

    /// The first position that is retained.
    pub(crate) fn begin(&self) -> Seq {
        log::begin(&*self.store, APP).unwrap()
    }

    pub(crate) fn retained_bytes(&self) -> u64 {
        retained::get(&*self.store).unwrap().total()
    }

    pub(crate) fn expired(&self, target: EndpointRef) -> Option<Expired> {
        delivery::expired(&*self.store, target).unwrap()
    }

    /// The number of positions it missed.
    pub(crate) fn missed(&self, target: EndpointRef) -> u64 {
        self.expired(target).map_or(0, |expired| expired.positions)
    }

    pub(crate) fn waits(&self, target: EndpointRef, seq: Seq) -> bool {
        delivery::pending(&*self.store, target, seq).unwrap().is_some()
    }

    /// Deletes the application with its endpoints and leaves a job for the rest, as the API does.
    pub(crate) async fn delete_application(&self) {
        let done = self.engine.change(|txn| {
            for row in endpoint::list(txn, APP, None, 100, Direction::Forward)? {
                endpoint::remove(txn, &row)?;
            }
            application::remove(txn, &app(APP))?;
            txn.tell(Change::ApplicationDeleted(APP));
            let number = counter::next_job_number(txn)?;
            job::put(txn, &purge_job(number))?;
            txn.tell(Change::JobStarted);
            Ok::<_, StoreError>(())
        });
        done.await.map_err(|error| error.to_string()).unwrap();
    }

    /// Rows of the application, of whatever kind.
    pub(crate) fn rows(&self) -> usize {
        let of = |kind: u8| {
            let start = [&[kind], APP.0.to_be_bytes().as_slice()].concat();
            let end = [&[kind], (APP.0 + 1).to_be_bytes().as_slice()].concat();
            Store::scan(&*self.store, &start, &end, usize::MAX, Direction::Forward).unwrap().len()
        };
        (16..=31).filter(|kind| *kind != KeyKind::Job as u8).map(of).sum()
    }

    pub(crate) async fn until(&self, within: Duration, condition: impl Fn() -> bool) {
        let all = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(within, all).await.expect("the condition did not come about in time");
    }

    pub(crate) async fn stop(&self) {
        self.engine.stop().await;
    }

    /// Starts a new engine over the stopped one's store.
    pub(crate) async fn restart(&mut self) {
        self.store = Arc::new(self.store.restart());
        self.engine = start_engine(self.store.clone(), self.limits);
    }
}

fn start_engine(store: Arc<MemoryStore>, retention: Limits) -> Partition {
    let config = EngineConfig {
        shards: 2,
        allow_targets: vec!["127.0.0.0/8".parse().unwrap()],
        mailbox_capacity: 256,
        drain_timeout_ms: 500,
        retention,
        retention_period_ms: 20,
        ..EngineConfig::default()
    };
    let node = Node::start(config, MasterKey::new([3; 32])).unwrap();
    Partition::open(&node, PartitionId::default(), store as SharedStore).unwrap()
}

pub(crate) fn app(id: AppId) -> Application {
    Application { name: "tenant".to_owned(), ..Application::plain(id, UnixMs(1)) }
}

/// A signing secret, sealed for its endpoint.
pub(crate) fn secret(engine: &Partition, target: EndpointRef) -> EndpointSecret {
    let place = SealContext { app: target.app, endpoint: target.endpoint, purpose: SealPurpose::SigningSecret };
    let sealed = engine.master().seal(generate_secret(&[7; 24]).as_bytes(), place).unwrap();
    EndpointSecret { sealed, expires_at: None }
}

pub(crate) fn row(id: EndpointId, url: String, retry_policy: Option<RetryPolicy>, secret: EndpointSecret) -> Endpoint {
    Endpoint {
        url,
        retry_policy,
        secrets: vec![secret],
        ..Endpoint::plain(EndpointRef { app: APP, endpoint: id }, UnixMs(1))
    }
}

fn purge_job(number: u32) -> Job {
    let target = EndpointRef { app: APP, endpoint: EndpointId(0) };
    Job::new(number, target, JobKind::PurgeApplication, (Seq::ZERO, Seq::MAX), UnixMs(1))
}

pub(crate) fn message() -> NewMessage {
    NewMessage {
        event_type: "invoice.paid".to_owned(),
        event_id: None,
        channels: Vec::new(),
        payload: Bytes::from_static(b"{\"amount\":1}"),
        idempotency_key: None,
        only_for: None,
        more: None,
    }
}

/// A receiver that counts requests by `webhook-id` and answers as told.
pub(crate) struct Counting {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    status: AtomicU16,
    held: watch::Sender<bool>,
    seen: Mutex<HashMap<String, usize>>,
    changed: watch::Sender<()>,
}

impl Counting {
    pub(crate) async fn start() -> Counting {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            status: AtomicU16::new(200),
            held: watch::Sender::new(false),
            seen: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(state.clone(), request));
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Counting { address, state, task }
    }

    /// Answers with this status from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    /// Answers nothing while held.
    pub(crate) fn hold(&self, held: bool) {
        self.state.held.send_replace(held);
    }

    /// Requests by `webhook-id`.
    pub(crate) fn seen(&self) -> HashMap<String, usize> {
        self.state.seen.lock().unwrap().clone()
    }

    pub(crate) async fn wait_for(&self, within: Duration, condition: impl Fn(&HashMap<String, usize>) -> bool) {
        let mut changed = self.state.changed.subscribe();
        let all = async {
            while !condition(&self.state.seen.lock().unwrap()) {
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            panic!("not in time: {} seen", self.seen().len());
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let id = request.headers().get("webhook-id").unwrap().to_str().unwrap().to_owned();
    drop(request.into_body().collect().await);
    drop(state.held.subscribe().wait_for(|held| !held).await);
    // Decided before anyone can see the request, so that a test may change its mind once it has.
    let status = state.status.load(Ordering::SeqCst);
    *state.seen.lock().unwrap().entry(id).or_default() += 1;
    state.changed.send_replace(());
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    Ok(response)
}
