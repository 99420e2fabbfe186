//! Pooling, closing and the bounds on connections and lookups.

use super::*;
use model::OutcomeClass;
use std::io::{Read, Write};
use tokio::sync::Notify;

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let receiver = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let dispatcher = dispatcher();
    for _ in 0..5 {
        assert_eq!(attempt_by(&dispatcher, &receiver.url("/"), LONG_MS).await.outcome, OutcomeClass::Success);
    }
    assert_eq!(receiver.accepted(), 1);
    assert_eq!(dispatcher.gauges().connections_open, 1);
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_its_time() {
    let closed = Arc::new(Notify::new());
    let notify = closed.clone();
    let receiver = Receiver::start(move |mut stream, _| {
        let notify = notify.clone();
        async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(b"HTTP/1.1 204 N\r\n\r\n").await.unwrap();
            }
            notify.notify_one();
        }
    })
    .await;
    let config = DispatchConfig { pool_idle_timeout_ms: 50, ..DispatchConfig::default() };
    let dispatcher = HttpDispatcher::new(config, loopback_allowed()).unwrap();
    assert_eq!(attempt_by(&dispatcher, &receiver.url("/"), LONG_MS).await.outcome, OutcomeClass::Success);
    tokio::time::timeout(Duration::from_secs(5), closed.notified()).await.expect("it stayed open");
}

/// The receiver closes each connection after its answer without saying so, as servers do with idle ones.
#[tokio::test]
async fn a_connection_closed_while_unused_costs_no_attempt() {
    let closed = Arc::new(Notify::new());
    let notify = closed.clone();
    let receiver = Receiver::start(move |mut stream, _| {
        let notify = notify.clone();
        async move {
            let _ = read_request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            drop(stream);
            notify.notify_one();
        }
    })
    .await;
    let dispatcher = dispatcher();
    for round in 1..=20 {
        let result = attempt_by(&dispatcher, &receiver.url("/"), LONG_MS).await;
        assert_eq!(result.outcome, OutcomeClass::Success, "round {round}: {}", text(&result));
        closed.notified().await;
        assert_eq!(receiver.accepted(), round);
    }
}

/// The narrower case: the receiver has closed the pooled connection, but its task has not noticed yet when the next
/// request is handed to it. Nothing of that request is written, so it goes out again at once on a new connection.
#[tokio::test]
async fn a_request_given_to_a_connection_that_just_closed_is_sent_on_another() {
    const ROUNDS: usize = 20;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (close, when) = std::sync::mpsc::sync_channel::<()>(0);
    let (closed, closings) = std::sync::mpsc::sync_channel::<()>(0);
    // A thread of its own, so that it closes while this one is held up and its runtime notices nothing.
    let receiver = std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(PAYLOAD) {
                let mut piece = [0; 1024];
                let len = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..len]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            when.recv().unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    let dispatcher = dispatcher();
    for round in 0..ROUNDS {
        let result = attempt_by(&dispatcher, &url, LONG_MS).await;
        assert_eq!(result.outcome, OutcomeClass::Success, "round {round}: {}", text(&result));
        // Lets the connection go back to the pool.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        close.send(()).unwrap();
        closings.recv().unwrap();
        // The runtime now learns of the closing, but runs this test's next step before the connection's.
        tokio::task::yield_now().await;
    }
    receiver.join().unwrap();
}

