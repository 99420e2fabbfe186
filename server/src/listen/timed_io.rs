//! Two deadlines on a connection that hyper does not have.
//!
//! **The first bytes.** A connection shows in its first bytes if it speaks HTTP/1 or HTTP/2. They are at most as many
//! as the HTTP/2 preface has (RFC 9113, 3.4). hyper waits for those without a limit: its own starts with the protocol.
//! A connection that sends nothing, or the preface letter by letter, would hold its place for ever.
//!
//! **A write that does not move.** A peer that asks for much and reads nothing would hold its place for ever. It would
//! also hold the answer in memory.
//!
//! The whole has no limit: a slow peer that moves is served.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// Bytes of the HTTP/2 preface. Any HTTP/1.1 request is longer.
const PREFACE_BYTES: usize = 24;

/// A connection with these two deadlines.
pub(super) struct TimedIo<I> {
    io: I,
    limit: Duration,
    /// Runs until the first bytes are read.
    first_bytes: Option<Pin<Box<Sleep>>>,
    first_bytes_read: usize,
    /// Runs while a write waits for the peer.
    write: Option<Pin<Box<Sleep>>>,
}

// === impl TimedIo ===

impl<I: Unpin> TimedIo<I> {
    pub(super) fn new(io: I, limit: Duration) -> TimedIo<I> {
        let first_bytes = Some(Box::pin(tokio::time::sleep(limit)));
        TimedIo { io, limit, first_bytes, first_bytes_read: 0, write: None }
    }

    /// Makes one step of writing, which ends with an error when the peer has not moved for too long.
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut I>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = step(Pin::new(&mut self.io), cx) {
            self.write = None;
            return Poll::Ready(result);
        }
        let limit = self.limit;
        let deadline = self.write.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)))
    }
}

impl<I: Read + Unpin> Read for TimedIo<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(deadline) = &mut this.first_bytes else {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        };
        // A cursor does not tell how much was filled, so the first bytes go through a buffer of our own.
        let mut first = [0; PREFACE_BYTES];
        let room = buf.remaining().min(PREFACE_BYTES);
        let mut own = hyper::rt::ReadBuf::new(&mut first[..room]);
        match Pin::new(&mut this.io).poll_read(cx, own.unfilled()) {
            Poll::Ready(Ok(())) => {
                let filled = own.filled();
                this.first_bytes_read += filled.len();
                buf.put_slice(filled);
                if this.first_bytes_read >= PREFACE_BYTES || filled.is_empty() {
                    this.first_bytes = None;
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

impl<I: Write + Unpin> Write for TimedIo<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |io, cx| io.poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |io, cx| io.poll_write_vectored(cx, bufs))
    }
}
