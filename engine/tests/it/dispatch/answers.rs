//! What receivers answer, well or badly, and what an attempt makes of it.

use super::*;
use model::OutcomeClass;
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn statuses_bodies_and_retry_after_come_back_as_sent() {
    for (answer, outcome, status, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", OutcomeClass::Success, 200, "ok"),
        ("HTTP/1.1 204 No Content\r\n\r\n", OutcomeClass::Success, 204, ""),
        ("HTTP/1.1 410 Gone\r\ncontent-length: 4\r\n\r\ngone", OutcomeClass::Gone, 410, "gone"),
        (
            "HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            OutcomeClass::ClientError,
            404,
            "abc",
        ),
        ("HTTP/1.1 408 T\r\ncontent-length: 0\r\n\r\n", OutcomeClass::RetryableClientError, 408, ""),
        ("HTTP/1.1 503 S\r\ncontent-length: 0\r\n\r\n", OutcomeClass::ServerError, 503, ""),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", OutcomeClass::Success, 200, "ok"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", OutcomeClass::Success, 200, ""),
        ("HTTP/1.1 200 OK\r\nbad header: x\r\ncontent-length: 2\r\n\r\nok", OutcomeClass::Success, 200, "ok"),
    ] {
        let receiver = answering(answer).await;
        let result = attempt(&receiver.url("/"), LONG_MS).await;
        assert_eq!((result.outcome, result.status, text(&result)), (outcome, status, body), "{answer:?}");
        assert_eq!(result.retry_after, None);
    }
    let receiver = answering("HTTP/1.1 429 Slow\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n").await;
    let result = attempt(&receiver.url("/"), LONG_MS).await;
    assert_eq!((result.outcome, result.retry_after.as_deref()), (OutcomeClass::Throttled, Some(b"120".as_slice())));
}

#[tokio::test]
async fn the_request_on_the_wire_is_complete_and_signed() {
    let (sender, mut requests) = tokio::sync::mpsc::channel(1);
    let receiver = Receiver::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            let request = read_request(&mut stream).await.unwrap();
            sender.send(request).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let url = format!("http://user:pass@{}?token=1", receiver.address);
    assert_eq!(attempt(&url, LONG_MS).await.outcome, OutcomeClass::Success);

    let request = requests.recv().await.unwrap();
    assert!(request.head.starts_with("POST /?token=1 HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.body, PAYLOAD);
    assert_eq!(request.values("host"), [receiver.address.to_string()]);
    assert_eq!(request.values("content-type"), ["application/json"]);
    assert_eq!(request.values("authorization"), ["Basic dXNlcjpwYXNz"]);
    assert_eq!(request.values("x-tenant"), ["7"]);
    assert_eq!(request.values("webhook-timestamp"), ["1700000123"]);
    assert!(request.values("accept-encoding").is_empty());
    let id = request.values("webhook-id")[0];
    let key = SigningKey::parse(SECRET).unwrap();
    assert_eq!(request.values("webhook-signature"), [engine::dispatch::sign::sign(&[key], id, 1_700_000_123, PAYLOAD)]);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let location = elsewhere.url("/");
    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let receiver = Receiver::start(move |mut stream, _| {
            let answer = format!("HTTP/1.1 {status} M\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            async move {
                let _ = read_request(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let result = attempt(&receiver.url("/"), LONG_MS).await;
        assert_eq!((result.outcome, result.status), (OutcomeClass::Redirect, status));
    }
    assert_eq!(elsewhere.accepted(), 0);
}

#[tokio::test]
async fn an_answer_that_stalls_or_drips_past_the_deadline_is_a_timeout() {
    const FOREVER: Duration = Duration::from_secs(3600);
    const DRIP: Duration = Duration::from_millis(50);
    for (head, piece, pause, status) in [
        ("", "", FOREVER, 0),
        ("HTTP/1.1 200 OK\r\nx: ", "y", DRIP, 0),
        ("", "HTTP/1.1 100 Continue\r\n\r\n", DRIP, 0),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "", FOREVER, 200),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", "y", DRIP, 200),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\ny\r\n", DRIP, 200),
    ] {
        let receiver = repeating(head, piece.as_bytes(), pause).await;
        let result = attempt(&receiver.url("/"), SHORT_MS).await;
        assert_eq!((result.outcome, result.status), (OutcomeClass::Timeout, status), "{head:?} {piece:?}");
        assert!((SHORT_MS..SHORT_MS + 1_000).contains(&result.duration_ms), "{} ms", result.duration_ms);
        assert!(text(&result).contains("within 300 ms"), "{}", text(&result));
    }
}

#[tokio::test]
async fn hints_without_end_are_no_answer() {
    let receiver = repeating("", b"HTTP/1.1 100 Continue\r\n\r\n", Duration::ZERO).await;
    let result = attempt(&receiver.url("/"), LONG_MS).await;
    assert_eq!((result.outcome, result.status), (OutcomeClass::TransportError, 0));
    assert!(text(&result).contains("too long"), "{}", text(&result));
}

#[tokio::test]
async fn of_an_endless_body_the_status_decides_and_the_connection_is_closed() {
    const PIECE: &[u8] = &[b'x'; 4096];
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\n\r\n", PIECE),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n", PIECE),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"8\r\nxxxxxxxx\r\n"),
    ] {
        let closed = Arc::new(tokio::sync::Notify::new());
        let notify = closed.clone();
        let receiver = Receiver::start(move |mut stream, _| {
            let notify = notify.clone();
            async move {
                let _ = read_request(&mut stream).await;
                let mut alive = stream.write_all(head.as_bytes()).await.is_ok();
                while alive {
                    alive = stream.write_all(piece).await.is_ok();
                }
                notify.notify_one();
            }
        })
        .await;
        let dispatcher = dispatcher();
        let result = attempt_by(&dispatcher, &receiver.url("/"), LONG_MS).await;
        assert_eq!((result.outcome, result.status), (OutcomeClass::Success, 200), "{head:?}");
        assert_eq!(result.response, vec![b'x'; 1024]);
        tokio::time::timeout(Duration::from_secs(5), closed.notified()).await.expect("the connection stayed open");
    }
}

