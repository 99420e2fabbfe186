//! Attempts through an egress proxy: the requests that the proxy gets, and the targets that the guard still refuses.

use super::*;
use engine::dispatch::{Egress, Lack};
use model::OutcomeClass;
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The targets that proxies were asked for.
type Asked = Arc<Mutex<Vec<String>>>;

/// A proxy of either kind that leads every name and address to `to`.
async fn proxy(kind: &'static str, to: SocketAddr) -> (Receiver, Asked) {
    let asked = Asked::default();
    let log = asked.clone();
    let receiver = Receiver::start(move |mut stream, _| {
        let log = log.clone();
        async move {
            let wanted = match kind {
                "http" => accept_connect(&mut stream).await,
                _ => accept_socks5(&mut stream).await,
            };
            let Some(wanted) = wanted else { return };
            log.lock().unwrap().push(wanted);
            let Ok(mut target) = TcpStream::connect(to).await else { return };
            drop(tokio::io::copy_bidirectional(&mut stream, &mut target).await);
        }
    })
    .await;
    (receiver, asked)
}

async fn accept_connect(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.ok()?;
    String::from_utf8(head).ok()
}

async fn accept_socks5(stream: &mut TcpStream) -> Option<String> {
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).await.ok()?;
    stream.write_all(&[5, greeting[2]]).await.ok()?;
    let mut user = String::new();
    if greeting[2] == 2 {
        let (_, len) = (stream.read_u8().await.ok()?, stream.read_u8().await.ok()?);
        let mut name = vec![0; len.into()];
        stream.read_exact(&mut name).await.ok()?;
        let mut password = vec![0; stream.read_u8().await.ok()?.into()];
        stream.read_exact(&mut password).await.ok()?;
        user = format!("{}:{}@", String::from_utf8(name).ok()?, String::from_utf8(password).ok()?);
        stream.write_all(&[1, 0]).await.ok()?;
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await.ok()?;
    let len = match request[3] {
        1 => 4,
        _ => stream.read_u8().await.ok()?.into(),
    };
    let mut host = vec![0; len];
    stream.read_exact(&mut host).await.ok()?;
    let port = stream.read_u16().await.ok()?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    let host = match request[3] {
        1 => IpAddr::from(<[u8; 4]>::try_from(host).ok()?).to_string(),
        _ => String::from_utf8(host).ok()?,
    };
    Some(format!("{user}{host}:{port}"))
}

fn dispatcher_through(proxy: &str, except: &[&str], guard: Arc<Guard>) -> HttpDispatcher {
    let egress =
        Egress { proxy: proxy.parse().unwrap(), except: except.iter().map(|except| except.parse().unwrap()).collect() };
    let config = DispatchConfig { egress: Some(egress), ..DispatchConfig::default() };
    let lookup = |name: &str| match name {
        "one.example" => Ok(vec![IpAddr::from([93, 184, 215, 1])]),
        "inner.example" => Ok(vec![IpAddr::from([10, 0, 0, 1])]),
        "direct.example" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
        _ => Err(io::Error::other("not to be looked up")),
    };
    HttpDispatcher::with_parts(config, guard, Arc::new(lookup), tls::client(None))
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_target_is_reached_through_a_proxy_of_either_kind_and_its_connection_is_kept() {
    for (scheme, asked_for) in [
        (
            "http",
            "CONNECT one.example:8080 HTTP/1.1\r\nHost: one.example:8080\r\nProxy-Authorization: Basic dTpw\r\n\r\n",
        ),
        ("socks5h", "u:p@one.example:8080"),
        ("socks5", "u:p@93.184.215.1:8080"),
    ] {
        let receiver = answering(OK).await;
        let (proxy, asked) = proxy(scheme, receiver.address).await;
        let dispatcher =
            dispatcher_through(&format!("{scheme}://u:p@{}", proxy.address), &[], Arc::new(Guard::default()));
        for _ in 0..3 {
            let result = attempt_by(&dispatcher, "http://one.example:8080/hook", LONG_MS).await;
            assert_eq!((result.outcome, text(&result)), (OutcomeClass::Success, "ok"), "{scheme}");
        }
        assert_eq!(*asked.lock().unwrap(), [asked_for]);
        assert_eq!((proxy.accepted(), dispatcher.gauges().connections_open), (1, 1));
    }
}

#[tokio::test]
async fn the_guard_judges_what_is_known_here_and_the_proxy_is_not_asked() {
    let receiver = answering(OK).await;
    for (scheme, url) in [
        ("http", "http://10.0.0.1/"),
        ("http", "http://169.254.169.254/"),
        ("http", "http://localhost/"),
        ("http", "http://a.localhost/"),
        ("socks5h", "http://127.0.0.1/"),
        ("socks5h", "http://[::1]/"),
        ("socks5", "http://inner.example/"),
    ] {
        let (proxy, asked) = proxy(scheme, receiver.address).await;
        let dispatcher = dispatcher_through(&format!("{scheme}://{}", proxy.address), &[], Arc::new(Guard::default()));
        // Checked by a lax guard: a stored target is never trusted at the socket.
        let lax = Guard::new(vec![
            "0.0.0.0/0".parse().unwrap(),
            "::/0".parse().unwrap(),
            "169.254.169.254/32".parse().unwrap(),
        ]);
        let result = dispatcher.attempt(prepared(url, "", Arc::new(lax), LONG_MS, Bytes::from_static(PAYLOAD))).await;
        assert_eq!(result.outcome, OutcomeClass::Refused, "{scheme} {url}: {}", text(&result));
        assert!(asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_exception_is_dialled_directly_and_judged_as_ever() {
    let receiver = answering(OK).await;
    let (proxy, asked) = proxy("http", receiver.address).await;
    let port = receiver.address.port();
    let through = |guard| dispatcher_through(&format!("http://{}", proxy.address), &["127.0.0.0/8", "example"], guard);
    for host in ["127.0.0.1", "direct.example"] {
        let result = attempt_by(&through(loopback_allowed()), &format!("http://{host}:{port}/"), LONG_MS).await;
        assert_eq!(result.outcome, OutcomeClass::Success, "{host}: {}", text(&result));
        let result = attempt_by(&through(Arc::new(Guard::default())), &format!("http://{host}:{port}/"), LONG_MS).await;
        assert_eq!(result.outcome, OutcomeClass::Refused, "{host}");
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_proxy_that_fails_is_a_lack_of_ours_and_one_that_refuses_is_not() {
    let refusing = answering_raw(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
    let odd = answering_raw(b"220 mail.example.org ESMTP\r\n\r\n").await;
    let gone = answering(OK).await;
    let gone_address = gone.address;
    drop(gone);
    tokio::task::yield_now().await;
    for (address, lack) in
        [(refusing.address, None), (odd.address, Some(Lack::Proxy)), (gone_address, Some(Lack::Proxy))]
    {
        let dispatcher = dispatcher_through(&format!("http://u:canary@{address}"), &[], Arc::new(Guard::default()));
        let result = attempt_by(&dispatcher, "http://one.example/", LONG_MS).await;
        assert_eq!((result.outcome, result.lack), (OutcomeClass::ConnectError, lack), "{}", text(&result));
        assert!(text(&result).contains("egress proxy") && !text(&result).contains("canary"), "{}", text(&result));
    }
}

async fn answering_raw(answer: &'static [u8]) -> Receiver {
    Receiver::start(move |mut stream, _| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        drop(stream.write_all(answer).await);
    })
    .await
}
