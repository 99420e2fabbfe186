//! The part of a request's body that was not read when the answer was there.
//!
//! A request may be refused before its body has come: no key, too large, no room. A client that sends all of it before
//! it reads would then find its connection reset and never see the answer. For a socket that is closed with unread data
//! in it sends a reset, which overtakes the answer. So the rest is read and thrown away, while the answer is on its way
//! (RFC 9112, 9.6), and then the connection goes on. The same holds for a stream of HTTP/2: some clients take its early
//! end for an error.
//!
//! - *Owner of the state:* the connection, until there is the answer; then a task for each such body.
//! - *Bound:* [`BYTES_MAX`], and a pace of [`BYTES_PER_S_MIN`] after [`GRACE`] up to [`TIME_MAX`]. Bytes beyond are not
//!   read, and the connection (the stream) ends.
//! - *When the input is hostile:* no memory is held, no place for a request, and no share of a key. The request has
//!   been answered, so the connection counts as idle and makes room for a new client.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes that are read after the answer: twice the largest batch by default.
const BYTES_MAX: usize = 32 << 20;
/// Time during which they may come as slowly as the client likes.
const GRACE: Duration = Duration::from_secs(5);
/// The pace that is asked for afterwards, in bytes per second.
const BYTES_PER_S_MIN: usize = 128 * 1024;
/// Longest time for all of them.
const TIME_MAX: Duration = Duration::from_secs(60);

/// The body of a request. When it is dropped before its end, its rest goes to its connection's [`Unread`].
pub(crate) struct Watched {
    /// None once it has ended or failed.
    incoming: Option<Incoming>,
    unread: Arc<Unread>,
}

/// The rest of dropped bodies, for all requests of a connection: nothing is allocated for each of them.
#[derive(Default)]
pub(super) struct Unread {
    /// Set when there is any: nearly all bodies are read to their end, and then nobody locks.
    any: AtomicBool,
    /// At most one for each request at once.
    rests: Mutex<Vec<Incoming>>,
}

/// Time that the reading of so many bytes may have taken.
fn allowed(bytes: usize) -> Duration {
    (GRACE + Duration::from_secs_f64(bytes as f64 / BYTES_PER_S_MIN as f64)).min(TIME_MAX)
}

// === impl Unread ===

impl Unread {
    /// The body to give to a handler; its rest is here once it was dropped.
    pub(super) fn watch(self: &Arc<Self>, incoming: Incoming) -> Watched {
        Watched { incoming: Some(incoming), unread: Arc::clone(self) }
    }

    /// Reads on, if anything is left, in a task of its own. Call it with the answer there: a client that waits for `100
    /// Continue` is not to get one any more. hyper sends it for a body that is read before the answer is there.
    /// (HTTP/1.1 has one request at once. On HTTP/2 the body of another stream may be read on before its answer is
    /// there. A `100` for it does no harm, as that stream goes on.)
    pub(super) fn read_on(&self) {
        if self.any.swap(false, Ordering::AcqRel) {
            // Each change is one move: a panic leaves the list in order.
            let rests = std::mem::take(&mut *self.rests.lock().unwrap_or_else(PoisonError::into_inner));
            for rest in rests {
                tokio::spawn(discard(rest));
            }
        }
    }

    fn put(&self, rest: Incoming) {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner).push(rest);
        self.any.store(true, Ordering::Release);
    }
}

/// Reads until the end or a bound. Dropped before its end, the body ends its connection or stream.
async fn discard(mut rest: Incoming) {
    let (started, mut bytes) = (Instant::now(), 0);
    while bytes <= BYTES_MAX {
        let frame = tokio::time::timeout_at(started + allowed(bytes), rest.frame()).await;
        let Ok(Some(Ok(frame))) = frame else { return };
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}

// === impl Watched ===

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.incoming = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take()
            && !incoming.is_end_stream()
        {
            self.unread.put(incoming);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_goes_on_to_send_has_longer_and_nobody_has_for_ever() {
        assert_eq!(allowed(0), GRACE);
        assert_eq!(allowed(BYTES_PER_S_MIN), GRACE + Duration::from_secs(1));
        assert_eq!(allowed(BYTES_MAX), TIME_MAX);
        assert!(allowed(usize::MAX) == TIME_MAX);
    }
}
