//! `pinion demo` as a stranger runs it.

use crate::harness::{pinion, poll_until, seconds};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

#[test]
fn the_ledger_of_a_small_demo_balances() {
    let output = pinion().args(["demo", "--events", "300"]).output().expect("the binary runs");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}");
    assert!(stdout.contains("300 events accepted") && stdout.contains("The ledger balances"), "{stdout}");
    // Owed, delivered, retried, dead, lost, twice: without a crash nothing arrives twice.
    let dead = stdout.lines().find(|line| line.starts_with("partner-c")).unwrap();
    let cells: Vec<&str> = dead.split_whitespace().rev().take(8).collect();
    assert_eq!(cells, ["-", "-", "0", "0", "6", "12", "0", "6"], "{dead}");
    // The counts of order and filter are exact, that of the backup depends on when it took over.
    assert!(stdout.contains("statements: 60 events one after the other"), "{stdout}");
    assert!(stdout.contains("payments: payments-2 took over"), "{stdout}");
    assert!(stdout.contains("fraud-check: its filter of the payload lets 22 of 300 events pass"), "{stdout}");
    assert!(stderr.is_empty(), "{stderr}");
}

#[test]
fn an_interrupted_demo_ends_at_once_and_leaves_nothing() {
    let mut child = pinion()
        .args(["demo", "--events", "300"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let first = lines.next().expect("it says where it is");
    let store = first.rsplit(" store in ").next().unwrap().to_owned();
    assert!(Path::new(&store).exists(), "{first}");
    assert!(lines.any(|line| line.contains("accepted")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = poll_until("the end", seconds(5), || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    assert!(!Path::new(&store).exists(), "{store} was left behind");
}
