//! The bytes of an answer, as they come, into status, `Retry-After` and body (RFC 9112).
//!
//! The head is parsed by httparse. Lines of it that are no headers are skipped; what says where the body ends is
//! taken strictly, since whoever misjudges that takes the rest of one answer for the next.
//!
//! | says where the body ends | |
//! |---|---|
//! | 204, 304, 101 | there is none; after 101 the connection is no longer HTTP |
//! | `Transfer-Encoding`, last `chunked` | the last chunk |
//! | another `Transfer-Encoding` | the end of the connection |
//! | `Content-Length`, repeated only with the same value | so many bytes |
//! | nothing | the end of the connection |
//!
//! Other 1xx answers are skipped; all heads together are bounded. Pure: a state machine fed with bytes, in whatever pieces.
//! What is kept between pieces is the beginning of a head, up to its bound. Deliberately no judgement on the status.

use super::super::answer::Answer;
use super::chunked::Chunks;
use httparse::{Header, ParserConfig, Response, Status};
use std::mem::MaybeUninit;

#[cfg(test)]
mod tests;

/// Most headers of an answer.
const HEADER_COUNT_MAX: usize = 100;

/// Why these bytes are no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedAnswer {
    #[error("it was closed before the answer was complete")]
    Closed,
    #[error("the answer is not HTTP/1.1: {0}")]
    Head(#[from] httparse::Error),
    #[error("the head of the answer is too long")]
    HeadTooLong,
    #[error("the answer contradicts itself about its length")]
    Length,
    #[error("a chunk of the answer is malformed")]
    Chunk,
}

/// What to do after some bytes.
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
    /// What came of a head that is not complete.
    head: Vec<u8>,
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
}

/// What a head says.
struct Head {
    len: usize,
    status: u16,
    body: Body,
    keep_alive: bool,
}

// === impl Decoder ===

impl Decoder {
    pub(super) fn new(head_len_max: usize) -> Decoder {
        Decoder { head_len_max, head: Vec::new(), body: Body::Unknown, keep_alive: false }
    }

    /// Takes the bytes that came, at least one, and puts what they mean into `answer`.
    pub(super) fn feed(&mut self, bytes: &[u8], answer: &mut Answer) -> Result<Step, MalformedAnswer> {
        if !matches!(self.body, Body::Unknown) {
            return self.feed_body(bytes, answer);
        }
        if self.head.is_empty() {
            return self.feed_head(bytes, answer);
        }
        let mut whole = std::mem::take(&mut self.head);
        whole.extend_from_slice(bytes);
        self.feed_head(&whole, answer)
    }

    /// The peer has closed the connection.
    pub(super) fn end(&self) -> Result<(), MalformedAnswer> {
        if matches!(self.body, Body::UntilClosed) { Ok(()) } else { Err(MalformedAnswer::Closed) }
    }

    fn feed_head(&mut self, mut bytes: &[u8], answer: &mut Answer) -> Result<Step, MalformedAnswer> {
        loop {
            let Some(head) = parse_head(bytes, answer)? else {
                if bytes.len() >= self.head_len_max {
                    return Err(MalformedAnswer::HeadTooLong);
                }
                self.head = bytes.to_vec();
                return Ok(Step::More);
            };
            if head.len > self.head_len_max {
                return Err(MalformedAnswer::HeadTooLong);
            }
            bytes = &bytes[head.len..];
            if !is_interim(head.status) {
                (self.body, self.keep_alive) = (head.body, head.keep_alive);
                return self.feed_body(bytes, answer);
            }
            // Together they are no longer than one: an answer may not be put off for ever.
            self.head_len_max -= head.len;
            if bytes.is_empty() {
                return Ok(Step::More);
            }
        }
    }