#[tokio::test]
async fn what_is_broken_off_or_not_http_is_a_transport_error() {
    const HUGE: &[u8] = &[b'h'; 4096];
    for (head, piece, status) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", None, 200),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", None, 200),
        ("HTTP/1.1 200 O", None, 0),
        ("", None, 0),
        ("220 smtp.example.com ESMTP\r\n\r\n", None, 0),
        ("\x16\x03\x01\r\n\r\n", None, 0),
        ("HTTP/1.1 99999 Z\r\n\r\n", None, 0),
        ("HTTP/1.1 200 OK\r\nx: ", Some(HUGE), 0),
        ("HTTP/1.1 200 OK\r\n", Some(b"a: b\r\n".as_slice()), 0),
    ] {
        let receiver = match piece {
            Some(piece) => repeating(head, piece, Duration::ZERO).await,
            None => {
                Receiver::start(move |mut stream, _| async move {
                    let _ = read_request(&mut stream).await;
                    stream.write_all(head.as_bytes()).await.unwrap();
                })
                .await
            }
        };
        let result = attempt(&receiver.url("/?token=canary"), LONG_MS).await;
        assert_eq!((result.outcome, result.status), (OutcomeClass::TransportError, status), "{head:?}");
        assert!(text(&result).starts_with(&receiver.address.to_string()) && !text(&result).contains("canary"));
    }
}

#[tokio::test]
async fn a_reset_is_a_transport_error() {
    let receiver = Receiver::start(|mut stream, _| async move {
        let _ = read_request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    let result = attempt(&receiver.url("/"), LONG_MS).await;
    assert_eq!((result.outcome, result.status), (OutcomeClass::TransportError, 0));
    assert!(text(&result).contains("reset"), "{}", text(&result));
}

fn large_attempt(receiver: &Receiver, payload: &Bytes) -> AttemptRequest {
    let request = attempt_to(target(&receiver.url("/"), &loopback_allowed()), LONG_MS);
    AttemptRequest { event: Event { payload: payload.clone(), ..request.event.clone() }, ..request }
}

/// Far more than a socket takes at once, so that it is written piece by piece.
#[tokio::test]
async fn a_large_payload_arrives_whole() {
    let (sender, mut requests) = tokio::sync::mpsc::channel(1);
    let receiver = Receiver::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                sender.send(request.body).await.unwrap();
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let payload: Bytes = (0..9_000_000_u32).map(|at| (at % 251) as u8).collect();
    let dispatcher = dispatcher();
    for _ in 0..2 {
        let result = dispatcher.attempt(large_attempt(&receiver, &payload)).await;
        assert_eq!(result.outcome, OutcomeClass::Success, "{}", text(&result));
        assert!(requests.recv().await.unwrap() == payload);
    }
    assert_eq!(receiver.accepted(), 1);
}

/// It has read the head and does not want the rest. What it says counts; the half-written connection is not used again.
#[tokio::test]
async fn an_answer_before_the_request_is_read_counts() {
    let receiver = Receiver::start(|mut stream, _| async move {
        let mut head = [0; 64];
        stream.read_exact(&mut head).await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let payload = Bytes::from(vec![b'x'; 9_000_000]);
    let dispatcher = dispatcher();
    for round in 1..=2 {
        let result = dispatcher.attempt(large_attempt(&receiver, &payload)).await;
        assert_eq!((result.outcome, result.status), (OutcomeClass::ClientError, 413), "{}", text(&result));
        assert_eq!(receiver.accepted(), round);
    }
}
