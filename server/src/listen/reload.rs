//! A certificate that is replaced while the listener runs.
//!
//! The two files are looked at every [`LOOK_EVERY`], and at once after SIGHUP, on a thread where reading may block. New
//! connections get the newest pair that could be used; open connections keep theirs. A pair that cannot be used changes
//! nothing: it is counted and logged once, and the next look goes on from there.
//!
//! Files are compared by their content and not by their dates: a mounted secret is often replaced by a link to an older
//! file.

use super::tls::{Identity, TlsError, TlsFiles};
use model::metric;
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

/// The time between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(10);

const SUCCESS: &str = "success";
const FAILED: &str = "failed";

/// The certificate for handshakes: always the newest that could be used.
#[derive(Clone)]
pub(crate) struct Certificate(watch::Receiver<Arc<ServerConfig>>);

/// Looks at the files and replaces the certificate.
pub(crate) struct Reloader {
    files: TlsFiles,
    seen: Seen,
    current: watch::Sender<Arc<ServerConfig>>,
    hangup: Signal,
}

/// The files as last read, usable or not: a hash over both, or the reason why they could not be read.
type Seen = Result<[u8; 32], String>;

/// The result of one look.
#[derive(Debug)]
enum Look {
    /// The files are unchanged.
    Same,
    /// A pair that is used from now on. It ends then.
    Loaded(Option<u64>),
    /// Something else, which cannot be used.
    Failed(TlsError),
}

/// Reads the pair for the first time.
///
/// # Errors
/// When it cannot be used.
pub(crate) fn first(files: TlsFiles) -> Result<(Certificate, Reloader), TlsError> {
    for outcome in [SUCCESS, FAILED] {
        metrics::counter!(metric::TLS_RELOADS, "outcome" => outcome).increment(0);
    }
    let text = files.read()?;
    let Identity { config, ends_at_s } = files.check(&text)?;
    files.warn_if_open();
    show_end(ends_at_s);
    let (current, certificate) = watch::channel(config);
    let hangup = signal(SignalKind::hangup()).map_err(TlsError::Signal)?;
    let seen = Ok(text.fingerprint());
    Ok((Certificate(certificate), Reloader { files, seen, current, hangup }))
}

/// An end that is not known is no number, and so no alert on it.
fn show_end(ends_at_s: Option<u64>) {
    metrics::gauge!(metric::TLS_CERTIFICATE_END).set(ends_at_s.map_or(f64::NAN, |ends_at_s| ends_at_s as f64));
}

// === impl Certificate ===

impl Certificate {
    /// For one handshake.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.borrow()))
    }
}

// === impl Reloader ===

impl Reloader {
    /// Goes on until the runtime ends, or its task is aborted.
    pub(crate) async fn run(mut self) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_asked = tokio::select! {
                _ = every.tick() => false,
                _ = self.hangup.recv() => true,
            };
            let looked = tokio::task::spawn_blocking(move || {
                let look = self.look(is_asked);
                (self, look)
            });
            match looked.await {
                Ok((reloader, look)) => {
                    report(&look);
                    self = reloader;
                }
                // The listener goes on with the certificate that it has.
                Err(_) => return report(&Look::Failed(TlsError::Panicked)),
            }
        }
    }

    /// Reads the files, and uses them if they are new or `is_asked`.
    fn look(&mut self, is_asked: bool) -> Look {
        let read = self.files.read();
        let found = read.as_ref().map(super::tls::PairText::fingerprint).map_err(ToString::to_string);
        if found == self.seen && !is_asked {
            return Look::Same;
        }
        self.seen = found;
        match read.and_then(|text| self.files.check(&text)) {
            Ok(Identity { config, ends_at_s }) => {
                self.current.send_replace(config);
                Look::Loaded(ends_at_s)
            }
            Err(error) => Look::Failed(error),
        }
    }
}

/// Counts and logs one look.
fn report(look: &Look) {
    match look {
        Look::Same => {}
        Look::Loaded(ends_at_s) => {
            show_end(*ends_at_s);
            metrics::counter!(metric::TLS_RELOADS, "outcome" => SUCCESS).increment(1);
            tracing::info!("the API's certificate was read again; new connections get it");
        }
        Look::Failed(error) => {
            metrics::counter!(metric::TLS_RELOADS, "outcome" => FAILED).increment(1);
            tracing::error!(%error, "the API's new certificate was not taken; the one before stays in use");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Writes a pair of its own certificate and key, and returns both texts.
    fn write_pair(folder: &Path) -> [String; 2] {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let pair = [pem("CERTIFICATE", made.cert.der()), pem("PRIVATE KEY", &made.signing_key.serialize_der())];
        write(folder, &pair);
        pair
    }

    fn pem(label: &str, der: &[u8]) -> String {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    fn write(folder: &Path, [cert, key]: &[String; 2]) {
        std::fs::write(folder.join("cert"), cert).unwrap();
        std::fs::write(folder.join("key"), key).unwrap();
    }

    #[tokio::test]
    async fn a_look_takes_what_is_new_and_tells_of_what_is_broken_once() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: folder.path().join("cert"), key: folder.path().join("key") };
        let [cert, key] = write_pair(folder.path());
        let (certificate, mut reloader) = first(files).unwrap();
        let shown = || Arc::as_ptr(&certificate.0.borrow());
        let oldest = shown();
        assert!(matches!(reloader.look(false), Look::Same));

        write(folder.path(), &[cert.clone(), "no key".to_owned()]);
        assert!(matches!(reloader.look(false), Look::Failed(TlsError::Content { .. })));
        assert!(matches!(reloader.look(false), Look::Same), "it was told");
        assert!(matches!(reloader.look(true), Look::Failed(_)), "who asks is answered");
        std::fs::remove_file(folder.path().join("key")).unwrap();
        assert!(matches!(reloader.look(false), Look::Failed(TlsError::Read { .. })));
        assert!(matches!(reloader.look(false), Look::Same));
        assert_eq!(shown(), oldest, "the first one is still in use");

        write_pair(folder.path());
        assert!(matches!(reloader.look(false), Look::Loaded(Some(_))));
        let newer = shown();
        assert_ne!(newer, oldest);
        // Back to the first pair, as a mounted secret may go.
        write(folder.path(), &[cert, key]);
        assert!(matches!(reloader.look(false), Look::Loaded(Some(_))));
        assert!(matches!(reloader.look(false), Look::Same));
    }

    #[tokio::test]
    async fn a_folder_or_a_large_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path());
        let files = |cert: &str| TlsFiles { cert: folder.path().join(cert), key: folder.path().join("key") };
        std::fs::write(folder.path().join("large"), vec![b' '; (1 << 20) + 1]).unwrap();
        let refused = |cert: &str| first(files(cert)).err().expect("refused").to_string();
        assert!(refused("large").ends_with("it is over 1048576 bytes"), "{}", refused("large"));
        assert!(refused(".").ends_with("it is not a regular file"), "{}", refused("."));
    }
}
