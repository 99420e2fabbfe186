//! Start, readiness, stop: as a supervisor sees them.

use crate::disk::Shim;
use crate::harness::{Client, Server, seconds};
use rustix::process::Signal;
use serde_json::Value;
use std::net::TcpListener;
use std::sync::Arc;

#[test]
fn a_started_server_is_live_ready_and_healthy() {
    let server = Server::start(&[]);
    assert_eq!(server.api("GET", "/api/v1/health", Value::Null).0, 204);
    assert_eq!(server.anonymous().send("GET", "/api/v1/health", &[], None).unwrap().status, 204);
    assert_eq!(server.monitor("/livez").status, 200);
    assert_eq!(server.monitor("/readyz").status, 200);
    assert_eq!(server.monitor("/elsewhere").status, 404);
    let metrics = server.monitor("/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.text().contains("# HELP pinion_build_info"), "{}", metrics.text());
    assert!(server.metric("process_open_fds", &[]) > 5.0);
    assert_eq!(server.metric("pinion_setting_number", &["setting=\"max_in_flight\""]), 64.0);
    assert!(server.metric("pinion_http_connections_accepted_total", &["listener=\"api\""]) >= 2.0);
}

#[test]
fn a_start_that_takes_long_is_live_and_not_ready() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let shim = Shim::new(folder.path(), false);
    // A start makes several syncs.
    shim.set_slow_ms(250);
    // Nobody else binds it in between: the system gives the ports of sockets that ask for any in turn.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listen = format!("--metrics-listen={address}");
    std::thread::scope(|scope| {
        let start = || Server::try_start_in(Arc::clone(&folder), &[&listen], &shim.environment());
        let starting = scope.spawn(start);
        let status = |path: &str| Client::new(address).send("GET", path, &[], None).ok().map(|answer| answer.status);
        let mut seen = false;
        while !starting.is_finished() {
            let (live, ready) = (status("/livez"), status("/readyz"));
            assert!(live.is_none_or(|live| live == 200), "{live:?}");
            seen |= (live, ready) == (Some(200), Some(503));
        }
        let server = starting.join().unwrap().unwrap();
        assert!(seen, "it did not answer before the store was open");
        assert_eq!((server.monitor("/livez").status, server.monitor("/readyz").status), (200, 200));
        shim.set_slow_ms(0);
    });
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_may_be() {
    let server = Server::start_with_open_files(128);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    // «Max open files», soft, hard, unit.
    assert_eq!(words[3], words[4], "{line}");
    assert_ne!(words[3], "128");
}

#[test]
fn sigterm_and_sigint_end_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&[]);
        server.signal(signal);
        assert_eq!(server.wait_exit(seconds(15)).code(), Some(0));
        let stopped = server.logs();
        assert!(stopped.iter().any(|line| line.contains("\"message\":\"stopped\"")), "{stopped:#?}");
    }
}

#[test]
fn a_killed_server_starts_again_with_the_same_keys() {
    let mut server = Server::start(&[]);
    let key = server.root_key();
    server.restart();
    assert_eq!(server.root_key(), key);
    assert_eq!(server.api("GET", "/api/v1/health", Value::Null).0, 204);
}

#[test]
fn a_second_process_on_the_same_data_directory_is_refused() {
    let server = Server::start(&[]);
    let second = Server::try_start_in(server.data(), &[], &[]).err().expect("the directory is in use");
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stderr.contains("in use by another process"), "{}", second.stderr);
    assert_eq!(server.monitor("/readyz").status, 200);
}

#[test]
fn a_taken_address_is_refused_by_name() {
    let server = Server::start(&[]);
    let taken = server.api_address().to_string();
    let second = Server::try_start(&["--listen", &taken]).err().expect("the address is taken");
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stderr.contains(&format!("could not listen on {taken} for api")), "{}", second.stderr);
}

#[test]
fn a_long_target_gets_414_and_json() {
    let server = Server::start(&[]);
    let path = format!("/api/v1/app?iterator={}", "a".repeat(9_000));
    let (status, body) = server.api("GET", &path, Value::Null);
    assert_eq!((status, body["code"].as_str()), (414, Some("uri_too_long")));
}

#[test]
fn no_key_is_ever_logged() {
    let server = Server::start(&["--log-level", "trace"]);
    let key = server.root_key();
    let master = std::fs::read_to_string(server.data_dir().join("master.key")).unwrap();
    let _ = server.api("GET", "/api/v1/app", Value::Null);
    let _ = Client::new(server.api_address()).with_bearer("canary-canary").send("GET", "/api/v1/app", &[], None);
    let logs = server.logs().join("\n");
    for secret in [key.as_str(), master.trim(), "canary-canary"] {
        assert!(!logs.contains(secret), "a key is in the log");
    }
}

#[test]
fn a_start_that_fails_for_a_port_makes_no_keys() {
    let running = Server::start(&[]);
    let taken = [running.api_address(), running.metrics_address()].map(|address| address.to_string());
    for flags in [["--listen", &taken[0]], ["--metrics-listen", &taken[1]]] {
        let data = Arc::new(tempfile::tempdir().unwrap());
        let exited = Server::try_start_in(Arc::clone(&data), &flags, &[]).err().expect("the port is taken");
        assert!(exited.stderr.contains("could not listen"), "{}", exited.stderr);
        for key in ["root.key", "master.key"] {
            assert!(!data.path().join("data").join(key).exists(), "{key} was made, with {flags:?}");
        }
    }
}
