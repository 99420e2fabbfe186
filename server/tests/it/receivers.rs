//! Requests to receivers of the real world, and secrets kept from everyone else: credentials in URLs, names of headers.
//! Also the pauses that receivers ask for.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

const APP: &str = "/api/v1/app/shop";

fn shop(server: &Server, endpoint: Value) -> Value {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Shop", "uid": "shop"}));
    server.api_expect(201, "POST", &format!("{APP}/endpoint"), endpoint)
}

fn push(server: &Server) -> String {
    let message = json!({"eventType": "order.paid", "payload": {"number": 1}});
    server.api_expect(202, "POST", &format!("{APP}/msg"), message)["id"].as_str().unwrap().to_owned()
}

/// True if a file below `folder` holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return holds(&path, bytes);
        }
        std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn user_name_and_password_of_a_url_reach_the_receiver_and_are_shown_nowhere() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    let mut server = Server::try_start_in(data.clone(), &["--retry-schedule", "100ms"], &[]).unwrap();
    let receiver = Receiver::start();
    receiver.script("/hook", [Behaviour::status(500), Behaviour::status(200)]);
    let url = receiver.url("/hook");
    let sent = url.replace("http://", "http://canary%75ser:canary%70ass@");
    let shown = url.replace("http://", "http://***@");
    let mut reads = vec![shop(&server, json!({"url": sent, "uid": "hook"}))];
    let message = push(&server);
    let requests = receiver.wait_for(2, seconds(20));
    // base64 of `canaryuser:canarypass`.
    let basic = "Basic Y2FuYXJ5dXNlcjpjYW5hcnlwYXNz";
    assert!(requests.iter().all(|request| request.header("authorization") == Some(basic)), "{requests:?}");

    for path in [
        "endpoint".to_owned(),
        "endpoint/hook".to_owned(),
        "attempt/endpoint/hook".to_owned(),
        format!("attempt/msg/{message}"),
        format!("msg/{message}/endpoint"),
    ] {
        reads.push(server.api_expect(200, "GET", &format!("{APP}/{path}"), Value::Null));
    }
    for read in &reads {
        let text = read.to_string();
        assert!(text.contains(&shown) && !text.contains("canary"), "{text}");
    }
    // Sent back as it was read, it still works.
    server.api_expect(200, "PUT", &format!("{APP}/endpoint/hook"), json!({"url": shown, "uid": "hook"}));
    push(&server);
    assert_eq!(receiver.wait_for(3, seconds(20))[2].header("authorization"), Some(basic));
    assert!(!server.logs().join("\n").contains("canary"));
    server.terminate(seconds(20));
    for secret in ["canary", "Y2FuYXJ5"] {
        assert!(!holds(data.path(), secret.as_bytes()), "{secret} is on the disk");
    }
}

#[test]
fn deliveries_carry_the_names_that_are_set_and_verify_under_each() {
    for (flags, names) in [
        (["--shards", "1"], ["webhook", "svix"].as_slice()),
        (["--signature-headers", "webhook"], &["webhook"]),
        (["--signature-headers", "svix"], &["svix"]),
    ] {
        let (server, receiver) = (Server::start(&flags), Receiver::start());
        shop(&server, json!({"url": receiver.url("/hook"), "uid": "hook"}));
        let secret = server.api_expect(200, "GET", &format!("{APP}/endpoint/hook/secret"), Value::Null);
        let message = push(&server);
        let request = receiver.wait_for(1, seconds(20)).remove(0);
        for family in ["webhook", "svix"] {
            let has = |name: &str| request.header(&format!("{family}-{name}")).is_some();
            let all = ["id", "timestamp", "signature"].map(has);
            assert_eq!(all, [names.contains(&family); 3], "{flags:?}: {request:?}");
            if names.contains(&family) {
                assert_eq!(request.header(&format!("{family}-id")), Some(message.as_str()));
                assert!(request.is_signed_as(family, secret["key"].as_str().unwrap()), "{flags:?}");
            }
        }
    }
}

