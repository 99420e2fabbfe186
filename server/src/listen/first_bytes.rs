//! A deadline on the first bytes of a connection.
//!
//! Whether a connection speaks HTTP/1 or HTTP/2 shows in its first bytes, at most as many as the HTTP/2 preface has
//! (RFC 9113, 3.4), and hyper waits for those without a deadline: its own starts with the protocol. A connection that
//! sends nothing, or the preface letter by letter, would hold its slot for ever. Deliberately ends there: every later
//! read passes through.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// Bytes of the HTTP/2 preface. Any HTTP/1.1 request is longer.
const PREFACE_BYTES: usize = 24;

/// A connection whose first bytes are awaited for a limited time.
pub(super) struct FirstBytes<I> {
    io: I,
    /// Runs until enough was read.
    deadline: Option<Pin<Box<Sleep>>>,
    bytes_read: usize,
}

impl<I> FirstBytes<I> {
    pub(super) fn new(io: I, within: Duration) -> FirstBytes<I> {
        FirstBytes { io, deadline: Some(Box::pin(tokio::time::sleep(within))), bytes_read: 0 }
    }
}

impl<I: Read + Unpin> Read for FirstBytes<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(deadline) = &mut this.deadline else {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        };
        // A cursor does not tell how much was filled, so the first bytes go through a buffer of our own.
        let mut first = [0; PREFACE_BYTES];
        let room = buf.remaining().min(PREFACE_BYTES);
        let mut own = hyper::rt::ReadBuf::new(&mut first[..room]);
        match Pin::new(&mut this.io).poll_read(cx, own.unfilled()) {
            Poll::Ready(Ok(())) => {
                let filled = own.filled();
                this.bytes_read += filled.len();
                buf.put_slice(filled);
                if this.bytes_read >= PREFACE_BYTES || filled.is_empty() {
                    this.deadline = None;
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)))
            }
        }
    }
}

impl<I: Write + Unpin> Write for FirstBytes<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
