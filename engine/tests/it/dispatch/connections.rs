//! Pooling, closing and the bounds on connections and lookups.

use super::*;
use model::OutcomeClass;
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
