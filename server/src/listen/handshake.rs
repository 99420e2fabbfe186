//! The TLS handshake of one connection: within a deadline, and ended by a stop of the listener.
//!
//! The connection has its place already and asks for nothing yet, so it is idle like any other. A new client may push
//! it out while it takes its time.

use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A handshake is two turns of a few KB: a peer that needs longer does not mean to make one.
const DEADLINE: Duration = Duration::from_secs(10);

/// Bytes of an answer that TLS may hold for a peer that does not read: one record. `TimedIo` sees a peer move when these
/// are taken, so more would ask more of a slow peer than a plain connection does.
const BUFFERED_BYTES: usize = 16 * 1024;

/// Why there is no connection to serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The peer took too long.
    #[error("it was not finished in time")]
    Late,
    /// The listener stops.
    #[error("the listener stops")]
    Stopping,
    /// The peer speaks no TLS, or none that we speak, or went away.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

// === impl HandshakeError ===

impl HandshakeError {
    /// True when the peer sent too little in time.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, HandshakeError::Late)
    }
}

/// Makes the handshake within `limit`, or sooner.
///
/// # Errors
/// See [`HandshakeError`]; the connection is closed then.
pub(super) async fn accept(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    stopping: &mut watch::Receiver<()>,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, HandshakeError> {
    let handshake = acceptor.accept_with(stream, |session| session.set_buffer_limit(Some(BUFFERED_BYTES)));
    tokio::select! {
        made = handshake => Ok(made?),
        () = tokio::time::sleep(limit.min(DEADLINE)) => Err(HandshakeError::Late),
        _ = stopping.changed() => Err(HandshakeError::Stopping),
    }
}
