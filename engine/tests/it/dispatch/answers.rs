//! Answers of receivers, good and bad, and the result of the attempt.

use super::*;
use model::{AnswerNote, OutcomeClass};
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
    let stamp = engine::prepare::sign::stamp([&key].into_iter(), |out| out.push_str(id), 1_700_000_123, PAYLOAD);
    assert_eq!(request.values("webhook-signature"), [stamp.signature()]);
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
async fn no_status_line_by_the_deadline_is_a_timeout() {
    const FOREVER: Duration = Duration::from_secs(3600);
    const DRIP: Duration = Duration::from_millis(50);
    for (head, piece, pause) in [
        ("", "", FOREVER),
        ("HTTP/1.1 200 O", "y", DRIP),
        ("", "HTTP/1.1 100 Continue\r\n\r\n", DRIP),
        ("HTTP/1.1 103 Early Hints\r\nlink: ", "x", DRIP),
    ] {
        let receiver = repeating(head, piece.as_bytes(), pause).await;
        let result = attempt(&receiver.url("/"), SHORT_MS).await;
        assert_eq!((result.outcome, result.status), (OutcomeClass::Timeout, 0), "{head:?} {piece:?}");
        assert!((SHORT_MS..SHORT_MS + 1_000).contains(&result.duration_ms), "{} ms", result.duration_ms);
        assert!(text(&result).contains("within 300 ms"), "{}", text(&result));
    }
}

#[tokio::test]
async fn a_status_counts_though_the_rest_stalls_or_drips_past_the_deadline() {
    const FOREVER: Duration = Duration::from_secs(3600);
    const DRIP: Duration = Duration::from_millis(50);
    for (head, piece, pause, body) in [
        ("\r\nx: ", "y", DRIP, ""),
        ("\r\n", "a: b\r\n", DRIP, ""),
        ("\r\ncontent-length: 9\r\n\r\nhalf", "", FOREVER, "half"),
        ("\r\ncontent-length: 1000\r\n\r\n", "y", DRIP, "y"),
        ("\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\ny\r\n", DRIP, "y"),
    ] {
        for (status, outcome) in
            [(200, OutcomeClass::Success), (410, OutcomeClass::Gone), (503, OutcomeClass::ServerError)]
        {
            let head = format!("HTTP/1.1 {status} S\r\nretry-after: 9{head}");
            let receiver = repeating(head.clone().leak(), piece.as_bytes(), pause).await;
            let dispatcher = dispatcher();
            let result = attempt_by(&dispatcher, &receiver.url("/"), SHORT_MS).await;
            assert_eq!((result.outcome, result.status), (outcome, status), "{head:?} {piece:?}");
            assert_eq!(result.note, Some(AnswerNote::TooLate), "{head:?} {piece:?}");
            assert!((SHORT_MS..SHORT_MS + 1_000).contains(&result.duration_ms), "{} ms", result.duration_ms);
            assert!(text(&result).starts_with(body), "{}", text(&result));
            assert_eq!(result.retry_after.as_deref(), Some(b"9".as_slice()), "{head:?} {piece:?}");
            assert_eq!(dispatcher.gauges().connections_open, 0, "the connection is not kept");
        }
    }
}

#[tokio::test]
async fn a_status_counts_though_what_follows_is_broken() {
    const COOKIES: &str = "set-cookie: session=0123456789012345678901234567890123456789012345678901234567890\r\n";
    let many = (0..150).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
    let cookies = COOKIES.repeat(20 * 1024 / COOKIES.len());
    for (rest, note) in [
        (format!("{many}content-length: 2\r\n\r\nok"), None),
        (format!("{cookies}content-length: 2\r\n\r\nok"), None),
        ("content-length: 9\r\n\r\nok".to_owned(), Some(AnswerNote::BrokenOff)),
        ("content-length: 1\r\n\r\nok".to_owned(), Some(AnswerNote::Surplus)),
        ("content-length: 2, 3\r\n\r\nok".to_owned(), Some(AnswerNote::LengthContradicts)),
        ("content-length : 2\r\n\r\nok".to_owned(), Some(AnswerNote::HeadMalformed)),
        ("transfer-encoding: chunked\r\n\r\n2\r\nok\r\n".to_owned(), Some(AnswerNote::BrokenOff)),
        ("transfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(), Some(AnswerNote::BodyMalformed)),
        (String::new(), Some(AnswerNote::BrokenOff)),
        (format!("x: {}", "h".repeat(100_000)), Some(AnswerNote::HeadTooLong)),
        ("a: b\r\n".repeat(20_000), Some(AnswerNote::HeadTooLong)),
    ] {
        for (status, outcome) in [(200, OutcomeClass::Success), (429, OutcomeClass::Throttled)] {
            let answer = format!("HTTP/1.1 {status} S\r\nretry-after: 9\r\n{rest}");
            let receiver = Receiver::start(move |mut stream, _| {
                let answer = answer.clone();
                async move {
                    let _ = read_request(&mut stream).await;
                    // Ends early when the rest is not wanted.
                    drop(stream.write_all(answer.as_bytes()).await);
                }
            })
            .await;
            let result = attempt(&receiver.url("/"), LONG_MS).await;
            let shown = &rest[..rest.len().min(40)];
            assert_eq!((result.outcome, result.status, result.note), (outcome, status, note), "{shown:?}");
            assert_eq!(result.retry_after.as_deref(), Some(b"9".as_slice()), "{shown:?}");
        }
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
async fn what_ends_before_a_status_line_or_is_not_http_is_a_transport_error() {
    const HUGE: &[u8] = &[b'h'; 4096];
    for (head, piece) in [
        ("HTTP/1.1 200 O", None),
        ("", None),
        ("220 smtp.example.com ESMTP\r\n\r\n", None),
        ("\x16\x03\x01\r\n\r\n", None),
        ("HTTP/1.1 99999 Z\r\n\r\n", None),
        ("HTTP/1.1 103 Early Hints\r\nx: ", Some(HUGE)),
        ("HTTP/1.1 103 Early Hints\r\n", Some(b"a: b\r\n".as_slice())),
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
        assert_eq!((result.outcome, result.status), (OutcomeClass::TransportError, 0), "{head:?}");
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
    prepared(&receiver.url("/"), "", loopback_allowed(), LONG_MS, payload.clone())
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

/// The receiver has read the head and does not want the rest. Its answer counts; the connection is not used again.
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
