//! One attempt over HTTP/1.1: writes the request, reads the answer, says whether the connection can be used again.
//!
//! Both happen in the attempt's own task: nothing is handed from one task to another, and nobody else is woken. Memory
//! is held for one turn only. A request that the socket takes at once, as nearly all are, and an answer that comes in
//! one piece leave nothing behind while the attempt waits. So an idle connection is a socket and nothing more.
//!
//! `answer` gives the bytes of an answer their meaning. There is no deadline here: the caller drops the attempt.

mod answer;
mod chunked;

pub(super) use answer::MalformedAnswer;

use super::answer::{Answer, Failure};
use super::connect::VettedStream;
use answer::{Decoder, Step};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at once.
const READ_LEN: usize = 16 * 1024;
/// Buffers for heads that are kept for the next attempts; each is a few hundred bytes, at most some KiB.
const HEADS_MAX: usize = 16;

/// Memory that all attempts of a dispatcher share, one at a time.
pub(super) struct Buffers {
    read: RefCell<Box<[u8]>>,
    heads: RefCell<Vec<String>>,
}

/// An attempt on a connection that ended without an answer.
pub(super) enum Unanswered {
    /// Nothing of the request was sent: the peer had closed the connection.
    Unsent(Failure),
    /// Some of it may have been.
    Failed(Failure),
}

/// The part of a request that is still to be written.
struct Outgoing<'a> {
    head: &'a str,
    payload: &'a [u8],
    written: usize,
    flushed: bool,
}

// === impl Buffers ===

impl Buffers {
    pub(super) fn new() -> Buffers {
        Buffers { read: RefCell::new(vec![0; READ_LEN].into()), heads: RefCell::default() }
    }

    /// An empty buffer to write a head into; to be given back.
    pub(super) fn take_head(&self) -> String {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give_back_head(&self, mut head: String) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < HEADS_MAX {
            head.clear();
            heads.push(head);
        }
    }
}

// === impl Outgoing ===

impl Outgoing<'_> {
    fn is_written(&self) -> bool {
        self.written == self.head.len() + self.payload.len()
    }

    /// Writes as much as goes.
    fn poll(&mut self, cx: &mut Context<'_>, stream: &mut VettedStream) -> Poll<io::Result<()>> {
        while !self.is_written() {
            let payload_written = self.written.saturating_sub(self.head.len());
            let head_left = self.head.as_bytes().get(self.written..).unwrap_or_default();
            let left = [IoSlice::new(head_left), IoSlice::new(&self.payload[payload_written..])];
            match ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => self.written += len,
            }
        }
        if !self.flushed {
            ready!(Pin::new(&mut *stream).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// Sends a request, head and payload, and reads the answer into `answer`, which holds what came so far if this is cut
/// short. Answers whether another request may follow on this connection.
///
/// An answer that comes before all of the request is written counts. When writing fails, what the peer may have said
/// before it closed is still read.
pub(super) async fn exchange(
    stream: &mut VettedStream,
    reused: bool,
    buffers: &Buffers,
    head: &str,
    payload: &[u8],
    head_len_max: usize,
    answer: &mut Answer,
) -> Result<bool, Unanswered> {
    let mut outgoing = Outgoing { head, payload, written: 0, flushed: false };
    let mut decoder = Decoder::new(head_len_max);
    let mut write_error = None;
    let mut to_be_checked = reused;
    poll_fn(|cx| {
        if std::mem::take(&mut to_be_checked) && stream.is_stale(cx) {
            return Poll::Ready(Err(Unanswered::Unsent(Failure::of_transport(&MalformedAnswer::Closed))));
        }
        if write_error.is_none()
            && let Poll::Ready(Err(error)) = outgoing.poll(cx, stream)
        {
            if outgoing.written == 0 {
                return Poll::Ready(Err(Unanswered::Unsent(Failure::of_transport(&error))));
            }
            write_error = Some(error);
        }
        let step = ready!(poll_answer(cx, stream, buffers, &mut decoder, answer));
        Poll::Ready(match step {
            Ok(reusable) => Ok(reusable && outgoing.flushed),
            Err(failure) => Err(Unanswered::Failed(match &write_error {
                Some(error) => Failure::of_transport(error),
                None => failure,
            })),
        })
    })
    .await
}

fn poll_answer(
    cx: &mut Context<'_>,
    stream: &mut VettedStream,
    buffers: &Buffers,
    decoder: &mut Decoder,
    answer: &mut Answer,
) -> Poll<Result<bool, Failure>> {
    let mut memory = buffers.read.borrow_mut();
    loop {
        let mut read = ReadBuf::new(&mut memory);
        if let Err(error) = ready!(Pin::new(&mut *stream).poll_read(cx, &mut read)) {
            return Poll::Ready(Err(Failure::of_transport(&error)));
        }
        let step = match read.filled() {
            [] => decoder.end(answer),
            bytes => decoder.feed(bytes, answer),
        };
        match step {
            Ok(Step::More) => {}
            Ok(Step::Complete { reusable }) => return Poll::Ready(Ok(reusable)),
            Err(malformed) => return Poll::Ready(Err(Failure::of_transport(&malformed))),
        }
    }
}
