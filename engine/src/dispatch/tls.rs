//! TLS toward receivers: whom to trust, and errors in words.
//!
//! Trusted are the Mozilla root certificates, those that the operator added (`--ca-file`), and for one endpoint those
//! that its tenant gave it (`caPem`). Nothing here switches verification off.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError, RootCertStore};
use sha2::{Digest, Sha256};
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

#[cfg(test)]
mod tests;

/// A certificate in DER form.
pub type RootCertificate = CertificateDer<'static>;

/// Why a file gives no root certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// It is not PEM.
    #[error("it is not valid PEM: {0}")]
    Malformed(String),
    /// It holds no `CERTIFICATE` section.
    #[error("it holds no certificate in PEM form")]
    NoCertificate,
    /// A certificate cannot be read as one.
    #[error("certificate {number} of it cannot be read: {reason}")]
    Unreadable {
        /// Its number in the file, from 1.
        number: usize,
        /// The words of the TLS library.
        reason: String,
    },
}

/// HTTP/2 as TLS names it (RFC 9113, 3.2), and HTTP/1.1.
pub(super) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The TLS connectors, by the protocols that are offered.
#[derive(Clone)]
pub(super) struct Connectors {
    /// HTTP/2 and HTTP/1.1.
    pub(super) all: TlsConnector,
    /// HTTP/1.1 alone, for receivers that flooded HTTP/2.
    pub(super) http1: TlsConnector,
}

impl Connectors {
    /// The protocols (ALPN) that `tls` names are replaced.
    pub(super) fn new(mut tls: ClientConfig) -> Connectors {
        tls.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
        let http1 = TlsConnector::from(Arc::new(tls.clone()));
        tls.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
        Connectors { all: TlsConnector::from(Arc::new(tls)), http1 }
    }
}

/// Root certificates of one endpoint's own, beside everyone's. Connections that were made with them are its own too.
#[derive(Clone)]
pub struct OwnRoots {
    pub(super) connectors: Connectors,
    /// Tells them from others: endpoints with the same ones may share connections.
    pub(super) digest: String,
}

impl OwnRoots {
    /// Those in a PEM text, beside Mozilla's and `extra` ones.
    ///
    /// # Errors
    /// As [`read_roots`]; certificates that were read once can be used.
    pub fn new(pem: &str, extra: &[RootCertificate]) -> Result<OwnRoots, RootsError> {
        let own = read_roots(pem.as_bytes())?;
        let mut digest = Sha256::new();
        own.iter().for_each(|certificate| digest.update(certificate));
        let digest = STANDARD.encode(digest.finalize());
        let all: Vec<RootCertificate> = extra.iter().cloned().chain(own).collect();
        let unreadable = |error: TlsError| RootsError::Unreadable { number: 0, reason: error.to_string() };
        Ok(OwnRoots { connectors: Connectors::new(client_config(&all).map_err(unreadable)?), digest })
    }
}

/// The certificates of a PEM file; other sections, such as keys, are passed over.
///
/// # Errors
/// When there is none, or one that TLS could not use.
pub fn read_roots(text: &[u8]) -> Result<Vec<RootCertificate>, RootsError> {
    let malformed = |error: pem::Error| RootsError::Malformed(pem_words(&error));
    let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(malformed)?;
    if certificates.is_empty() {
        return Err(RootsError::NoCertificate);
    }
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates.iter().enumerate() {
        let unreadable = |error: TlsError| RootsError::Unreadable { number: index + 1, reason: error.to_string() };
        store.add(certificate.clone()).map_err(unreadable)?;
    }
    Ok(certificates)
}

fn pem_words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed".to_owned(),
        other => other.to_string(),
    }
}

/// The Mozilla roots and `extra` ones, without a client certificate.
pub(super) fn client_config(extra: &[RootCertificate]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in extra {
        roots.add(certificate.clone())?;
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A failed handshake in words that a receiver's operator can act on. Never a list of our roots or of bytes.
pub(super) fn words(error: &io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "the receiver closed the connection during the handshake".to_owned(),
            _ => error.to_string(),
        };
    };
    match tls {
        TlsError::InvalidCertificate(reason) => certificate_words(reason),
        TlsError::NoCertificatesPresented => "the receiver presented no certificate".to_owned(),
        TlsError::AlertReceived(alert) => alert_words(*alert),
        TlsError::InvalidMessage(_) => "the receiver does not speak TLS on this port".to_owned(),
        TlsError::PeerIncompatible(_) => "the receiver and Pinion have no TLS version or cipher in common".to_owned(),
        TlsError::NoApplicationProtocol => "the receiver takes neither HTTP/2 nor HTTP/1.1".to_owned(),
        other => other.to_string(),
    }
}

fn certificate_words(reason: &CertificateError) -> String {
    let text = match reason {
        CertificateError::UnknownIssuer => "the certificate is self-signed or from an unknown authority",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is not valid for this name"
        }
        CertificateError::Revoked => "the certificate is revoked",
        CertificateError::BadSignature => "the certificate's signature is wrong",
        CertificateError::BadEncoding => "the certificate cannot be read",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not one for servers"
        }
        // The library has no kind of its own for this one.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is one of an authority, not of a server"
        }
        other => return format!("the certificate was refused: {other}"),
    };
    text.to_owned()
}

fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => {
            "the receiver refused the handshake: no TLS version or cipher in common".to_owned()
        }
        AlertDescription::UnrecognisedName => "the receiver does not know this name".to_owned(),
        AlertDescription::CertificateRequired => "the receiver asks for a client certificate".to_owned(),
        AlertDescription::NoApplicationProtocol => {
            "the receiver takes no version of HTTP that was offered to it".to_owned()
        }
        other => format!("the receiver refused the handshake: {other:?}"),
    }
}
