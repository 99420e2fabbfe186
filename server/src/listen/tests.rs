//! The bounds of a listener, each over a real connection.

use super::*;
use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<bool>,
}

async fn start(bounds: HttpBounds, drain: Duration) -> Running {
    let listener = Listener::bind("test", SocketAddr::from(([127, 0, 0, 1], 0)), bounds).await.unwrap();
    let address = listener.address();
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_millis(200)).await }))
        .route("/large", get(|| async { "x".repeat(32 << 20) }))
        .route("/never", get(std::future::pending::<()>));
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(listener.serve(router, async { drop(stopped.await) }, drain));
    Running { address, stop: Some(stop), served }
}

/// Sends `request`, waits for the end of the connection and returns the bytes that came.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // It may end with a reset: the bytes before it count.
    let ended = tokio::time::timeout(Duration::from_secs(10), read).await;
    assert!(ended.is_ok(), "the connection must end");
    String::from_utf8_lossy(&answer).into_owned()
}

fn small() -> HttpBounds {
    HttpBounds { max_connections: 2, header_read_timeout_ms: 300, ..HttpBounds::default() }
}

#[tokio::test]
async fn a_request_is_answered_and_keep_alive_kept() {
    let running = start(HttpBounds::default(), Duration::ZERO).await;
    let two = "GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = exchange(running.address, two).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
}

#[tokio::test]
async fn a_long_target_is_answered_414_with_a_json_body() {
    let running = start(HttpBounds::default(), Duration::ZERO).await;
    let request = |len: usize| format!("GET /?{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "a".repeat(len));
    let answer = exchange(running.address, &request(9_000)).await;
    assert!(answer.starts_with("HTTP/1.1 414") && answer.contains(r#"{"code":"uri_too_long""#), "{answer}");
    assert!(exchange(running.address, &request(8_000)).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let running = start(HttpBounds::default(), Duration::ZERO).await;
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "a".repeat(40 * 1024));
    let answer = exchange(running.address, &request).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_does_not_finish_its_head_is_closed() {
    let running = start(small(), Duration::ZERO).await;
    for start in ["", "P", "PRI * HTTP/2.0", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let answer = exchange(running.address, start).await;
        assert!(!answer.contains("HTTP/1.1 200"), "{start:?}: {answer}");
    }
}

#[tokio::test]
async fn when_all_places_are_taken_the_oldest_idle_connection_makes_room() {
    let running = start(HttpBounds { max_connections: 2, ..HttpBounds::default() }, Duration::ZERO).await;
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Its request is in progress once another one after it has been answered.
    exchange(running.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    for _ in 0..4 {
        let mut silent = TcpStream::connect(running.address).await.unwrap();
        let answer = exchange(running.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), silent.read_to_end(&mut rest)).await;
        assert!(closed.is_ok() && rest.is_empty(), "the silent one made room");
    }
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(50), busy.read(&mut byte)).await;
    assert!(read.is_err(), "a request in progress is not cut off");
}

#[tokio::test]
async fn an_http2_connection_that_only_sends_pings_or_half_a_head_is_closed() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0PINGPING";
    // HEADERS of stream 1 without END_HEADERS, then a CONTINUATION of one byte at a time.
    const HEAD: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01\x82";
    const MORE: &[u8] = b"\0\0\x01\x09\0\0\0\0\x01\x86";
    let running = start(small(), Duration::ZERO).await;
    for (first, again) in [(PING, PING), (HEAD, MORE)] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(first).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let talking = tokio::spawn(async move {
            while writing.write_all(again).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), reading.read_to_end(&mut answer)).await;
        talking.abort();
        assert!(ended.is_ok(), "closed although it talks");
    }
}

#[tokio::test]
async fn a_stop_lets_a_request_in_flight_finish_and_takes_no_more() {
    let mut running = start(HttpBounds::default(), Duration::from_secs(10)).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // The connection was accepted once another one after it has been answered.
    exchange(running.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    running.stop.take().unwrap().send(()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(running.served.await.unwrap(), "all requests finished");
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_its_deadline() {
    let mut running = start(HttpBounds::default(), Duration::from_millis(100)).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    exchange(running.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    running.stop.take().unwrap().send(()).unwrap();
    assert!(!running.served.await.unwrap(), "one request did not finish");
}

#[tokio::test]
async fn a_connection_that_is_idle_between_two_requests_is_closed() {
    let running = start(small(), Duration::ZERO).await;
    let answer = exchange(running.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answer_loses_its_place() {
    let running = start(HttpBounds { max_connections: 1, ..small() }, Duration::ZERO).await;
    let mut greedy = TcpStream::connect(running.address).await.unwrap();
    greedy.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // The only place is free again once the first one has lost it.
    let other = exchange(running.address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
}
