//! The identity of a listener that speaks TLS: a certificate and its private key, read from two PEM files.
//!
//! The files are read whole and checked as a pair before anything uses them. The private key is in no error, no log line
//! and no `Debug` form: errors name files, and [`PairText`] and [`Identity`] have no `Debug`. The cryptography is the
//! dispatcher's.

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error as RustlsError, InconsistentKeys, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// A larger file is no chain of certificates.
const MAX_BYTES: u64 = 1 << 20;

/// The protocols that a client may choose from, the best first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// After the end of any certificate: the year 10000 (RFC 5280, 4.1.2.5).
const AFTER_ALL_S: u64 = 253_402_300_800;

/// The two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub(crate) cert: PathBuf,
    /// The private key of the first certificate.
    pub(crate) key: PathBuf,
}

/// The texts of the two files.
pub(super) struct PairText {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// A pair that handshakes are made with.
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    /// When the first certificate ends, in Unix time; none when it does not say so in a form that is known.
    pub(super) ends_at_s: Option<u64>,
}

/// Why two files give no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// One could not be read.
    #[error("could not read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// One is not PEM, or lacks the section that is needed.
    #[error("{} {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The fault in it.
        problem: &'static str,
    },
    /// The two do not belong together, or the library takes them for no pair.
    #[error("the certificate in {} and the key in {} cannot be used: {problem}", cert.display(), key.display())]
    Pair {
        /// The file with the certificate.
        cert: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// The fault in them.
        problem: String,
    },
    /// The system refused the handler of SIGHUP.
    #[error("could not wait for SIGHUP: {0}")]
    Signal(io::Error),
    /// A look at the files panicked.
    #[error("reading the certificate panicked")]
    Panicked,
}

// === impl TlsFiles ===

impl TlsFiles {
    /// Reads both.
    pub(super) fn read(&self) -> Result<PairText, TlsError> {
        let read = |path: &Path| {
            read_file(path).map_err(|source| TlsError::Read { path: path.to_owned(), source }).map(Zeroizing::new)
        };
        Ok(PairText { cert: read(&self.cert)?.to_vec(), key: read(&self.key)? })
    }

    /// Warns when others than its owner may read the key, as for Pinion's own keys.
    pub(super) fn warn_if_open(&self) {
        // A file that is not there was an error before.
        let mode = std::fs::metadata(&self.key).map_or(0, |metadata| metadata.permissions().mode());
        if mode & 0o077 != 0 {
            let mode = format!("{:o}", mode & 0o777);
            tracing::warn!(path = %self.key.display(), mode, "a key file is open to others");
        }
    }

    /// Checks the texts as a pair.
    pub(super) fn check(&self, text: &PairText) -> Result<Identity, TlsError> {
        let content = |path: &Path, problem| TlsError::Content { path: path.to_owned(), problem };
        let chain = CertificateDer::pem_slice_iter(&text.cert).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| content(&self.cert, pem_words(&error)))?;
        let Some(first) = chain.first() else {
            return Err(content(&self.cert, "holds no certificate in PEM form"));
        };
        let ends_at_s = end(first);
        let key = PrivateKeyDer::from_pem_slice(&text.key).map_err(|error| match error {
            pem::Error::NoItemsFound => content(&self.key, "holds no private key in PEM form without a password"),
            other => content(&self.key, pem_words(&other)),
        })?;
        let config = server_config(chain, key).map_err(|error| TlsError::Pair {
            cert: self.cert.clone(),
            key: self.key.clone(),
            problem: pair_words(&error),
        })?;
        Ok(Identity { config: Arc::new(config), ends_at_s })
    }
}

// === impl PairText ===

impl PairText {
    /// Tells two readings apart without keeping the key's text.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let cert_len = (self.cert.len() as u64).to_be_bytes();
        let sum = Sha256::new().chain_update(cert_len).chain_update(&self.cert).chain_update(&*self.key);
        sum.finalize().into()
    }
}

/// The whole of a regular file. Anything else, such as a pipe, could keep the reader waiting, or be read only once.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    // With room for all of it from the start: a buffer that grows leaves copies of the key behind.
    let mut text = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or(0) + 1);
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is over {MAX_BYTES} bytes")));
    }
    Ok(text)
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, RustlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// The end of a certificate. The library has no getter for it, but names it when it refuses a certificate as expired.
/// It looks at the dates before it looks for an authority, so none is needed here.
fn end(certificate: &CertificateDer<'_>) -> Option<u64> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
    let after_all = UnixTime::since_unix_epoch(Duration::from_secs(AFTER_ALL_S));
    let nobody = RootCertStore::empty();
    let refused =
        rustls::client::verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], after_all, algorithms);
    match refused {
        Err(RustlsError::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(not_after.as_secs())
        }
        _ => None,
    }
}

/// Without the text of a line, which may be a line of the key.
fn pem_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "is not valid PEM: a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "is not valid PEM: a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "is not valid PEM: a section is not base64",
        _ => "is not valid PEM",
    }
}

fn pair_words(error: &RustlsError) -> String {
    match error {
        RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the key is not the one of the first certificate".to_owned()
        }
        other => other.to_string(),
    }
}
