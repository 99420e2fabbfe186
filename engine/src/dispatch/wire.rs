//! The bytes between a socket and TLS: counted, so that TLS which carries nothing comes to an end.
//!
//! ```text
//! socket ─▶ wire (credit) ─▶ TLS ─▶ HTTP/1.1, or metered HTTP/2
//! ```
//! TLS itself has room for a flood. New session tickets have no bound in number, each may have 64 KiB, and the library
//! keeps some. A record may carry a single byte and costs 22 bytes more and a decryption. None of this shows in the
//! bytes that HTTP sees. So a connection has a [`Credit`] of bytes. Each byte from the socket takes one of it, and each
//! byte of a message, sent or received, gives back [`PER_BYTE`].
//!
//! Nothing of HTTP is looked at here: `http2::allowance` and the bounds of an answer limit the messages.

use model::metric;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes from the socket for a handshake: a chain of certificates has 2 to 20 KiB.
const HANDSHAKE: usize = 128 * 1024;
/// Bytes from the socket that may come without a byte of a message: two of the largest records, and as much again.
const CREDIT_MAX: usize = 64 * 1024;
/// Credit that each byte of a message gives back. With it, records of eight bytes pay for themselves.
const PER_BYTE: usize = 4;

/// The peer sends bytes that carry no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver sends TLS without a message in it: closed as a flood")]
pub(super) struct TlsFlood;

/// Bytes that the peer may still send. Pure.
#[derive(Clone, Debug)]
struct Credit {
    left: usize,
}

/// A socket under TLS.
pub(super) struct Wire<S> {
    socket: S,
    credit: Credit,
}

/// Shows the counter at zero, so that a scrape has it before the first flood.
pub(super) fn show_metrics() {
    metrics::counter!(metric::TLS_ABUSE).increment(0);
}

// === impl Credit ===

impl Credit {
    fn came(&mut self, bytes: usize) -> Result<(), TlsFlood> {
        self.left = self.left.checked_sub(bytes).ok_or(TlsFlood)?;
        Ok(())
    }

    fn passed(&mut self, bytes: usize) {
        // Credit left over from the handshake stays, though it may exceed the cap.
        let most = CREDIT_MAX.max(self.left);
        self.left = self.left.saturating_add(bytes.saturating_mul(PER_BYTE)).min(most);
    }
}

// === impl Wire ===

impl<S> Wire<S> {
    /// With the credit of a handshake.
    pub(super) fn new(socket: S) -> Wire<S> {
        Wire { socket, credit: Credit { left: HANDSHAKE } }
    }

    /// The handshake is over.
    pub(super) fn secured(&mut self) {
        self.credit.left = CREDIT_MAX;
    }

    /// So many bytes of messages were decrypted, or are on their way out.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.credit.passed(bytes);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if let Err(flood) = self.credit.came(buf.filled().len().saturating_sub(before)) {
            metrics::counter!(metric::TLS_ABUSE).increment(1);
            // The contract of `AsyncRead`: when an error is returned, nothing was read.
            buf.set_filled(before);
            return Poll::Ready(Err(io::Error::other(flood)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests;
