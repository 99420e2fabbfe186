//! Targets that must not be reached: every path to a socket goes through the guard.

use super::*;
use model::OutcomeClass;
use std::sync::atomic::{AtomicUsize, Ordering};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A target checked by a lax guard, attempted behind a strict one: a stored target is never trusted at the socket.
async fn attempt_behind(guard: Guard, url: &str) -> AttemptResult {
    let dispatcher = HttpDispatcher::new(DispatchConfig::default(), Arc::new(guard)).unwrap();
    attempt_by(&dispatcher, url, LONG_MS).await
}

#[tokio::test]
async fn loopback_is_refused_unless_it_is_allowed() {
    let receiver = answering(OK).await;
    let port = receiver.address.port();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://user:canary@{host}:{port}/canary");
        let result = attempt_behind(Guard::default(), &url).await;
        assert_eq!((result.outcome, result.status), (OutcomeClass::Refused, 0), "{host}");
        let expected = format!("{host}:{port}: the target leads to a refused address: loopback");
        assert_eq!(text(&result), expected);
    }
    assert_eq!(receiver.accepted(), 0);
    let allowed = Guard::new(vec!["127.0.0.1/32".parse().unwrap()]);
    assert_eq!(attempt_behind(allowed, &receiver.url("/")).await.outcome, OutcomeClass::Success);
}

#[tokio::test]
async fn of_a_name_with_several_addresses_only_allowed_ones_are_dialled() {
    let receiver = answering_and_closing().await;
    let url = format!("http://mixed.example:{}/", receiver.address.port());
    for other in ["10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"] {
        let answers = vec![IpAddr::from([127, 0, 0, 1]), other.parse().unwrap()];
        for answers in [answers.clone(), answers.into_iter().rev().collect()] {
            let dispatcher = dispatcher_resolving(loopback_allowed(), move |_| Ok(answers.clone()));
            let result = attempt_by(&dispatcher, &url, LONG_MS).await;
            assert_eq!(result.outcome, OutcomeClass::Success, "{other}: {}", text(&result));
        }
    }
    assert_eq!(receiver.accepted(), 8);
}

#[tokio::test]
async fn a_name_without_an_allowed_address_is_refused_and_none_is_shown() {
    let receiver = answering(OK).await;
    let url = format!("http://private.example:{}/", receiver.address.port());
    let dispatcher = dispatcher_resolving(Arc::new(Guard::default()), |_| {
        Ok(["127.0.0.1", "10.0.0.1", "::1"].iter().map(|address| address.parse().unwrap()).collect())
    });
    let result = attempt_by(&dispatcher, &url, LONG_MS).await;
    assert_eq!(result.outcome, OutcomeClass::Refused);
    assert!(!text(&result).contains("10.0.0.1"), "shows the operator's address: {}", text(&result));
    assert_eq!(receiver.accepted(), 0);
}

#[tokio::test]
async fn a_port_that_is_not_allowed_is_refused_where_urls_are_checked_and_when_dialling() {
    let receiver = answering(OK).await;
    let port = receiver.address.port();
    let loopback = || Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let other = loopback().with_ports(vec![port + 1..=port + 1]);
    assert!(engine::dispatch::check_url(&receiver.url("/"), &other).is_err());
    let result = attempt_behind(other, &receiver.url("/")).await;
    assert_eq!(result.outcome, OutcomeClass::Refused, "{}", text(&result));
    assert_eq!(receiver.accepted(), 0);
    let allowed = attempt_behind(loopback().with_ports(vec![port..=port]), &receiver.url("/")).await;
    assert_eq!(allowed.outcome, OutcomeClass::Success);
}

/// Every other lookup leads to the metadata service; no connection may. The receiver closes after each answer, so that
/// every attempt has to connect.
#[tokio::test]
async fn a_rebinding_name_never_reaches_the_second_address() {
    let receiver = answering_and_closing().await;
    let lookups = Arc::new(AtomicUsize::new(0));
    let counter = lookups.clone();
    let dispatcher = dispatcher_resolving(loopback_allowed(), move |_| {
        let harmless = counter.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        Ok(vec![if harmless { [127, 0, 0, 1].into() } else { [169, 254, 169, 254].into() }])
    });
    let url = format!("http://rebinding.example:{}/", receiver.address.port());
    for _ in 0..50 {
        assert_eq!(attempt_by(&dispatcher, &url, LONG_MS).await.outcome, OutcomeClass::Success);
        assert_eq!(attempt_by(&dispatcher, &url, LONG_MS).await.outcome, OutcomeClass::Refused);
    }
    assert_eq!((receiver.accepted(), lookups.load(Ordering::SeqCst)), (50, 100));
}

async fn answering_and_closing() -> Receiver {
    Receiver::start(|mut stream, _| async move {
        let _ = read_request(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    })
    .await
}
