//! The bytes of an HTTP/2 connection between TLS and hyper: counted, in turns, and with an end.
//!
//! - Bytes from the peer are charged to the connection's [`Allowance`]. Beyond it reading fails, the connection is
//!   closed, and its receiver is shunned. Bytes read together with the frame that went too far are still handed on: an
//!   answer that came before the flood counts. That is one buffer of hyper's at most.
//! - A turn is bounded. hyper reads for as long as there is something, and decrypted bytes are there without asking the
//!   runtime. So the runtime's own budget does not stop it. A shard has one thread: without turns, a few connections
//!   that always have something starve all others, and the attempts' deadlines with them.
//! - A connection on which nobody has a handle any more has a moment to say good-bye. It is closed then even if its
//!   peer reads nothing.
//!
//! The cost of a frame is decided in `allowance`, not here.

use super::allowance::{Allowance, Flood, Grant};
use super::frames::Frames;
use super::shunned::Shunned;
use crate::dispatch::identity::Identity;
use model::metric;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

/// Bytes that a connection reads before it lets others run.
const TURN_LEN: usize = 64 * 1024;
/// Frames likewise. hyper works some microseconds on each.
const TURN_FRAMES: usize = 128;
/// Time in which a connection that nobody needs must end.
const GOODBYE: Duration = Duration::from_secs(1);

/// State shared by a connection's handles and its reader. The mutex is held for a few additions, never across an await.
pub(super) struct Meter {
    allowance: Mutex<Allowance>,
    started: Instant,
}

/// A request under way; it is over when this is dropped.
pub(super) struct UnderWay<'a> {
    meter: &'a Meter,
    grant: Grant,
}

/// The stream that hyper reads from and writes to.
pub(super) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
    frames: Frames,
    turn: Turn,
    ending: Ending,
    /// The peer sent more than it may; nothing is read any more.
    flood: Option<Flood>,
    receiver: Identity,
    shunned: Shunned,
}

/// The rest of a turn.
struct Turn {
    len: usize,
    frames: usize,
}

/// Tells if somebody needs the connection.
enum Ending {
    /// Never sent to; fails when the last handle is gone.
    Needed(oneshot::Receiver<()>),
    Goodbye(Pin<Box<Sleep>>),
}

// === impl Meter ===

impl Meter {
    pub(super) fn new(data_per_request: usize, data_window: usize) -> Meter {
        Meter { allowance: Mutex::new(Allowance::new(data_per_request, data_window, 0)), started: Instant::now() }
    }

    pub(super) fn begin(&self, sent_len: usize) -> UnderWay<'_> {
        let grant = self.lock().begin(sent_len, self.now_ms());
        UnderWay { meter: self, grant }
    }

    /// True while a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().is_busy()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Allowance> {
        // Nothing panics while it is held; numbers are whole in any case.
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.meter.lock().end(self.grant, self.meter.now_ms());
    }
}

// === impl Turn ===

impl Turn {
    const NEW: Turn = Turn { len: TURN_LEN, frames: TURN_FRAMES };

    fn is_over(&self) -> bool {
        self.len == 0 || self.frames == 0
    }
}

// === impl Metered ===

impl<S> Metered<S> {
    /// `last_handle` fails when nobody needs the connection any more.
    pub(super) fn new(
        stream: S,
        meter: Arc<Meter>,
        last_handle: oneshot::Receiver<()>,
        receiver: Identity,
        shunned: Shunned,
    ) -> Metered<S> {
        let (frames, turn, ending) = (Frames::default(), Turn::NEW, Ending::Needed(last_handle));
        Metered { stream, meter, frames, turn, ending, flood: None, receiver, shunned }
    }

    /// Fails once the time to say good-bye is over. Asked at each turn of reading and writing, so that a peer that
    /// blocks one of them keeps nothing open.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Ending::Needed(last_handle) = &mut self.ending
            && Pin::new(last_handle).poll(cx).is_ready()
        {
            self.ending = Ending::Goodbye(Box::pin(sleep(GOODBYE)));
        }
        if let Ending::Goodbye(sleep) = &mut self.ending
            && sleep.as_mut().poll(cx).is_ready()
        {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Charges the bytes that were read.
    fn charge(&mut self, bytes: &[u8]) -> Result<(), Flood> {
        let (now_ms, meter, turn) = (self.meter.now_ms(), &self.meter, &mut self.turn);
        let mut allowance = meter.lock();
        turn.len = turn.len.saturating_sub(bytes.len());
        self.frames.pass(bytes, |frame| {
            turn.frames = turn.frames.saturating_sub(1);
            allowance.charge(frame, now_ms)
        })
    }

    fn note_flood(&mut self, flood: Flood) {
        metrics::counter!(metric::HTTP2_ABUSE, "frame" => flood.0.name()).increment(1);
        self.shunned.note(&self.receiver, Instant::now());
        self.flood = Some(flood);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_ending(cx)?;
        if let Some(flood) = self.flood {
            return Poll::Ready(Err(io::Error::other(flood)));
        }
        if self.turn.is_over() {
            self.turn = Turn::NEW;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        match read {
            Poll::Pending => self.turn = Turn::NEW,
            Poll::Ready(Err(_)) => {}
            Poll::Ready(Ok(())) => {
                let new = buf.filled().get(before..).unwrap_or_default();
                if let Err(flood) = self.charge(new) {
                    self.note_flood(flood);
                }
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_ending(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ending(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ending(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_ending(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests;
