//! The wire of the API over real sockets: slashes, ids of requests, pages of browsers, and answers that come before the
//! request's body has.

use crate::harness::{Client, Response, Server, poll_until, seconds};
use crate::tls::TlsServer;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::TcpStream;

/// More than any body may have, and more than the buffers of two sockets take.
const LARGE_BYTES: usize = 8 << 20;

/// Times that each is tried: one lost answer in ten would be a client that gives up.
const TIMES: usize = 10;

/// A server with an application.
fn server(flags: &[&str]) -> Server {
    let server = Server::start(flags);
    server.api_expect(201, "POST", "/api/v1/app/", json!({"name": "acme", "uid": "acme"}));
    server
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.api_address()).unwrap();
    stream.set_read_timeout(Some(seconds(20))).unwrap();
    stream.set_write_timeout(Some(seconds(20))).unwrap();
    stream
}

/// Sends a whole request and reads only then: returns the head of the answer.
fn hear(stream: &mut (impl Read + Write), head: &str, body: &[u8], is_chunked: bool) -> io::Result<String> {
    stream.write_all(head.as_bytes())?;
    if is_chunked {
        for chunk in body.chunks(64 * 1024) {
            write!(stream, "{:x}\r\n", chunk.len())?;
            stream.write_all(chunk)?;
            stream.write_all(b"\r\n")?;
        }
        stream.write_all(b"0\r\n\r\n")?;
    } else {
        stream.write_all(body)?;
    }
    stream.flush()?;
    read_head(stream)
}

/// Reads an answer's head; the rest of the answer is left unread, or read with it.
fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let (mut answer, mut some) = (Vec::new(), [0; 4096]);
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut some)? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer")),
            read => answer.extend_from_slice(&some[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn head(method: &str, path: &str, key: &str, length: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
    )
}

/// The two headers for the length of a body; true marks the one of a body in chunks.
fn lengths(bytes: usize) -> [(String, bool); 2] {
    [(format!("content-length: {bytes}"), false), ("transfer-encoding: chunked".to_owned(), true)]
}

/// Each must be heard every time.
#[track_caller]
fn assert_heard(said: &str, heard: &[io::Result<String>], status: u16) {
    let expected = format!("HTTP/1.1 {status}");
    let count = heard.iter().filter(|answer| answer.as_ref().is_ok_and(|head| head.starts_with(&expected))).count();
    assert_eq!(count, TIMES, "{said}: {heard:?}");
}

#[test]
fn a_client_that_sends_first_and_reads_then_hears_that_its_body_is_too_large() {
    let server = server(&[]);
    let (key, body) = (server.root_key(), vec![b' '; LARGE_BYTES]);
    for path in ["/api/v1/app/acme/msg", "/api/v1/app", "/api/v1/app/acme/msg/batch"] {
        // A batch may have 16 MiB.
        let body = if path.ends_with("batch") { &vec![b' '; (16 << 20) + 1] } else { &body };
        for (length, is_chunked) in lengths(body.len()) {
            let head = head("POST", path, &key, &length);
            let heard: Vec<_> = (0..TIMES).map(|_| hear(&mut connect(&server), &head, body, is_chunked)).collect();
            assert_heard(&format!("{path}, {length}"), &heard, 413);
        }
    }
}

#[test]
fn every_answer_that_comes_before_the_body_is_heard() {
    let server = server(&["--max-batch-body-bytes", "8MiB", "--max-bodies-bytes", "1MiB"]);
    let (key, body) = (server.root_key(), vec![b' '; LARGE_BYTES]);
    let long = format!("/api/v1/app?{}", "a".repeat(9_000));
    let cases = [
        (401, "POST", "/api/v1/app/acme/msg", "pk_wrong"),
        (404, "POST", "/api/v1/nowhere", &key),
        (404, "POST", "/api/v1/app/none/endpoint", &key),
        (405, "PUT", "/api/v1/app", &key),
        (414, "POST", &long, &key),
        (422, "POST", "/api/v1/app/acme/msg?with_content=maybe", &key),
    ];
    for (status, method, path, key) in cases {
        for (length, is_chunked) in lengths(body.len()) {
            let head = head(method, path, key, &length);
            let heard: Vec<_> = (0..TIMES).map(|_| hear(&mut connect(&server), &head, &body, is_chunked)).collect();
            assert_heard(&format!("{method} {path}, {length}"), &heard, status);
        }
    }
}

#[test]
fn the_connection_goes_on_behind_a_body_that_nobody_wanted() {
    let server = server(&[]);
    let (key, body) = (server.root_key(), vec![b' '; LARGE_BYTES]);
    for (length, is_chunked) in lengths(body.len()) {
        let mut stream = connect(&server);
        let first = hear(&mut stream, &head("POST", "/api/v1/app", &key, &length), &body, is_chunked).unwrap();
        assert!(first.starts_with("HTTP/1.1 413"), "{first}");
        let again = hear(&mut stream, "GET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n", b"", false).unwrap();
        assert!(again.contains("HTTP/1.1 204"), "{again}");
    }
}

#[test]
fn a_client_that_waits_for_leave_to_send_is_refused_without_it() {
    let server = server(&[]);
    let mut stream = connect(&server);
    let length = format!("content-length: {LARGE_BYTES}\r\nexpect: 100-continue");
    let answer = hear(&mut stream, &head("POST", "/api/v1/app", &server.root_key(), &length), b"", false).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && !answer.contains("100 Continue"), "{answer}");
}

