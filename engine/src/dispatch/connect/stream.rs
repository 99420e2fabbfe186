//! A connection to a receiver, with TLS or without, that holds its slot for as long as it is open.

use super::Slot;
use crate::dispatch::details::Making;
use crate::dispatch::wire::Wire;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection whose address the guard let pass. Holds its slot until it is closed.
pub(in crate::dispatch) struct VettedStream {
    io: Io,
    making: Arc<Making>,
    _slot: Slot,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<Wire<TcpStream>>>),
}

impl VettedStream {
    pub(super) fn plain(tcp: TcpStream, making: Arc<Making>, slot: Slot) -> VettedStream {
        VettedStream { io: Io::Plain(tcp), making, _slot: slot }
    }

    pub(super) fn secured(tls: TlsStream<Wire<TcpStream>>, making: Arc<Making>, slot: Slot) -> VettedStream {
        VettedStream { io: Io::Tls(Box::new(tls)), making, _slot: slot }
    }

    /// How it was made.
    pub(in crate::dispatch) fn making(&self) -> &Arc<Making> {
        &self.making
    }

    /// True if something came on a connection that is to be silent: its end, an error, or bytes that nobody asked for.
    /// Knows what the runtime has heard of; asks the system only then.
    pub(in crate::dispatch) fn is_stale(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        match &mut self.io {
            Io::Plain(tcp) => match tcp.try_read(&mut byte) {
                Ok(_) => true,
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            },
            // Bytes of TLS itself, such as a new ticket, are read and mean nothing.
            Io::Tls(tls) => Pin::new(tls).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_ready(),
        }
    }
}

impl AsyncRead for VettedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Io::Tls(tls) => {
                let before = buf.filled().len();
                let read = Pin::new(&mut *tls).poll_read(cx, buf);
                tls.get_mut().0.passed(buf.filled().len().saturating_sub(before));
                read
            }
        }
    }
}

impl AsyncWrite for VettedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Io::Tls(tls) => passed(Pin::new(&mut *tls).poll_write(cx, buf), tls),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Io::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Io::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Io::Tls(tls) => passed(Pin::new(&mut *tls).poll_write_vectored(cx, bufs), tls),
        }
    }
}

/// Counts the written bytes as bytes of messages.
fn passed(written: Poll<io::Result<usize>>, tls: &mut TlsStream<Wire<TcpStream>>) -> Poll<io::Result<usize>> {
    if let Poll::Ready(Ok(bytes)) = &written {
        tls.get_mut().0.passed(*bytes);
    }
    written
}
