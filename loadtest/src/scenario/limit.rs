//! `limit`: a bare pooled hyper client against the same receiver. No engine, no disk, no signing.
//!
//! Requests are prepared and signed once, so that the receiver checks and enters as much as it does for the engine's.
//! It is the rate of an engine with a cost of zero on this machine, with the client library that Pinion uses.

use crate::cli::{Limit, Options};
use crate::drive::{Streams, payload};
use crate::ledger::Ledger;
use crate::measure::{Clock, Recorder, Sampler};
use crate::receive::{Intake, Keys, Manners, Receiver, Scheme, path, sign};
use crate::report::{Outcome, cpu_bound_per_s};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// Requests prepared.
const PREPARED: u32 = 256;
/// Requests at once: as many as Pinion makes to one endpoint by default.
const IN_FLIGHT: usize = 64;
/// The length of the measurement, in seconds, unless the command line says another.
const SECONDS: f64 = 5.0;

/// A request ready to be sent again and again.
#[derive(Clone, Debug)]
struct Prepared {
    head: Request<()>,
    body: Bytes,
}

/// Runs it.
pub(super) fn run(options: &Options, limit: &Limit) -> anyhow::Result<Outcome> {
    let (clock, streams) = (Clock::start(), Arc::new(Streams::one(1)));
    let ledger = Arc::new(Ledger::with_repeats(Arc::clone(&streams)));
    let recorder = Arc::new(Recorder::new(options.receiver_threads as usize + 1));
    let intake = Intake {
        clock,
        streams,
        ledger: Arc::clone(&ledger),
        recorder: Arc::clone(&recorder),
        manners: Manners::healthy(0),
        keys: Keys::new(Scheme::Standard),
        verify_every: options.verify_every,
        arrivals: AtomicU64::new(0),
        connections: AtomicU64::new(0),
    };
    let receiver =
        Receiver::start(&[options.receiver_listen], options.receiver, options.receiver_threads, Arc::new(intake))?;
    ledger.claim(PREPARED).context("an empty ledger has room")?;
    let prepared = prepare(receiver.addresses()[0], options.payload_bytes as usize)?;
    let sender = Arc::new(Sender {
        prepared,
        ledger: Arc::clone(&ledger),
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..limit.threads)
        .map(|_| start_client(&sender, IN_FLIGHT / limit.threads as usize))
        .collect::<Result<_, _>>()?;
    let mut sampler = Sampler::new(clock, Arc::clone(&ledger), recorder);
    let (warmup, seconds) = (options.warmup, options.seconds.unwrap_or(SECONDS));
    let is_over = || clients.iter().any(JoinHandle::is_finished);
    sampler.watch(None, |elapsed, _, _| elapsed.as_secs_f64() >= warmup || is_over());
    let interval = sampler.watch(None, |elapsed, _, _| elapsed.as_secs_f64() >= seconds || is_over());
    sender.stop.store(true, Relaxed);
    for client in clients {
        match client.join() {
            Ok(ended) => ended?,
            Err(_) => bail!("a client's thread panicked"),
        }
    }
    drop(receiver);
    let mut outcome = Outcome::new("limit", "limit".to_owned());
    outcome.fact("deliveries_per_s", "requests", interval.delivered_per_s(), "/s");
    outcome.fact("own_cpu_us", "CPU of client and receiver per request", interval.own_cpu_us(), "µs");
    let bound = cpu_bound_per_s(interval.own_cpu_us());
    outcome.fact("cpu_bound_per_s", "requests that this CPU allows on all cores", bound, "/s");
    outcome.account = ledger.account();
    outcome.complaints = outcome.account.complaints(false);
    outcome.samples = sampler.into_samples();
    Ok(outcome)
}

fn prepare(receiver: SocketAddr, payload_len: usize) -> anyhow::Result<Vec<Prepared>> {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut body = payload::payload(payload_len);
    let mut prepared = Vec::new();
    for number in 0..PREPARED {
        payload::write_number(&mut body, number.into());
        let id = format!("msg_limit{number:020}");
        let head = Request::post(format!("http://{receiver}{}", path(0, 0)))
            .header("content-type", "application/json")
            .header("user-agent", "loadtest")
            .header("webhook-signature", format!("v1,{}", sign(0, &id, now_s, &body)))
            .header("webhook-id", id)
            .header("webhook-timestamp", now_s)
            .body(())?;
        prepared.push(Prepared { head, body: Bytes::copy_from_slice(&body) });
    }
    Ok(prepared)
}

/// The state that all clients share.
#[derive(Debug)]
struct Sender {
    prepared: Vec<Prepared>,
    ledger: Arc<Ledger>,
    next: AtomicU64,
    stop: AtomicBool,
}

type Pooled = Client<HttpConnector, Full<Bytes>>;

/// A thread with a client of its own and so many requests at once.
fn start_client(sender: &Arc<Sender>, in_flight: usize) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let sender = Arc::clone(sender);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = move || runtime.block_on(sender.send_all(in_flight.max(1)));
    Ok(std::thread::Builder::new().name("client".to_owned()).spawn(work)?)
}

impl Sender {
    async fn send_all(self: Arc<Self>, in_flight: usize) -> anyhow::Result<()> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client: Pooled = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(in_flight).build(connector);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..in_flight {
            tasks.spawn(Arc::clone(&self).send(client.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// One request after the other.
    async fn send(self: Arc<Self>, client: Pooled) -> anyhow::Result<()> {
        while !self.stop.load(Relaxed) {
            let number = self.next.fetch_add(1, Relaxed) % u64::from(PREPARED);
            let Prepared { head, body } = &self.prepared[number as usize];
            let request = head.clone().map(|()| Full::new(body.clone()));
            let response = client.request(request).await?;
            if !response.status().is_success() {
                bail!("the receiver answered {}", response.status());
            }
            response.into_body().collect().await?;
            self.ledger.ack(number, 0);
        }
        Ok(())
    }
}
