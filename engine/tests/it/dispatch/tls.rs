//! TLS: HTTP/2 by ALPN, and certificates and peers that must not be accepted.

use super::*;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use model::{AnswerNote, OutcomeClass};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
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
    tls_receiver_answering(alpn, |request| Response::new(Full::new(Bytes::from(format!("{:?}", request.version())))))
        .await
}

/// The same with other answers.
async fn tls_receiver_answering<B>(
    alpn: &[&str],
    answer: fn(&Request<Incoming>) -> Response<B>,
) -> (Receiver, CertificateDer<'static>)
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
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
            let service =
                service_fn(move |request: Request<Incoming>| async move { Ok::<_, Infallible>(answer(&request)) });
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

/// A body that begins and does not end as it should.
struct Unfinished {
    how: &'static str,
    begun: bool,
    /// A reset drops unsent bytes, so it waits until the head and the beginning are sent.
    resets: Pin<Box<tokio::time::Sleep>>,
}

impl Body for Unfinished {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if std::mem::replace(&mut self.begun, true) {
            match self.how {
                "reset" => return self.resets.as_mut().poll(cx).map(|()| Some(Err(io::ErrorKind::BrokenPipe.into()))),
                "silent" => return Poll::Pending,
                _ => cx.waker().wake_by_ref(),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 4_096])))))
    }
}

#[tokio::test]
async fn over_http2_too_a_status_counts_whatever_becomes_of_the_body() {
    let (receiver, certificate) = tls_receiver_answering(&["h2"], |request| {
        let mut parts = request.uri().path().trim_start_matches('/').split('/');
        let status = parts.next().unwrap().parse::<u16>().unwrap();
        let how = match parts.next().unwrap() {
            "reset" => "reset",
            "silent" => "silent",
            _ => "endless",
        };
        let resets = Box::pin(tokio::time::sleep(Duration::from_millis(100)));
        let answer = Response::builder().status(status).header("retry-after", "9");
        let many = (0..150).fold(answer, |answer, number| answer.header(format!("x-{number}"), "y"));
        many.body(Unfinished { how, begun: false, resets }).unwrap()
    })
    .await;
    let dispatcher = dispatcher_trusting(Some(certificate));
    for (how, note) in
        [("reset", Some(AnswerNote::BrokenOff)), ("silent", Some(AnswerNote::TooLate)), ("endless", None)]
    {
        for (status, outcome) in [(200, OutcomeClass::Success), (503, OutcomeClass::ServerError)] {
            let url = format!("https://{NAME}:{}/{status}/{how}", receiver.address.port());
            let result = attempt_by(&dispatcher, &url, 2 * SHORT_MS).await;
            assert_eq!((result.outcome, result.status, result.note), (outcome, status, note), "{how}");
            assert_eq!(result.retry_after.as_deref(), Some(b"9".as_slice()), "{how}");
        }
    }
}

/// An endpoint's own roots stand beside everyone's. Neither they nor connections made with them serve other endpoints.
#[tokio::test]
async fn own_roots_of_an_endpoint_serve_it_alone() {
    for alpn in [["h2"].as_slice(), &["http/1.1"]] {
        let (receiver, certificate) = tls_receiver(alpn).await;
        let (other, _) = tls_receiver(&["h2"]).await;
        let dispatcher = dispatcher_trusting(None);
        let url = format!("https://{NAME}:{}/", receiver.address.port());
        let pem = pem_of(&certificate);
        let attempt = async |url: &str, own: bool| {
            let own_roots = if own { &pem } else { "" };
            let payload = Bytes::from_static(PAYLOAD);
            dispatcher.attempt(prepared(url, own_roots, loopback_allowed(), LONG_MS, payload)).await
        };
        for _ in 0..2 {
            let result = attempt(&url, true).await;
            assert_eq!(result.outcome, OutcomeClass::Success, "{}", text(&result));
            assert_eq!(receiver.accepted(), 1, "its connection is kept");
        }
        let result = attempt(&url, false).await;
        assert_eq!(result.outcome, OutcomeClass::TlsError, "another endpoint got its connection or its roots");
        let elsewhere = format!("https://{NAME}:{}/", other.address.port());
        assert_eq!(attempt(&elsewhere, true).await.outcome, OutcomeClass::TlsError, "verification goes on");
        let wrong_name = format!("https://other.example:{}/", receiver.address.port());
        assert_eq!(attempt(&wrong_name, true).await.outcome, OutcomeClass::TlsError, "names are compared");
    }
}

fn pem_of(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
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
