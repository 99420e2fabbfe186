//! Tests of what proxies and exceptions are read from, and of what is said to a proxy that answers oddly.

use super::*;
use tokio::io::{AsyncWriteExt, duplex};

fn proxy(text: &str) -> EgressProxy {
    text.parse().unwrap()
}

#[test]
fn a_proxy_is_read_from_its_url_and_shows_no_credential() {
    for (text, kind, host, port, user, password) in [
        ("http://proxy.internal:3128", Kind::Connect, "proxy.internal", 3128, "", ""),
        ("http://proxy.internal/", Kind::Connect, "proxy.internal", 80, "", ""),
        ("http://us%65r:p%40ss@10.0.0.1:80", Kind::Connect, "10.0.0.1", 80, "user", "p@ss"),
        ("socks5://user@[::1]:1081", Kind::Socks5 { resolves: false }, "::1", 1081, "user", ""),
        ("socks5h://localhost", Kind::Socks5 { resolves: true }, "localhost", 1080, "", ""),
    ] {
        let read = proxy(text);
        assert_eq!((read.kind, read.host.as_str(), read.port), (kind, host, port), "{text}");
        assert_eq!((read.user.as_slice(), read.password.as_slice()), (user.as_bytes(), password.as_bytes()));
        assert!(!format!("{read:?}").contains("ss@"), "{read:?}");
    }
    for (text, error) in [
        ("https://proxy.internal", ProxyUrlError::Malformed),
        ("proxy.internal:3128", ProxyUrlError::Malformed),
        ("http://", ProxyUrlError::Malformed),
        ("socks5://", ProxyUrlError::Malformed),
        ("http://x/path", ProxyUrlError::Path),
        ("http://x?q", ProxyUrlError::Path),
        ("http://a%zz@x", ProxyUrlError::Credentials),
    ] {
        assert_eq!(text.parse::<EgressProxy>(), Err(error), "{text}");
    }
    let long = format!("socks5://{}@x", "u".repeat(256));
    assert_eq!(long.parse::<EgressProxy>(), Err(ProxyUrlError::Credentials));
}

#[test]
fn exceptions_are_ranges_and_names_with_all_below_them() {
    let covers = |text: &str, host: &str| text.parse::<ProxyException>().unwrap().covers(host);
    assert!(covers("10.0.0.0/8", "10.1.2.3") && covers("10.1.2.3", "10.1.2.3") && covers("::1", "::1"));
    assert!(!covers("10.0.0.0/8", "11.0.0.1") && !covers("10.0.0.0/8", "ten.example"));
    assert!(covers("example.internal", "example.internal") && covers(".Example.internal", "a.b.example.internal"));
    assert!(!covers("example.internal", "badexample.internal") && !covers("example.internal", "internal"));
    for wrong in ["", "*", "10.0.0.0/33", "a b", "http://x"] {
        assert!(wrong.parse::<ProxyException>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn what_a_proxy_answers_tells_its_own_failures_from_those_of_the_target() {
    let socks = |reply: &[u8]| [&[5, 0], reply].concat();
    for (text, answer, ours) in [
        ("http://p", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), None),
        ("http://p", b"HTTP/1.0 204 No\r\nvia: x\r\n\r\n".to_vec(), None),
        ("http://p", b"HTTP/1.1 403 No\r\n\r\n".to_vec(), Some(false)),
        ("http://p", b"HTTP/1.1 502 No\r\n\r\n".to_vec(), Some(false)),
        ("http://p", b"HTTP/1.1 407 No\r\n\r\n".to_vec(), Some(true)),
        ("http://p", b"220 mail\r\n\r\n".to_vec(), Some(true)),
        ("http://p", b"HTTP/1.1 200 OK\r\n".to_vec(), Some(true)),
        ("http://p", vec![b'x'; 9_000], Some(true)),
        ("socks5h://p", socks(&[5, 0, 0, 1, 1, 2, 3, 4, 0, 80]), None),
        ("socks5h://p", socks(&[5, 0, 0, 3, 1, b'x', 0, 80]), None),
        ("socks5h://p", socks(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]), Some(false)),
        ("socks5h://p", socks(&[4, 0, 0, 1, 0, 0, 0, 0, 0, 0]), Some(true)),
        ("socks5h://p", vec![5, 0xff], Some(true)),
        ("socks5h://p", vec![5], Some(true)),
        ("socks5h://u:p@p", vec![5, 2, 1, 1], Some(true)),
    ] {
        let (mut ours_end, mut proxy_end) = duplex(64 * 1024);
        proxy_end.write_all(&answer).await.unwrap();
        proxy_end.shutdown().await.unwrap();
        let result = proxy(text).tunnel(&mut ours_end, Destination::Name("target.example"), 443).await;
        assert_eq!(result.err().map(|error| error.is_ours()), ours, "{text} {answer:?}");
    }
}
