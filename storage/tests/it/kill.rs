//! A process that takes messages in is killed (SIGKILL) at random instants: all messages that it acknowledged are
//! there.
//!
//! The child is this very binary, told by an environment variable to be one. It prints each acknowledged position, and
//! the parent believes only what it has read. Not a power cut: what the kernel holds survives a kill.

use model::{AppId, Application, EndpointId, EndpointRef, Event, Seq, UnixMs};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use storage::Change;
use storage::disk::{DiskStore, OpenOptions};
use storage::tables::audit::Chain;
use storage::tables::progress::Progress;
use storage::tables::{application, delivery, event_uid, log};
use storage::writer::{
    self, Downstream, IngestOutcome, NewMessage, SETTLED_HIGH_WATER, WriterConfig, WriterHandle, WriterQuotas,
};

/// Set for the child: the data directory.
const CHILD: &str = "PINION_TEST_KILL_CHILD";

const CYCLES: u64 = 10;
const APP: AppId = AppId(1);
/// Is offered every message and never settles one.
const BLACK_HOLE: EndpointRef = EndpointRef { app: APP, endpoint: EndpointId(1) };

/// Large enough to be chunked now and then, and told by its position only.
fn payload(seq: u64) -> Vec<u8> {
    vec![seq as u8; if seq.is_multiple_of(7) { 20_000 } else { (seq % 900) as usize }]
}

struct Offers;

impl Downstream for Offers {
    fn knows(&self, _target: EndpointRef) -> bool {
        true
    }

    fn committed(&mut self, events: Vec<Event>, _changes: Vec<Change>, progress: &mut Progress) {
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            progress.offered(BLACK_HOLE, first.seq, last.seq);
            progress.set_routed(APP, last.seq);
        }
    }

    fn settlements_taken(&mut self) {}
}

fn open(data_dir: &Path) -> DiskStore {
    // Small, so that some are killed during a checkpoint.
    OpenOptions { log_max_bytes: 256 * 1024, ..OpenOptions::default() }.open(data_dir).unwrap()
}

fn start(data_dir: &Path) -> WriterHandle {
    let store = Arc::new(open(data_dir));
    let config = WriterConfig {
        queue_capacity: 1_000,
        queue_bytes: 1 << 24,
        settled_high_water: SETTLED_HIGH_WATER,
        commit_max_events: 1_000,
        idempotency_ms: 1_000,
        quotas: WriterQuotas::default(),
    };
    let mut progress = Progress::load(&*store).unwrap();
    // The start's own part: events in the log beyond the mark are offered again.
    let (routed, head) = (progress.routed(APP), log::head(&*store, APP).unwrap());
    if head > routed {
        progress.offered(BLACK_HOLE, routed.next(), head);
        progress.set_routed(APP, head);
    }
    // The thread ends with the process.
    writer::spawn(store, config, progress, Offers, Box::new(|| UnixMs(5)), Chain::new(None), "writer".to_owned())
        .unwrap()
        .0
}

/// Takes messages in from several tasks at once and prints the acknowledged ones, until it is killed.
fn child(data_dir: &Path) {
    let writer = start(data_dir);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        writer.change(|txn| application::put(txn, &app())).await.unwrap();
        let tasks: Vec<_> = (0..8u64).map(|task| tokio::spawn(push(writer.clone(), task))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

async fn push(writer: WriterHandle, task: u64) {
    let run = std::process::id();
    // Far more than it lives to see; ends by itself should the parent be gone.
    for round in 0..20_000u64 {
        let number = round * 8 + task;
        let message = NewMessage {
            event_type: "test".to_owned(),
            event_id: Some(format!("{run}-{number}")),
            channels: Vec::new(),
            payload: payload(number).into(),
            idempotency_key: None,
            only_for: None,
            more: None,
        };
        let answer = writer.ingest(APP, vec![message]).await.unwrap();
        let IngestOutcome::Accepted(event) = &answer[0] else { panic!("{answer:?}") };
        let line = format!("ack {} {number} {run}-{number}\n", event.seq);
        if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

fn app() -> Application {
    Application { name: "killed".to_owned(), ..Application::plain(APP, UnixMs(1)) }
}

/// An acknowledgement as the child printed it: position, number, event id.
type Ack = (Seq, u64, String);

/// Runs a child, kills it, and gives what it acknowledged. The instant is counted in acknowledgements, which lie at
/// random places of commits, plus a moment.
fn run_and_kill(data_dir: &Path, cycle: u64) -> Vec<Ack> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::acknowledged_messages_survive_a_kill", "--nocapture"])
        .env(CHILD, data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let random = cycle.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(child.id()).wrapping_mul(0xD134_2543_DE82_EF95);
    let mut acks: Vec<Ack> = lines
        .by_ref()
        .map_while(Result::ok)
        .filter_map(|line| parse(&line))
        .take((random >> 33) as usize % 400 + 1)
        .collect();
    std::thread::sleep(Duration::from_micros(random >> 20 & 0x3fff));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success(), "it ended by itself");
    acks.extend(lines.map_while(Result::ok).filter_map(|line| parse(&line)));
    acks
}

/// Also of the line on which the harness begins to speak; a line that was cut short does not count.
fn parse(line: &str) -> Option<Ack> {
    let (_, line) = line.split_once("ack ")?;
    let mut parts = line.split(' ');
    let (seq, number, id) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
    id.ends_with(&format!("-{number}")).then(|| (Seq(seq), number, id.to_owned()))
}

#[test]
fn acknowledged_messages_survive_a_kill() {
    if let Some(data_dir) = std::env::var_os(CHILD) {
        return child(Path::new(&data_dir));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acked: Vec<Ack> = Vec::new();
    for cycle in 0..CYCLES {
        let acks = run_and_kill(folder.path(), cycle);
        assert!(!acks.is_empty(), "cycle {cycle}: it did nothing");
        acked.extend(acks);
        check(&open(folder.path()), &acked);
    }
    assert!(acked.len() > 100, "{} acknowledgements are no test", acked.len());
}

fn check(store: &DiskStore, acked: &[Ack]) {
    for (seq, number, id) in acked {
        let event = log::get(store, APP, *seq).unwrap().unwrap_or_else(|| panic!("{seq} ({id}) is lost"));
        assert_eq!((event.event_id.as_deref(), &event.payload[..]), (Some(id.as_str()), &payload(*number)[..]));
        assert_eq!(event_uid::get(store, APP, id).unwrap(), Some(*seq));
    }
    // The log has no gaps, and nobody is owed less than all of it.
    let head = log::head(store, APP).unwrap();
    let mut next = Seq(1);
    while next <= head {
        for event in log::read_after(store, APP, next.previous(), 500, 1 << 20).unwrap() {
            assert_eq!(event.seq, next);
            next = next.next();
        }
    }
    let owed_from = delivery::cursor(store, BLACK_HOLE).unwrap().map(|cursor| cursor.upto);
    assert_eq!(owed_from.unwrap_or(delivery::routed(store, APP).unwrap()), Seq(0));
}