#[test]
fn a_pause_that_a_receiver_asks_for_outlives_a_restart() {
    let (mut server, receiver) = (Server::start(&["--retry-schedule", "100ms,100ms"]), Receiver::start());
    receiver.script("/hook", [Behaviour::with_header(429, "retry-after", "6"), Behaviour::status(200)]);
    shop(&server, json!({"url": receiver.url("/hook"), "uid": "hook"}));
    push(&server);
    receiver.wait_for(1, seconds(20));
    let state = format!("{APP}/endpoint/hook/state");
    poll_until("the pause is durable", seconds(5), || {
        let state = server.api_expect(200, "GET", &state, Value::Null);
        state["pausedUntil"].is_string().then_some(())
    });
    let asked_at = std::time::Instant::now();
    server.kill();
    server.start_again();
    // A new message, which has no due time of its own, waits as well.
    push(&server);
    receiver.wait_for(3, seconds(20));
    assert!(asked_at.elapsed() >= seconds(4), "asked again after {:?}", asked_at.elapsed());
}

/// A proxy that leads every target to `to` and remembers the requests to it, until the test ends.
fn connect_proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let log = asked.clone();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let log = log.clone();
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    client.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                log.lock().unwrap().push(String::from_utf8(head).unwrap());
                client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
                let mut target = TcpStream::connect(to).unwrap();
                let (mut back, mut from_target) = (client.try_clone().unwrap(), target.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from_target, &mut back));
                // Either end may leave first.
                let _ = std::io::copy(&mut client, &mut target);
            });
        }
    });
    (address, asked)
}

#[test]
fn receivers_are_reached_through_an_egress_proxy_whose_password_nobody_sees() {
    let receiver = Receiver::start();
    let (proxy, asked) = connect_proxy(receiver.address());
    let url = format!("http://user:canary@{proxy}");
    // Loopback stays refused: the proxy is the operator's, the target is not.
    let server = Server::try_start_in(
        Arc::new(tempfile::tempdir().unwrap()),
        &["--egress-proxy", &url, "--allow-target", "192.0.2.1"],
        &[],
    )
    .unwrap();
    shop(&server, json!({"url": "http://receiver.example/hook", "uid": "hook"}));
    let message = push(&server);
    assert_eq!(receiver.wait_for(1, seconds(20))[0].id(), message);
    let head = asked.lock().unwrap().join("");
    assert!(head.starts_with("CONNECT receiver.example:80 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nProxy-Authorization: Basic dXNlcjpjYW5hcnk=\r\n"), "{head}");
    assert!(!server.logs().join("\n").contains("canary"));
}

#[test]
fn https_alone_a_kind_of_secrets_and_a_single_attempt_can_be_set() {
    let flags = ["--https-only", "--secret-kind", "ed25519", "--retry-schedule", "none"];
    let server = Server::start(&flags);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Shop", "uid": "shop"}));
    let plain = json!({"url": "http://127.0.0.1:9/", "uid": "plain"});
    let refused = server.api_expect(422, "POST", &format!("{APP}/endpoint"), plain);
    assert!(refused.to_string().contains("must begin with https://"), "{refused}");
    // Nobody listens there.
    server.api_expect(201, "POST", &format!("{APP}/endpoint"), json!({"url": "https://127.0.0.1:9/", "uid": "hook"}));
    let secret = server.api_expect(200, "GET", &format!("{APP}/endpoint/hook/secret"), Value::Null);
    assert!(secret["key"].as_str().unwrap().starts_with("whpk_"), "the public key of an ed25519 secret: {secret}");
    push(&server);
    let letter = poll_until("given up after one attempt", seconds(10), || {
        let letters = server.api_expect(200, "GET", &format!("{APP}/endpoint/hook/dead-letter"), Value::Null);
        letters["data"].get(0).cloned()
    });
    assert_eq!(letter["attempts"], 1, "{letter}");
}