/// One of two connections is enough for the requests that follow: the last used is used again, the other grows old.
#[tokio::test]
async fn the_connection_used_last_is_used_first() {
    let served = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (log, both) = (served.clone(), Arc::new(tokio::sync::Barrier::new(2)));
    let receiver = Receiver::start(move |mut stream, number| {
        let (log, both) = (log.clone(), both.clone());
        async move {
            let mut first = true;
            while read_request(&mut stream).await.is_some() {
                if std::mem::take(&mut first) {
                    both.wait().await;
                }
                log.lock().unwrap().push(number);
                stream.write_all(b"HTTP/1.1 204 N\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let (dispatcher, url) = (dispatcher(), receiver.url("/"));
    tokio::join!(attempt_by(&dispatcher, &url, LONG_MS), attempt_by(&dispatcher, &url, LONG_MS));
    for _ in 0..5 {
        attempt_by(&dispatcher, &url, LONG_MS).await;
    }
    let served = served.lock().unwrap().clone();
    assert_eq!(served.len(), 7);
    assert!(served[2..].iter().all(|number| *number == served[2]), "{served:?}");
    assert_eq!(dispatcher.gauges().connections_open, 2);
}

/// The second attempt's lookup hangs; the first one's connection becomes free. The second does not wait for its own.
#[tokio::test]
async fn an_attempt_takes_the_connection_that_another_gives_back() {
    let (release, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let (gate, lookups) = (std::sync::Mutex::new(gate), std::sync::atomic::AtomicUsize::new(0));
    let dispatcher = dispatcher_resolving(loopback_allowed(), move |_| {
        if lookups.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
            gate.lock().unwrap().recv().map_err(io::Error::other)?;
        }
        Ok(vec![[127, 0, 0, 1].into()])
    });
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (here, on) = (arrived.clone(), go.clone());
    let receiver = Receiver::start(move |mut stream, _| {
        let (here, on) = (here.clone(), on.clone());
        async move {
            while read_request(&mut stream).await.is_some() {
                here.notify_one();
                on.notified().await;
                stream.write_all(b"HTTP/1.1 204 N\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let url = format!("http://receiver.example:{}/", receiver.address.port());
    let second = async {
        arrived.notified().await;
        let attempt = attempt_by(&dispatcher, &url, LONG_MS);
        // The second attempt waits before the first is answered.
        let answer = async {
            tokio::task::yield_now().await;
            go.notify_one();
            tokio::time::timeout(Duration::from_secs(5), arrived.notified()).await.ok();
            go.notify_one();
        };
        tokio::join!(attempt, answer).0
    };
    let (first, second) = tokio::join!(attempt_by(&dispatcher, &url, LONG_MS), second);
    // Lets the blocking thread end, which the runtime waits for.
    drop(release);
    assert_eq!((first.outcome, second.outcome), (OutcomeClass::Success, OutcomeClass::Success));
    assert_eq!(receiver.accepted(), 1);
}

/// Bytes that nobody asked for, behind an answer or long after it, are no answer to the next request.
#[tokio::test]
async fn a_connection_that_says_too_much_is_not_used_again() {
    let receiver = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 500 E\r\n\r\n").await;
    let dispatcher = dispatcher();
    for _ in 0..3 {
        assert_eq!(attempt_by(&dispatcher, &receiver.url("/"), LONG_MS).await.outcome, OutcomeClass::Success);
    }
    assert_eq!(receiver.accepted(), 3);

    let said = Arc::new(Notify::new());
    let (notify, ask) = (said.clone(), Arc::new(Notify::new()));
    let asked = ask.clone();
    let receiver = Receiver::start(move |mut stream, _| {
        let (notify, asked) = (notify.clone(), asked.clone());
        async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(b"HTTP/1.1 204 N\r\n\r\n").await.unwrap();
                asked.notified().await;
                stream.write_all(b"HTTP/1.1 500 E\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                notify.notify_one();
            }
        }
    })
    .await;
    for round in 1..=3 {
        assert_eq!(attempt_by(&dispatcher, &receiver.url("/"), LONG_MS).await.outcome, OutcomeClass::Success);
        ask.notify_one();
        said.notified().await;
        // The runtime hears of it.
        tokio::task::yield_now().await;
        assert_eq!(receiver.accepted(), round);
    }
}

#[tokio::test]
async fn the_limit_of_connections_holds_and_frees_with_the_attempt() {
    let receiver = repeating("", b"", Duration::from_secs(3600)).await;
    let config = DispatchConfig { connections_max: 1, ..DispatchConfig::default() };
    let dispatcher = HttpDispatcher::new(config, loopback_allowed()).unwrap();
    let url = receiver.url("/");
    let (stalled, over) = tokio::join!(attempt_by(&dispatcher, &url, SHORT_MS), attempt_by(&dispatcher, &url, LONG_MS));
    assert_eq!((stalled.outcome, over.outcome), (OutcomeClass::Timeout, OutcomeClass::ConnectError));
    assert!(text(&over).contains("limit of open connections"));
    // The connection's task notices on its next turn.
    while dispatcher.gauges().connections_open > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn idle_connections_make_room_when_all_slots_are_in_use() {
    let answer = "HTTP/1.1 204 N\r\n\r\n";
    let (one, other) = (answering(answer).await, answering(answer).await);
    let config = DispatchConfig { connections_max: 2, ..DispatchConfig::default() };
    let dispatcher = HttpDispatcher::new(config, loopback_allowed()).unwrap();
    // Both slots are idle connections to one receiver then.
    let url = one.url("/");
    let (first, second) = tokio::join!(attempt_by(&dispatcher, &url, LONG_MS), attempt_by(&dispatcher, &url, LONG_MS));
    assert_eq!((first.outcome, second.outcome), (OutcomeClass::Success, OutcomeClass::Success));
    let result = attempt_by(&dispatcher, &other.url("/"), LONG_MS).await;
    assert_eq!(result.outcome, OutcomeClass::Success, "{}", text(&result));
    assert!(dispatcher.gauges().connections_open <= 2);
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_a_connect_error() {
    let receiver = answering("").await;
    let url = receiver.url("/");
    drop(receiver);
    // Aborting the task drops the listener on its next turn.
    tokio::task::yield_now().await;
    let result = attempt(&url, LONG_MS).await;
    assert_eq!((result.outcome, result.status), (OutcomeClass::ConnectError, 0));
    assert!(text(&result).contains("refused"), "{}", text(&result));
}

#[tokio::test]
async fn the_next_address_of_a_name_is_tried() {
    let receiver = answering("HTTP/1.1 204 N\r\n\r\n").await;
    let dispatcher =
        dispatcher_resolving(loopback_allowed(), |_| Ok(vec![[127, 9, 9, 9].into(), [127, 0, 0, 1].into()]));
    let url = format!("http://receiver.example:{}/", receiver.address.port());
    assert_eq!(attempt_by(&dispatcher, &url, LONG_MS).await.outcome, OutcomeClass::Success);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_dns_error_and_a_silent_resolver_a_timeout() {
    let (release, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let gate = std::sync::Mutex::new(gate);
    let dispatcher = dispatcher_resolving(loopback_allowed(), move |name| match name {
        "silent.example" => gate.lock().unwrap().recv().map_err(io::Error::other).map(|()| vec![]),
        "empty.example" => Ok(vec![]),
        _ => Err(io::Error::other("no such host")),
    });
    for (host, outcome) in [
        ("gone.example", OutcomeClass::DnsError),
        ("empty.example", OutcomeClass::DnsError),
        ("silent.example", OutcomeClass::Timeout),
    ] {
        let result = attempt_by(&dispatcher, &format!("http://{host}/"), SHORT_MS).await;
        assert_eq!(result.outcome, outcome, "{host}");
    }
    assert_eq!(dispatcher.gauges().lookups_running, 1);
    // Lets the blocking thread end, which the runtime waits for.
    drop(release);
}
