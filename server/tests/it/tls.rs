//! The API over TLS: both versions of HTTP, a certificate that is replaced, and pairs that are refused.

mod client;

pub(crate) use self::client::TlsServer;

use crate::harness::{Server, poll_until, raw, seconds};
use crate::hostile::authority::Authority;
use rustix::process::Signal;
use std::time::Instant;

#[test]
fn both_versions_of_http_are_spoken_over_tls_and_the_client_chooses() {
    let running = TlsServer::start(&[]);
    let old = running.client(&["http/1.1"]);
    assert!(old.get("/api/v1/health").unwrap().starts_with("HTTP/1.1 204"));
    assert_eq!(old.connect().unwrap().conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    // Without a word on the protocol, as a client of HTTP/1.1 alone may connect.
    assert!(running.client(&[]).get("/api/v1/health").unwrap().starts_with("HTTP/1.1 204"));
    let new = running.client(&["h2", "http/1.1"]);
    let answer = new.post_http2("/api/v1/app", &running.server.root_key(), r#"{"name": "a"}"#);
    assert_eq!((answer.version, answer.status), (http::Version::HTTP_2, http::StatusCode::CREATED));
    let strange = running.client(&["spdy/3"]).connect().expect_err("no protocol in common");
    assert!(strange.to_string().contains("NoApplicationProtocol"), "{strange}");
    let is_open = |line: &str| line.contains("a key file is open to others") && line.contains("key.pem");
    assert!(running.server.wait_for_log(seconds(5), is_open).contains("640"));
    // 2040-01-01, as the certificate says.
    assert_eq!(running.server.metric("pinion_tls_certificate_end_timestamp_seconds", &[]), 2_208_988_800.0);
}

#[test]
fn plain_http_on_the_port_of_tls_is_closed_without_an_answer() {
    let running = TlsServer::start(&[]);
    let asked = Instant::now();
    for request in [&b"GET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        // It may end with a reset.
        let answer = raw(running.server.api_address(), request).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&answer).contains("HTTP/"), "{answer:?}");
    }
    assert!(asked.elapsed() < seconds(5), "{:?}", asked.elapsed());
    assert!(running.client(&[]).get("/api/v1/health").is_ok());
    assert_eq!(running.server.monitor("/readyz").status, 200, "the metrics listener is plain");
}

#[test]
fn a_new_certificate_is_for_new_connections_and_a_broken_one_changes_nothing() {
    let running = TlsServer::start(&["--log-level", "debug"]);
    let (server, client) = (&running.server, running.client(&["http/1.1"]));
    let outcomes = |outcome: &str| server.metric("pinion_tls_reloads_total", &[outcome]);
    let first = client.certificate();
    let mut open = client.connect().unwrap();

    let (cert, key) = running.authority.pair(2041);
    running.replace(&cert, &key);
    server.signal(Signal::HUP);
    let second =
        poll_until("the second certificate", seconds(5), || Some(client.certificate()).filter(|it| *it != first));
    let successes = outcomes("success");
    assert!(successes > 0.0);
    assert_eq!(server.metric("pinion_tls_certificate_end_timestamp_seconds", &[]), 2_240_611_200.0);
    assert!(client::exchange(&mut open, "/api/v1/health").unwrap().starts_with("HTTP/1.1 204"), "it stays open");

    // A key of another certificate, no key, and no file.
    let (_, foreign) = running.authority.pair(2042);
    for broken in [&foreign, "no key", ""] {
        let before = outcomes("failed");
        running.replace(&cert, broken);
        server.signal(Signal::HUP);
        poll_until("a failure", seconds(5), || (outcomes("failed") > before).then_some(()));
        assert_eq!(client.certificate(), second);
    }
    assert_eq!(outcomes("success"), successes);
    let logs = server.logs();
    let said: Vec<&String> = logs.iter().filter(|line| line.contains("the one before stays in use")).collect();
    let mismatch = said.iter().filter(|line| line.contains("the key is not the one of the first certificate")).count();
    assert!(said.len() >= 3 && mismatch >= 1, "{said:#?}");
    let secrets = [&key, &foreign].map(|text| text.lines().nth(1).unwrap().get(..40).unwrap());
    assert!(!logs.iter().any(|line| secrets.iter().any(|secret| line.contains(secret))), "no key is logged");
}

#[test]
fn a_changed_certificate_is_found_without_a_signal() {
    let running = TlsServer::start(&[]);
    let client = running.client(&["http/1.1"]);
    let outcomes = |outcome: &str| running.server.metric("pinion_tls_reloads_total", &[outcome]);
    let first = client.certificate();
    running.replace("no certificate", "no key");
    poll_until("the broken pair is seen", seconds(20), || (outcomes("failed") > 0.0).then_some(()));
    assert_eq!((outcomes("success"), client.certificate()), (0.0, first.clone()));
    let (cert, key) = running.authority.pair(2041);
    running.replace(&cert, &key);
    poll_until("the next certificate", seconds(20), || (client.certificate() != first).then_some(()));
    assert_eq!(outcomes("success"), 1.0);
}

#[test]
fn a_pair_that_cannot_be_used_is_refused_at_the_start() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ((cert, key), (_, foreign)) = (authority.pair(2040), authority.pair(2040));
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).to_str().unwrap().to_owned()
    };
    let (cert, key, foreign) = (file("cert", &cert), file("key", &key), file("foreign", &foreign));
    let (empty, none) = (file("empty", ""), "/nonexistent/file".to_owned());
    let cut = file("cut", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let cases = [
        (&cert, &foreign, 1, "the key is not the one of the first certificate"),
        (&empty, &key, 1, "empty holds no certificate in PEM form"),
        (&cert, &empty, 1, "empty holds no private key in PEM form"),
        (&key, &cert, 1, "key holds no certificate in PEM form"),
        (&cut, &key, 1, "cut is not valid PEM: a section has no END line"),
        (&none, &key, 1, "could not read /nonexistent/file: "),
        (&cert, &none, 1, "could not read /nonexistent/file: "),
    ];
    for (cert, key, status, expected) in cases {
        let exited = Server::try_start(&["--tls-cert", cert, "--tls-key", key]).err().expect("refused");
        assert_eq!(exited.status.code(), Some(status), "{exited:?}");
        assert!(exited.stderr.contains("TLS for the API: ") && exited.stderr.contains(expected), "{exited:?}");
    }
    let exited = Server::try_start(&["--tls-key", &key]).err().expect("refused");
    assert_eq!(exited.status.code(), Some(2), "{exited:?}");
    assert!(exited.stderr.contains("tls_key needs tls_cert beside it"), "{exited:?}");
}
