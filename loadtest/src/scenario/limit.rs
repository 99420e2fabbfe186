//! `limit`: a bare pooled hyper client against the same receiver. No engine, no disk, no signing.
//!
//! Requests are prepared and signed once, so that the receiver checks and enters as much as it does for the engine's.
//! What an engine with a cost of zero could do on this machine, with the client library that Pinion uses.

use crate::cli::Options;
use crate::drive::{Streams, payload};
use crate::ledger::Ledger;
use crate::measure::{Clock, Recorder, Sampler};
use crate::receive::{Intake, Keys, Manners, Receiver, path, sign};
use crate::report::Outcome;
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
use std::time::{SystemTime, UNIX_EPOCH};

/// Requests prepared.
const PREPARED: u32 = 256;
/// Requests at once: as many as Pinion makes to one endpoint by default.
const IN_FLIGHT: usize = 64;
/// How long to measure when nobody says.
const SECONDS: f64 = 5.0;

/// A request ready to be sent again and again.
#[derive(Clone, Debug)]
struct Prepared {
    head: Request<()>,
    body: Bytes,
}

/// Runs it.
pub(super) fn run(options: &Options) -> anyhow::Result<Outcome> {
    let (clock, streams) = (Clock::start(), Arc::new(Streams::one(1)));
    let ledger = Arc::new(Ledger::with_repeats(Arc::clone(&streams)));
    let recorder = Arc::new(Recorder::new(options.receiver_threads as usize + 1));
    let intake = Intake {
        clock,
        streams,
        ledger: Arc::clone(&ledger),
        recorder: Arc::clone(&recorder),
        manners: Manners::healthy(0),
        keys: Keys::new(),
        verify_every: options.verify_every,
        arrivals: AtomicU64::new(0),
        connections: AtomicU64::new(0),
    };
    let receiver =
        Receiver::start(&[options.receiver_listen], options.receiver, options.receiver_threads, Arc::new(intake))?;
    ledger.claim(PREPARED).context("an empty ledger has room")?;
    let prepared = prepare(receiver.addresses()[0], options.payload_bytes as usize)?;
    let (stop, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stop_there, ledger_there) = (Arc::clone(&stop), Arc::clone(&ledger));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = std::thread::Builder::new()
        .name("client".to_owned())
        .spawn(move || runtime.block_on(send_all(Arc::new(prepared), ledger_there, stop_there, requests)))?;
    let mut sampler = Sampler::new(clock, Arc::clone(&ledger), recorder);
    let (warmup, seconds) = (options.warmup, options.seconds.unwrap_or(SECONDS));
    sampler.watch(None, |elapsed, _, _| elapsed.as_secs_f64() >= warmup || client.is_finished());
    let stretch = sampler.watch(None, |elapsed, _, _| elapsed.as_secs_f64() >= seconds || client.is_finished());
    stop.store(true, Relaxed);
    match client.join() {
        Ok(ended) => ended?,
        Err(_) => bail!("the client's thread panicked"),
    }
    drop(receiver);
    let mut outcome = Outcome::new("limit", "limit".to_owned());
    outcome.fact("deliveries_per_s", "requests", stretch.delivered_per_s(), "/s");
    outcome.fact("own_cpu_us", "CPU of client and receiver per request", stretch.own_cpu_us(), "µs");
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

async fn send_all(
    prepared: Arc<Vec<Prepared>>,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(IN_FLIGHT).build(connector);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (client, prepared) = (client.clone(), Arc::clone(&prepared));
        let (ledger, stop, requests) = (Arc::clone(&ledger), Arc::clone(&stop), Arc::clone(&requests));
        tasks.spawn(async move {
            while !stop.load(Relaxed) {
                let number = requests.fetch_add(1, Relaxed) % u64::from(PREPARED);
                let Prepared { head, body } = &prepared[number as usize];
                let request = head.clone().map(|()| Full::new(body.clone()));
                let response = client.request(request).await?;
                if !response.status().is_success() {
                    bail!("the receiver answered {}", response.status());
                }
                response.into_body().collect().await?;
                ledger.ack(number, 0);
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
