//! Tests of the pool's bookkeeping. Connections that are used again are tested over sockets, in `tests/it/dispatch`.

use super::hosts::WAITING_LOOK_MIN;
use super::*;
use crate::dispatch::details::KeptDetails;
use crate::dispatch::guard::Guard;
use crate::dispatch::resolve::{Resolver, system_lookup};
use crate::dispatch::target::SignatureHeaders;
use crate::dispatch::url::check_url;
use http::HeaderMap;
use tokio::sync::Semaphore;

fn pool() -> Pool {
    let guard = Arc::new(Guard::new(vec!["127.0.0.0/8".parse().unwrap()]));
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let (resolver, slots) = (Resolver::new(Arc::new(system_lookup), 1), Arc::new(Semaphore::new(8)));
    let dialler = Dialler::new(
        guard,
        resolver,
        slots,
        tls,
        None,
        crate::dispatch::http2::Bounds { head_len_max: 8192, body_len_max: 8192 },
        Duration::from_secs(5),
    );
    Pool::new(dialler, Duration::from_millis(10), 8)
}

fn caller() -> Caller {
    Caller { app: model::AppId(1), until: Instant::now() + Duration::from_secs(1) }
}

/// Nothing is noted.
fn untraced() -> Trace {
    Trace::new(KeptDetails::None, Instant::now())
}

#[tokio::test]
async fn those_that_no_longer_wait_are_taken_out_in_the_end() {
    let (pool, identity) = (pool(), Identity::new(false, "there", None));
    let waits: Vec<_> = (0..100).map(|_| pool.0.wait(&identity)).collect();
    (0..1_000).for_each(|_| drop(pool.0.wait(&identity)));
    let len = pool.0.lock().by_identity[&identity].waiting.len();
    assert!((waits.len()..=2 * waits.len() + WAITING_LOOK_MIN).contains(&len), "{len} in line");
}

#[tokio::test]
async fn a_host_is_forgotten_when_nobody_uses_it_whether_it_answered_or_not() {
    let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let target = |address: std::net::SocketAddr| {
        let url = check_url(&format!("http://{address}/"), &guard).unwrap();
        Arc::new(Target::new(&url, HeaderMap::new(), SignatureHeaders::Both, None).unwrap())
    };
    let pool = pool();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = target(listener.local_addr().unwrap());
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = target(gone.local_addr().unwrap());
    drop(gone);

    assert!(pool.lease(&nowhere, caller(), Instant::now(), &mut untraced()).await.is_err());
    let Ok(Lease::Http1 { stream, reused: false }) =
        pool.lease(&there, caller(), Instant::now(), &mut untraced()).await
    else {
        panic!("no new connection");
    };
    pool.give_back(there.identity(), stream, Instant::now());
    assert_eq!(pool.0.lock().by_identity.len(), 2);
    let all_forgotten = async {
        while !pool.0.lock().by_identity.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), all_forgotten).await.expect("hosts are kept for ever");
}
