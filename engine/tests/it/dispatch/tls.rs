//! TLS: HTTP/2 by ALPN, and certificates and peers that must not be accepted.

use super::*;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use model::OutcomeClass;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::convert::Infallible;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "receiver.example";

/// A client that trusts one certificate, or none.
pub(super) fn client(trusted: Option<CertificateDer<'static>>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(trusted);
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A TLS receiver for `NAME` that speaks these protocols and answers with the version it was asked in.
async fn tls_receiver(alpn: &[&str]) -> (Receiver, CertificateDer<'static>) {
    let issued = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let certificate = issued.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let receiver = Receiver::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                let version = Bytes::from(format!("{:?}", request.version()));
                Ok::<_, Infallible>(hyper::Response::new(Full::new(version)))
            });
            let server = auto::Builder::new(TokioExecutor::new());
            // Ends as the client likes.
            server.serve_connection(TokioIo::new(stream), service).await.ok();
        }
    })
    .await;
    (receiver, certificate)
}

fn dispatcher_trusting(certificate: Option<CertificateDer<'static>>) -> HttpDispatcher {
    let lookup = |_: &str| Ok(vec![IpAddr::from([127, 0, 0, 1])]);
    HttpDispatcher::with_parts(DispatchConfig::default(), loopback_allowed(), Arc::new(lookup), client(certificate))
}

#[tokio::test]
async fn http2_and_http1_are_spoken_as_the_receiver_chooses() {
    for (alpn, version) in [(["h2", "http/1.1"].as_slice(), "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")]
    {
        let (receiver, certificate) = tls_receiver(alpn).await;
        let dispatcher = dispatcher_trusting(Some(certificate));
        let url = format!("https://{NAME}:{}/", receiver.address.port());
        for _ in 0..3 {
            let result = attempt_by(&dispatcher, &url, LONG_MS).await;
            assert_eq!((result.outcome, text(&result)), (OutcomeClass::Success, version));
        }
        assert_eq!(receiver.accepted(), 1);
    }
}

#[tokio::test]
async fn an_unknown_certificate_and_a_wrong_name_are_tls_errors() {
    let (receiver, certificate) = tls_receiver(&["h2"]).await;
    let port = receiver.address.port();
    for (trusted, host) in
        [(None, NAME), (Some(certificate.clone()), "other.example"), (Some(certificate), "127.0.0.1")]
    {
        let result = attempt_by(&dispatcher_trusting(trusted), &format!("https://{host}:{port}/"), LONG_MS).await;
        assert_eq!((result.outcome, result.status), (OutcomeClass::TlsError, 0), "{host}: {}", text(&result));
        assert!(text(&result).contains("certificate"), "{}", text(&result));
    }
}

#[tokio::test]
async fn a_peer_without_tls_is_a_tls_error_and_a_silent_one_a_timeout() {
    let plain = Receiver::start(|mut stream, _| async move {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // Until the client leaves: closing with its hello unread would be a reset.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok();
    })
    .await;
    let silent = repeating("", b"", Duration::from_secs(3600)).await;
    for (receiver, outcome) in [(plain, OutcomeClass::TlsError), (silent, OutcomeClass::Timeout)] {
        let url = format!("https://{NAME}:{}/", receiver.address.port());
        let result = attempt_by(&dispatcher_trusting(None), &url, SHORT_MS).await;
        assert_eq!(result.outcome, outcome, "{}", text(&result));
    }
}
