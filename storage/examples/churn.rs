//! Churn: events go in at full speed and the oldest go out, as retention does it; how much disk does that take?
//!
//! `cargo run --release -p storage --example churn -- DIR MINUTES LIVE_MIB PAYLOAD_BYTES NAMED` prints a line every few
//! seconds: the bytes that are live, the bytes of the files, and their ratio. One in NAMED events has a name of its own (0:
//! none has), and each commit leaves a run of attempts, so that all kinds of rows that retention removes are there.
//! Without the engine: the question is whether the store underneath gives space back.

use bytes::Bytes;
use model::{AppId, AttemptRecord, EndpointId, EndpointRef, Event, OutcomeClass, Seq, Trigger, UnixMs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::disk::OpenOptions;
use storage::rows::meta::Retained;
use storage::tables::history::{self, LastRuns};
use storage::tables::{event_uid, log};
use storage::{Collected, Store, StoreError, Txn};

const APPS: u32 = 4;
const EVENTS_PER_COMMIT: u64 = 256;

struct Churn<S> {
    store: S,
    retained: Retained,
    heads: [u64; APPS as usize],
    random: u64,
    payload_bytes: usize,
    named: u64,
}

impl<S: Store> Churn<S> {
    fn commit(&mut self, work: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut txn = Txn::new(&self.store);
        work(&mut txn)?;
        let Collected { batch, growth, .. } = txn.into_parts();
        self.retained = self.retained.grown(growth.events, growth.attempts);
        self.store.apply(batch)
    }

    fn payload(&mut self) -> Bytes {
        let mut payload = Vec::with_capacity(self.payload_bytes + 8);
        while payload.len() < self.payload_bytes {
            // xorshift64: bytes that do not compress.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            payload.extend_from_slice(&self.random.to_le_bytes());
        }
        Bytes::from(payload)
    }

    fn push(&mut self, app: u32) -> Result<(), StoreError> {
        let from = self.heads[app as usize] + 1;
        let upto = from + EVENTS_PER_COMMIT - 1;
        let mut events = Vec::new();
        for seq in from..=upto {
            events.push(Event {
                app: AppId(app),
                seq: Seq(seq),
                accepted_at: UnixMs(seq),
                event_type: Arc::from("invoice.paid"),
                event_id: (self.named > 0 && seq.is_multiple_of(self.named)).then(|| Arc::from(format!("event {seq}"))),
                channels: Vec::new(),
                only_for: None,
                more: None,
                payload: self.payload(),
            });
        }
        self.heads[app as usize] = upto;
        let records = events.iter().map(|event| record(event.seq)).collect();
        self.commit(|txn| {
            log::append(txn, AppId(app), &events)?;
            for event in &events {
                if let Some(event_id) = &event.event_id {
                    event_uid::put(txn, AppId(app), event_id, event.seq)?;
                }
            }
            history::put_first(txn, &mut LastRuns::default(), target(app), records)
        })
    }

    fn remove(&mut self, app: u32) -> Result<(), StoreError> {
        let upto = Seq(self.heads[app as usize]);
        self.commit(|txn| log::remove_upto(txn, AppId(app), upto, 256).map(drop))?;
        let begin = log::begin(&self.store, AppId(app))?;
        self.commit(|txn| history::forget(txn, target(app), UnixMs::ZERO, begin, 256).map(drop))
    }
}

fn target(app: u32) -> EndpointRef {
    EndpointRef { app: AppId(app), endpoint: EndpointId(app + 1) }
}

fn record(seq: Seq) -> AttemptRecord {
    AttemptRecord {
        seq,
        started_at: UnixMs(seq.0),
        duration_ms: 7,
        attempt: 1,
        trigger: Trigger::Scheduled,
        outcome: OutcomeClass::Success,
        status: 200,
        response: Vec::new(),
        next_attempt_at: None,
        note: None,
        url_number: 0,
        details: None,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, minutes, live_mib, payload_bytes, named] = arguments.as_slice() else {
        return Err("churn DIR MINUTES LIVE_MIB PAYLOAD_BYTES NAMED".into());
    };
    let (minutes, limit): (u64, u64) = (minutes.parse()?, live_mib.parse::<u64>()? << 20);
    let store = OpenOptions::default().open(dir.as_ref())?;
    let payload_bytes = payload_bytes.parse()?;
    let mut churn = Churn {
        store,
        retained: Retained::default(),
        heads: [0; APPS as usize],
        random: 0x9E37_79B9_7F4A_7C15,
        payload_bytes,
        named: named.parse()?,
    };
    let (started, mut shown, mut written) = (Instant::now(), Instant::now(), 0u64);
    let mut worst: f64 = 0.0;
    println!("seconds  events  live MiB  disk MiB  ratio");
    while started.elapsed() < Duration::from_secs(minutes * 60) {
        for app in 0..APPS {
            churn.push(app)?;
            written += EVENTS_PER_COMMIT;
            while churn.retained.total() > limit {
                churn.remove(app)?;
            }
        }
        if shown.elapsed() > Duration::from_secs(5) {
            shown = Instant::now();
            let (live, disk) = (churn.retained.total(), churn.store.size_on_disk_bytes()?);
            let ratio = disk as f64 / live as f64;
            if live > limit / 10 * 9 {
                worst = worst.max(ratio);
            }
            println!("{:7} {written:8} {:9} {:9} {ratio:6.2}", started.elapsed().as_secs(), live >> 20, disk >> 20);
        }
    }
    println!("worst ratio once full: {worst:.2}");
    Ok(())
}