    /// `bytes` may be empty: right behind a head.
    fn feed_body(&mut self, bytes: &[u8], answer: &mut Answer) -> Result<Step, MalformedAnswer> {
        let (complete, wants_more, surplus) = match &mut self.body {
            Body::Unknown => return Ok(Step::More),
            Body::Sized(left) => {
                let len = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= len as u64;
                (*left == 0, answer.take_body(&bytes[..len], len), bytes.len() > len)
            }
            Body::Chunked(chunks) => {
                // All that came counts: the frame around one byte can be as long as one likes.
                let read = chunks.feed(bytes, |data| {
                    answer.take_body(data, 0);
                })?;
                (chunks.is_complete(), answer.take_body(&[], read), read < bytes.len())
            }
            Body::UntilClosed => (false, answer.take_body(bytes, bytes.len()), false),
        };
        match (complete, wants_more) {
            (true, _) => Ok(Step::Complete { reusable: self.keep_alive && !surplus }),
            (false, true) => Ok(Step::More),
            (false, false) => Ok(Step::Complete { reusable: false }),
        }
    }
}

/// Whether another answer follows this one.
fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// A head at the beginning of `bytes`; none when it is not complete. Enters the final one into `answer`.
fn parse_head(bytes: &[u8], answer: &mut Answer) -> Result<Option<Head>, MalformedAnswer> {
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADER_COUNT_MAX];
    let mut parsed = Response::new(&mut []);
    let mut parser = ParserConfig::default();
    parser.ignore_invalid_headers_in_responses(true);
    let Status::Complete(len) = parser.parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers)? else {
        return Ok(None);
    };
    let status = parsed.code.filter(|code| *code >= 100).ok_or(httparse::Error::Status)?;
    let http11 = parsed.version == Some(1);
    let mut found = Found { keep_alive: http11, ..Found::default() };
    for header in parsed.headers.iter() {
        found.note(header, http11);
    }
    let body = match (found.chunked, found.length) {
        _ if matches!(status, 101 | 204 | 304) || is_interim(status) => Body::Sized(0),
        (Some(_), _) if !http11 => return Err(MalformedAnswer::Length),
        (Some(true), _) => Body::Chunked(Chunks::default()),
        (None, Length::Is(length)) => Body::Sized(length),
        (None, Length::Invalid) => return Err(MalformedAnswer::Length),
        (Some(false), _) | (None, Length::Unknown) => Body::UntilClosed,
    };
    // Both a length and chunks is how answers are smuggled, and a length that is none is no better: where there is no
    // need to believe it, the answer stands, but nothing may follow it.
    let doubtful = found.length == Length::Invalid || (found.chunked.is_some() && found.length != Length::Unknown);
    let keep_alive = found.keep_alive && !doubtful && status != 101;
    if !is_interim(status) {
        answer.take_head(status, found.retry_after);
    }
    Ok(Some(Head { len, status, body, keep_alive }))
}

/// What `Content-Length` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    Unknown,
    Is(u64),
    /// No number, or several that differ.
    Invalid,
}

/// What the headers say.
#[derive(Default)]
struct Found<'a> {
    length: Length,
    /// Whether the last encoding is `chunked`; none when there is none.
    chunked: Option<bool>,
    keep_alive: bool,
    closes: bool,
    retry_after: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn note(&mut self, header: &Header<'a>, http11: bool) {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // By length first: most headers are none of these.
        match header.name.len() {
            10 if is("connection") => {
                for option in list(header.value) {
                    self.closes |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
                self.keep_alive = (http11 || self.keep_alive) && !self.closes;
            }
            11 if is("retry-after") && self.retry_after.is_none() => self.retry_after = Some(header.value),
            14 if is("content-length") => {
                for text in list(header.value) {
                    self.length = match (self.length, decimal(text)) {
                        (Length::Unknown, Some(length)) => Length::Is(length),
                        (Length::Is(before), Some(length)) if before == length => self.length,
                        _ => Length::Invalid,
                    };
                }
            }
            17 if is("transfer-encoding") => {
                let last = list(header.value).last().unwrap_or_default();
                self.chunked = Some(last.eq_ignore_ascii_case(b"chunked"));
            }
            _ => {}
        }
    }
}

/// The elements of a comma-separated value.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    // `parse` would take a sign.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