#[test]
fn over_tls_and_http2_it_is_heard_too() {
    let running = TlsServer::start(&[]);
    let (key, body) = (running.server.root_key(), bytes::Bytes::from(vec![b' '; LARGE_BYTES]));
    let client = running.client(&["http/1.1"]);
    for (length, is_chunked) in lengths(body.len()) {
        let head = head("POST", "/api/v1/app", &key, &length);
        let heard: Vec<_> = (0..TIMES).map(|_| hear(&mut client.connect()?, &head, &body, is_chunked)).collect();
        assert_heard(&length, &heard, 413);
    }
    let client = running.client(&["h2"]);
    for (path, key, status) in [("/api/v1/app", &*key, 413), ("/api/v1/app", "pk_wrong", 401), ("/none", &key, 404)] {
        for _ in 0..TIMES {
            let answer = client.post_http2(path, key, body.clone());
            assert_eq!(answer.status.as_u16(), status, "{path}");
        }
    }
}

#[test]
fn bodies_that_nobody_wants_and_that_never_end_make_room_for_new_clients() {
    const PLACES: usize = 20;
    let server = server(&["--max-connections", "20"]);
    // Refused for their keys, and most of the body is still to come.
    let head = head("POST", "/api/v1/app", "pk_wrong", "content-length: 8000000");
    let held: Vec<TcpStream> = (0..PLACES)
        .map(|_| {
            let mut stream = connect(&server);
            assert!(hear(&mut stream, &head, &[b' '; 1_000], false).unwrap().starts_with("HTTP/1.1 401"));
            stream
        })
        .collect();
    for _ in 0..PLACES {
        let answer = server.anonymous().send("GET", "/api/v1/health", &[], None).unwrap();
        assert_eq!(answer.status, 204);
    }
    assert!(server.metric("pinion_http_connections_closed_total", &["api", "made_room"]) >= 1.0);
    // Those that are left are given up by themselves.
    poll_until("the rest is closed", seconds(20), || {
        (server.metric("pinion_http_connections", &["api"]) < 2.0).then_some(())
    });
    drop(held);
}

#[test]
fn a_stop_does_not_wait_long_for_bodies_that_nobody_wants() {
    let mut server = server(&["--drain-timeout-ms", "30s"]);
    let mut stream = connect(&server);
    let head = head("POST", "/api/v1/app", "pk_wrong", "content-length: 8000000");
    assert!(hear(&mut stream, &head, &[b' '; 1_000], false).unwrap().starts_with("HTTP/1.1 401"));
    assert_eq!(server.terminate(seconds(15)).code(), Some(0));
}

fn ask(client: &Client, path: &str, headers: &[(&str, &str)]) -> Response {
    client.send("GET", path, headers, None).unwrap()
}

#[test]
fn every_answer_has_the_id_of_its_request_and_the_log_has_it_too() {
    let server = server(&["--log-level", "info,admin_api=debug"]);
    let (client, anonymous) = (server.client(), server.anonymous());
    let long = format!("/{}", "a".repeat(9_000));
    for (client, path, status) in [
        (&client, "/api/v1/app/", 200),
        (&client, "/api/v1/app/none", 404),
        (&client, "/nowhere", 404),
        (&anonymous, "/api/v1/app", 401),
        (&anonymous, "/api/v1/health", 204),
        (&anonymous, &*long, 414),
    ] {
        let given = ask(client, path, &[("x-request-id", "canary-1/2")]);
        assert_eq!((given.status, given.header("x-request-id")), (status, Some("canary-1/2")), "{path}");
        let made = |response: Response| response.header("x-request-id").unwrap().to_owned();
        let (one, other) = (made(ask(client, path, &[])), made(ask(client, path, &[("x-request-id", "a b")])));
        assert!(one.starts_with("req_") && other.starts_with("req_") && one != other, "{one}, {other}");
    }
    let logged =
        |text: &str| server.wait_for_log(seconds(5), |line| line.contains(text) && line.contains("canary-1/2"));
    logged("a request was answered");
    logged("without a known key");
    let scrape = server.monitor("/metrics");
    assert!(scrape.header("x-request-id").is_some_and(|id| id.starts_with("req_")));
}

#[test]
fn a_listed_origin_is_let_in_over_the_wire_and_a_wrong_one_is_refused_at_the_start() {
    let server = server(&["--cors-origin", "https://dashboard.example"]);
    let headers = [("origin", "https://dashboard.example"), ("access-control-request-method", "POST")];
    let answer = server.anonymous().send("OPTIONS", "/api/v1/app/", &headers, None).unwrap();
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://dashboard.example"));
    let exited = Server::try_start(&["--cors-origin", "dashboard.example"]).err().expect("refused");
    assert_eq!(exited.status.code(), Some(2));
    assert!(exited.stderr.contains("expected an origin"), "{}", exited.stderr);
}

#[test]
fn slashes_at_either_end_of_a_path_are_taken_and_counted_as_one_route() {
    let server = server(&[]);
    let (status, _) = server.api("GET", "//api/v1/app/acme/", Value::Null);
    assert_eq!(status, 200);
    let text = server.monitor("/metrics").text();
    let routes: Vec<&str> = text.lines().filter(|line| line.starts_with("pinion_api_requests_total")).collect();
    assert!(routes.iter().all(|line| !line.contains("unknown")), "{routes:#?}");
    assert_eq!(server.monitor("/metrics/").status, 404, "the metrics listener has no clients of that age");
}
