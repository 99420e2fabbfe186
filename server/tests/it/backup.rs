//! Backups of the real server, restored: under load, killed at random, damaged, without room, refused.
//!
//! - `load`: taken while messages come in; started again in another place, with every delivery that was owed.
//! - `killed`: `kill -9` of the server, of the backup and of the restore, at random instants.
//! - `refused`: keys, another backup at the same time, readers that are too slow.
//! - `damaged`: flipped bits, missing chunks, a full disk.

mod damaged;
mod killed;
mod load;
mod refused;

use crate::events::{number_of, payload, push_events};
use crate::harness::{Client, Receiver, Server, pinion};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const APP: &str = "shop";

/// A message of each size is among so many.
const SOME: u64 = 100;

/// A server that takes the longest of these messages.
fn start_server(arguments: &[&str]) -> Server {
    Server::start(&[&["--max-body-bytes=2MiB"], arguments].concat())
}

/// `pinion backup` of this server, with its root key.
fn backup(server: &Server, to: &Path, arguments: &[&str]) -> Command {
    let mut command = pinion();
    let url = format!("http://{}", server.api_address());
    command.arg("backup").arg("--to").arg(to).args(["--url", &url]).args(arguments);
    command.env("PINION_KEY", server.root_key());
    command
}

fn restore(from: &Path, data_dir: &Path) -> Command {
    let mut command = pinion();
    command.arg("restore").arg("--from").arg(from).arg("--data-dir").arg(data_dir);
    command
}

fn verify(folder: &Path) -> Command {
    let mut command = pinion();
    command.args(["backup", "verify"]).arg(folder);
    command
}

/// Exit code, standard output, standard error.
fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// The same of one that must succeed: its standard output.
#[track_caller]
fn done(command: &mut Command) -> String {
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, 0, "{command:?}: {stdout}{stderr}");
    stdout
}

/// The same of one that must fail: its standard error.
#[track_caller]
fn failed(command: &mut Command) -> String {
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, 1, "{command:?}: {stdout}{stderr}");
    stderr
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
}

/// The number behind a word of a report.
#[track_caller]
fn number_behind(report: &str, words: &str) -> u64 {
    let rest = report.split_once(words).unwrap_or_else(|| panic!("no `{words}` in {report}")).1;
    rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// One application with an endpoint that answers, and one that fails for now.
fn create(server: &Server, receiver: &Receiver) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": APP, "uid": APP}));
    for uid in ["good", "bad"] {
        let endpoint = json!({"url": receiver.url(&format!("/{uid}")), "uid": uid,
            "retryPolicy": {"type": "fixed", "delayMs": 200, "maxAttempts": 1000, "jitter": "none"}});
        server.api_expect(201, "POST", "/api/v1/app/shop/endpoint", endpoint);
    }
}

/// Pushes these messages, and says which id each got.
#[track_caller]
fn push(client: &Client, numbers: impl IntoIterator<Item = u64>) -> BTreeMap<String, u64> {
    let one = |number| {
        let (status, answer) = push_events(client, APP, &[number], None, false).expect("an answer");
        assert_eq!(status, 202, "{answer}");
        (answer["id"].as_str().unwrap().to_owned(), number)
    };
    numbers.into_iter().map(one).collect()
}

/// Pushes until told otherwise; small messages, as many as the server takes.
fn push_until(client: &Client, stop: &AtomicBool, from: u64) -> BTreeMap<String, u64> {
    let mut acked = BTreeMap::new();
    for number in (from..).filter(|number| payload(*number).len() < 1_000) {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        if let Ok((202, answer)) = push_events(client, APP, &[number], None, false) {
            acked.insert(answer["id"].as_str().unwrap().to_owned(), number);
        }
    }
    acked
}

/// A place for a data directory with the keys of this server in it, and the directory.
fn place_with_keys(server: &Server) -> (Arc<TempDir>, PathBuf) {
    let place = Arc::new(tempfile::tempdir().unwrap());
    let data_dir = place.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    for key in ["master.key", "root.key"] {
        std::fs::copy(server.data_dir().join(key), data_dir.join(key)).unwrap();
    }
    (place, data_dir)
}

/// The numbers that arrived at a path under these ids, with the payload that each was sent with.
fn arrived(receiver: &Receiver, path: &str, acked: &BTreeMap<String, u64>) -> usize {
    let requests = receiver.requests_to(path);
    let good = requests.iter().filter(|request| request.answered == 200);
    let right =
        good.filter(|request| acked.get(request.id()).is_some_and(|number| number_of(&request.body) == Some(*number)));
    let ids: std::collections::BTreeSet<&str> = right.map(|request| request.id()).collect();
    ids.len()
}

/// Runs a command with this on its standard input.
fn with_input(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || stdin.write_all(input));
        let output = child.wait_with_output().unwrap();
        // A command that refuses its input does not read it all.
        drop(sending.join());
        output
    })
}
