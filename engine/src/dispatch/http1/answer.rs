//! The bytes of an answer, as they come, into status, `Retry-After` and body (RFC 9112).
//!
//! **The status line decides as soon as it is read.** Any defect behind it (a head without end, chunks that are none, a
//! length that does not hold) ends the answer with a note, and the connection is not used again. Only a defect before a
//! status line is an error.
//!
//! [`head`] reads what a head says of the body. Headers that say where the body ends are taken strictly: a reader that
//! misjudges the end takes the rest of one answer for the next.
//!
//! | says where the body ends | |
//! |---|---|
//! | 204, 304, 101 | there is none; after 101 the connection is no longer HTTP |
//! | `Transfer-Encoding`, last `chunked` | the last chunk |
//! | another `Transfer-Encoding` | the end of the connection |
//! | `Content-Length`, repeated only with the same value | so many bytes |
//! | `Content-Length` that is no number, or several that differ | what came along with the head |
//! | nothing | the end of the connection |
//!
//! Other 1xx answers are skipped; all heads together are bounded in bytes. Pure: a state machine fed with bytes, in
//! pieces of any length. Between pieces it keeps the beginning of a head, up to its bound. A head that drips in is
//! parsed when its status line is there, when it has doubled and at its end: the work grows with its length only. No
//! judgement on the status here.

mod head;

use super::super::answer::Answer;
use super::chunked::Chunks;
use head::{Beginning, is_interim, parse_head};
use model::AnswerNote;

#[cfg(test)]
mod tests;

/// Why these bytes are no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedAnswer {
    #[error("it was closed before the answer was complete")]
    Closed,
    #[error("the answer is not HTTP/1.1: {0}")]
    Head(#[from] httparse::Error),
    #[error("the head of the answer is too long")]
    HeadTooLong,
    #[error("a chunk of the answer is malformed")]
    Chunk,
}

/// The next thing to do after some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Read on.
    More,
    /// The answer is complete, or enough of it was read.
    Complete {
        /// Another request may follow on this connection.
        reusable: bool,
    },
}

/// Reads one answer.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Of this head, and of those after it.
    head_len_max: usize,
    /// Bytes of a head that is not complete.
    head: Vec<u8>,
    /// Length of the part of `head` that was parsed without finding its end.
    parsed_len: usize,
    /// True if its status line was found.
    has_status_line: bool,
    body: Body,
    keep_alive: bool,
}

#[derive(Debug)]
enum Body {
    /// The head is not complete.
    Unknown,
    Sized(u64),
    Chunked(Chunks),
    UntilClosed,
    /// No telling: what came along with the head is all that is read.
    AsItCame,
}

// === impl Decoder ===

impl Decoder {
    pub(super) fn new(head_len_max: usize) -> Decoder {
        let (head, body) = (Vec::new(), Body::Unknown);
        Decoder { head_len_max, head, parsed_len: 0, has_status_line: false, body, keep_alive: false }
    }

    /// Takes the bytes that came, at least one, and puts what they mean into `answer`.
    pub(super) fn feed(&mut self, bytes: &[u8], answer: &mut Answer) -> Result<Step, MalformedAnswer> {
        if !matches!(self.body, Body::Unknown) {
            return Ok(self.feed_body(bytes, answer));
        }
        if self.head.is_empty() {
            return self.feed_head(bytes, answer);
        }
        let seam = self.head.len().saturating_sub(3);
        self.head.extend_from_slice(bytes);
        let len = self.head.len();
        let news = len >= self.head_len_max
            || len >= 2 * self.parsed_len
            || (!self.has_status_line && bytes.contains(&b'\n'))
            || holds_empty_line(&self.head[seam..]);
        if !news {
            return Ok(Step::More);
        }
        let whole = std::mem::take(&mut self.head);
        self.feed_head(&whole, answer)
    }

    /// The peer has closed the connection.
    pub(super) fn end(&self, answer: &mut Answer) -> Result<Step, MalformedAnswer> {
        if !matches!(self.body, Body::UntilClosed) {
            if answer.status == 0 {
                return Err(MalformedAnswer::Closed);
            }
            answer.note(AnswerNote::BrokenOff);
        }
        Ok(Step::Complete { reusable: false })
    }

    fn feed_head(&mut self, mut bytes: &[u8], answer: &mut Answer) -> Result<Step, MalformedAnswer> {
        loop {
            // Empty lines before a status line are skipped; here, so that many of them are not parsed again and again.
            let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.head_len_max = self.head_len_max.saturating_sub(blank);
            bytes = &bytes[blank..];
            let head = match parse_head(bytes, answer) {
                Ok(Beginning::Complete(head)) if head.len <= self.head_len_max => head,
                Ok(Beginning::Open { has_status_line }) if bytes.len() < self.head_len_max => {
                    (self.parsed_len, self.has_status_line) = (bytes.len(), has_status_line);
                    self.head = bytes.to_vec();
                    return Ok(Step::More);
                }
                Ok(_) => return answer.end_with(AnswerNote::HeadTooLong, MalformedAnswer::HeadTooLong),
                Err(error) => return answer.end_with(AnswerNote::HeadMalformed, error),
            };
            bytes = &bytes[head.len..];
            if !is_interim(head.status) {
                (self.body, self.keep_alive) = (head.body, head.keep_alive);
                return Ok(self.feed_body(bytes, answer));
            }
            // Together they are no longer than one: an answer may not be put off for ever.
            self.head_len_max -= head.len;
            (self.parsed_len, self.has_status_line) = (0, false);
            if bytes.is_empty() {
                return Ok(Step::More);
            }
        }
    }

    /// `bytes` may be empty: right behind a head.
    fn feed_body(&mut self, bytes: &[u8], answer: &mut Answer) -> Step {
        let (complete, wants_more, surplus) = match &mut self.body {
            Body::Unknown => return Step::More,
            Body::Sized(left) => {
                let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= len as u64;
                (*left == 0, answer.take_body(&bytes[..len], len), bytes.len() > len)
            }
            Body::Chunked(chunks) => {
                // All that came counts: the frame around one byte can be as long as one likes.
                let read = chunks.feed(bytes, |data| {
                    answer.take_body(data, 0);
                });
                let Ok(read) = read else {
                    answer.note(AnswerNote::BodyMalformed);
                    return Step::Complete { reusable: false };
                };
                (chunks.is_complete(), answer.take_body(&[], read), read < bytes.len())
            }
            Body::UntilClosed => (false, answer.take_body(bytes, bytes.len()), false),
            Body::AsItCame => (true, answer.take_body(bytes, bytes.len()), false),
        };
        if complete && surplus {
            answer.note(AnswerNote::Surplus);
        }
        match (complete, wants_more) {
            (true, _) => Step::Complete { reusable: self.keep_alive && !surplus },
            (false, true) => Step::More,
            (false, false) => Step::Complete { reusable: false },
        }
    }
}

impl Answer {
    /// Ends it here if its status is known, and is the error otherwise.
    fn end_with(&mut self, note: AnswerNote, error: MalformedAnswer) -> Result<Step, MalformedAnswer> {
        if self.status == 0 {
            return Err(error);
        }
        self.note(note);
        Ok(Step::Complete { reusable: false })
    }
}

/// True if a head may end in these bytes of it.
fn holds_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}
