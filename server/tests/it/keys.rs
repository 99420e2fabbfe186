//! Keys of a data directory: generated, given, refused; and API keys, made with the server up and down.

use crate::harness::{Client, Server, pinion, seconds};
use serde_json::json;
use std::path::Path;

fn key_command(data_dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    key_command_with(&[("PINION_DATA_DIR", &data_dir.to_string_lossy())], arguments)
}

fn key_command_with(environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = pinion();
    command.arg("key").args(arguments).envs(environment.iter().copied()).current_dir(folder.path());
    let output = command.output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// The status that a key gets when it lists applications.
fn status_of(server: &Server, key: &str) -> u16 {
    Client::new(server.api_address()).with_bearer(key).send("GET", "/api/v1/app", &[], None).unwrap().status
}

#[test]
fn a_root_key_can_come_from_the_environment() {
    let data = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let server = Server::try_start_in(data, &[], &[("PINION_ROOT_KEY", "a-root-key-of-my-own")]).unwrap();
    assert!(!server.data_dir().join("root.key").exists());
    let client = Client::new(server.api_address());
    let status = |key: &str| client.clone().with_bearer(key).send("GET", "/api/v1/app", &[], None).unwrap().status;
    assert_eq!(status("a-root-key-of-my-own"), 200);
    assert_eq!(status("a-root-key-of-my-own2"), 401);
}

#[test]
fn another_master_key_is_refused_and_the_right_one_taken() {
    let mut server = Server::start(&[]);
    server.kill();
    let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let refused = Server::try_start_in(server.data(), &[], &[("PINION_MASTER_KEY", other)]).err().expect("refused");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("PINION_MASTER_KEY is not the one"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(other));
    server.start_again();
}

/// Makes every use of keys, and returns all printed lines, with ids, times and keys made alike.
fn life_of_a_key(run: impl Fn(&[&str]) -> (i32, String, String)) -> (String, Vec<String>) {
    let create =
        ["create", "--name", "backend", "--app-id", "tenant", "--scopes", "ingest,read", "--rate-limit", "600"];
    let (code, key, stderr) = run(&create);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let key = key.strip_suffix('\n').expect("a line").to_owned();
    assert!(key.starts_with("pk_"), "{key}");
    let mut printed = Vec::new();
    // Of the newest key; those of an earlier life are listed before it.
    let newest = || {
        let (code, listed, stderr) = run(&["list"]);
        assert_eq!((code, stderr.as_str()), (0, ""));
        assert!(listed.contains("backend") && !listed.contains(&key), "{listed}");
        let line = listed.lines().last().expect("a line");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let columns = newest();
    assert_eq!((columns[1].as_str(), columns[3].as_str()), (&key[..11], "ingest,read"));
    printed.push(columns[2..4].join(" "));
    for refused in [
        ["create", "--name", "backend"].as_slice(),
        &["create", "--name", ""],
        &["create", "--name", "other", "--app", "absent"],
        &["create", "--name", "other", "--expires-at", "2001-01-01T00:00:00Z"],
        &["rotate", "absent"],
        &["revoke", "absent"],
    ] {
        let (code, stdout, stderr) = run(refused);
        assert_eq!((code, stdout.as_str()), (1, ""), "{refused:?}");
        printed.push(stderr);
    }
    let (code, next, stderr) = run(&["rotate", "backend", "--grace-period-seconds", "0"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_ne!(next.trim(), key);
    let rotated = newest();
    assert_eq!((&rotated[2..4], &*rotated[1]), (&columns[2..4], &next[..11]));
    let (code, revoked, stderr) = run(&["revoke", &rotated[0][..6]]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    printed.push(revoked.replace(&rotated[0], "ID"));
    (key, printed)
}

#[test]
fn api_keys_are_edited_alike_with_the_server_up_and_down() {
    let mut server = Server::start(&[]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "tenant", "uid": "tenant"}));
    let (data_dir, url) = (server.data_dir(), format!("http://{}/", server.api_address()));
    let (_, up) = life_of_a_key(|arguments| key_command(&data_dir, &[arguments, &["--url", &url]].concat()));
    assert_eq!(server.terminate(seconds(15)).code(), Some(0));
    let (_, down) = life_of_a_key(|arguments| key_command(&data_dir, arguments));
    assert_eq!(up, down);
    assert!(up[3].contains("no application with the id or uid `absent`"), "{up:?}");
    assert_eq!(key_command(&data_dir, &["create", "--name", "x", "--scopes", "root"]).0, 2);
}

#[test]
fn a_key_made_while_the_server_runs_works_at_once_until_it_is_revoked() {
    let server = Server::start(&[]);
    let (data_dir, listen) = (server.data_dir(), server.api_address().to_string());
    // As the server itself is told where to listen; nothing else names it.
    let data_dir = data_dir.to_string_lossy();
    let run = |arguments: &[&str]| {
        key_command_with(&[("PINION_DATA_DIR", data_dir.as_ref()), ("PINION_LISTEN", &listen)], arguments)
    };
    let (code, key, stderr) = run(&["create", "--name", "backend"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(status_of(&server, key.trim()), 200);
    assert_eq!(run(&["revoke", "backend"]).0, 0);
    assert_eq!(status_of(&server, key.trim()), 401);
}

#[test]
fn a_key_made_while_the_server_is_down_works_when_it_is_up() {
    let mut server = Server::start(&[]);
    let data_dir = server.data_dir();
    server.terminate(seconds(15));
    let (code, key, _) = key_command(&data_dir, &["create", "--name", "backend"]);
    assert_eq!(code, 0);
    server.start_again();
    assert_eq!(status_of(&server, key.trim()), 200);
}

#[test]
fn every_list_of_keys_has_all_of_them() {
    let server = Server::start(&[]);
    for number in 0..251 {
        server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": format!("key {number}")}));
    }
    let url = format!("http://{}", server.api_address());
    let (code, listed, _) = key_command(&server.data_dir(), &["--url", &url, "list"]);
    assert_eq!((code, listed.lines().count()), (0, 252));
}

#[test]
fn without_a_way_to_the_keys_it_says_what_is_missing() {
    let server = Server::start(&[]);
    let data_dir = server.data_dir();
    let data = data_dir.to_string_lossy();
    let url = format!("http://{}", server.api_address());
    let refused = |environment: &[(&str, &str)], arguments: &[&str], parts: &[&str]| {
        let (code, stdout, stderr) = key_command_with(environment, arguments);
        assert_eq!((code, stdout.as_str()), (1, ""), "{arguments:?}");
        for part in parts {
            assert!(stderr.contains(part), "{part:?} is not in {stderr:?}");
        }
    };
    // A port that nothing listens on: it was free a moment ago, and nobody asks for it by number.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (listen, nowhere) = (free.to_string(), format!("http://{free}"));
    let data = ("PINION_DATA_DIR", data.as_ref());
    refused(&[data, ("PINION_LISTEN", &listen)], &["list"], &["in use", "no Pinion answers at", "--url"]);
    refused(&[data, ("PINION_LISTEN", "127.0.0.1:0")], &["list"], &["in use", "address is not known", "--url"]);
    refused(&[data], &["--url", &nowhere, "list"], &["no Pinion answers at", &nowhere]);
    refused(&[], &["--url", &url, "list"], &["root.key does not exist", "PINION_ROOT_KEY", "--root-key-file"]);
    let other = ("PINION_ROOT_KEY", "another-root-key-of-mine");
    refused(&[other], &["--url", &url, "list"], &["does not take the key of PINION_ROOT_KEY"]);
    // The metrics listener is no API.
    let metrics = format!("http://{}", server.metrics_address());
    refused(&[data], &["--url", &metrics, "list"], &[&metrics]);

    let root_key = server.root_key();
    assert_eq!(key_command_with(&[("PINION_ROOT_KEY", &root_key)], &["--url", &url, "list"]).0, 0);
    let file = data_dir.join("root.key");
    let (code, _, stderr) = key_command_with(&[], &["list", "--url", &url, "--root-key-file", &file.to_string_lossy()]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(key_command_with(&[], &["--url", "https://example.com", "list"]).0, 2);
}

#[test]
fn looking_for_keys_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    for arguments in [&["list"][..], &["revoke", "backend"]] {
        let (code, stdout, stderr) = key_command(&absent, arguments);
        assert_eq!((code, stdout.as_str()), (1, ""));
        assert!(stderr.contains("there is no data directory") && stderr.contains("absent"), "{stderr}");
    }
    assert!(!absent.exists());
}

#[test]
fn tiers_of_the_configuration_limit_applications_and_are_counted() {
    let server =
        Server::start(&["--api-tier", "free=2/3600", "--api-tier", "pro=5/3600", "--default-api-tier", "free"]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "a", "uid": "a"}));
    let client = server.client();
    let ask = || client.send("GET", "/api/v1/app/a/endpoint", &[], None).unwrap();
    let statuses: Vec<u16> = (0..4).map(|_| ask().status).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
    let refused = ask();
    let headers = ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    assert!(headers.iter().all(|name| refused.header(name).is_some()), "{}", refused.text());
    let counted = |tier: &str, outcome: &str| {
        let labels = [format!("tier=\"{tier}\""), format!("outcome=\"{outcome}\"")];
        server.metric("pinion_api_rate_limited_requests_total", &[&labels[0], &labels[1]])
    };
    let counts = [counted("free", "passed"), counted("free", "refused"), counted("pro", "passed")];
    assert_eq!(counts, [2.0, 3.0, 0.0]);
    let unknown =
        Server::try_start_in(std::sync::Arc::new(tempfile::tempdir().unwrap()), &["--default-api-tier", "gold"], &[]);
    assert!(unknown.err().expect("refused").stderr.contains("there is no tier named `gold`"));
}
