//! The bytes of an answer, as they come, into status, `Retry-After` and body (RFC 9112).
//!
//! **The status line decides as soon as it is read.** Whatever is wrong behind it (a head without end, chunks that are
//! none, a length that does not hold) ends the answer with a note, and the connection is not used again. Only what comes
//! before a status line is an error.
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
//! | `Content-Length` that is no number, or several that differ | what came along with the head |
//! | nothing | the end of the connection |
//!
//! Other 1xx answers are skipped; all heads together are bounded in bytes. Pure: a state machine fed with bytes, in
//! whatever pieces. What is kept between pieces is the beginning of a head, up to its bound. A head that drips in is
//! parsed when its status line is there, when it has doubled and at its end: the work grows with its length only.
//! No judgement on the status here.

use super::super::answer::Answer;
use super::chunked::Chunks;
use httparse::{Header, ParserConfig, Response, Status};
use model::AnswerNote;
use std::mem::MaybeUninit;

#[cfg(test)]
mod tests;

/// Headers of an answer that are parsed without more memory.
const HEADER_COUNT: usize = 100;

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
    /// How much of that was parsed without finding its end.
    parsed_len: usize,
    /// Whether its status line was found.
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

/// What a head says.
struct Head {
    len: usize,
    status: u16,
    body: Body,
    keep_alive: bool,
}

/// The beginning of an answer.
enum Beginning {
    Complete(Head),
    Open { has_status_line: bool },
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

/// Whether another answer follows this one.
fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// Whether a head may end in these bytes of it.
fn holds_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// A head at the beginning of `bytes`. Enters what is known of the final one into `answer`, its status line as soon as
/// that is there.
fn parse_head(bytes: &[u8], answer: &mut Answer) -> Result<Beginning, MalformedAnswer> {
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADER_COUNT];
    match parse_head_into(bytes, &mut headers, answer) {
        Err(MalformedAnswer::Head(httparse::Error::TooManyHeaders)) => {
            // No more of them than lines, whose bytes are bounded.
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            let mut headers = vec![MaybeUninit::<Header<'_>>::uninit(); lines];
            parse_head_into(bytes, &mut headers, answer)
        }
        parsed => parsed,
    }
}

fn parse_head_into<'b>(
    bytes: &'b [u8],
    headers: &mut [MaybeUninit<Header<'b>>],
    answer: &mut Answer,
) -> Result<Beginning, MalformedAnswer> {
    let mut parsed = Response::new(&mut []);
    let mut parser = ParserConfig::default();
    parser.ignore_invalid_headers_in_responses(true);
    parser.allow_spaces_after_header_name_in_responses(true);
    let complete = parser.parse_response_with_uninit_headers(&mut parsed, bytes, headers);
    // The reason is set once the line has ended.
    let status = parsed.code.filter(|_| parsed.reason.is_some());
    let len = match complete {
        Ok(Status::Complete(len)) => len,
        unfinished => {
            if let Some(status) = status.filter(|status| *status >= 100 && !is_interim(*status)) {
                answer.take_head(status, retry_after_in(bytes));
            }
            return unfinished.map(|_| Beginning::Open { has_status_line: status.is_some() }).map_err(Into::into);
        }
    };
    let status = status.filter(|code| *code >= 100).ok_or(httparse::Error::Status)?;
    let http11 = parsed.version == Some(1);
    let mut found = Found { keep_alive: http11, ..Found::default() };
    for header in parsed.headers.iter() {
        found.note(header, http11);
        found.spaced |= !follows_colon(bytes, header.name);
    }
    let body = match (found.chunked, found.length) {
        _ if matches!(status, 101 | 204 | 304) || is_interim(status) => Body::Sized(0),
        (Some(true), _) => Body::Chunked(Chunks::default()),
        (None, Length::Is(length)) => Body::Sized(length),
        (None, Length::Invalid) => Body::AsItCame,
        (Some(false), _) | (None, Length::Unknown) => Body::UntilClosed,
    };
    // Both a length and chunks is how answers are smuggled, and a length that is none is no better, nor are chunks of a
    // version that has none: the answer stands, but nothing may follow it.
    let doubtful =
        found.length == Length::Invalid || (found.chunked.is_some() && (found.length != Length::Unknown || !http11));
    let keep_alive = found.keep_alive && !doubtful && !found.spaced && status != 101;
    if !is_interim(status) {
        answer.take_head(status, found.retry_after);
        if doubtful {
            answer.note(AnswerNote::LengthContradicts);
        } else if found.spaced {
            answer.note(AnswerNote::HeadMalformed);
        }
    }
    Ok(Beginning::Complete(Head { len, status, body, keep_alive }))
}

/// Whether the colon comes right behind a name, as it must (RFC 9112, 5.1). `name` is a part of `bytes`.
fn follows_colon(bytes: &[u8], name: &str) -> bool {
    let at = (name.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
    bytes.get(at.wrapping_add(name.len())) == Some(&b':')
}

/// `Retry-After` in the whole lines of a head that may have no end.
fn retry_after_in(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    bytes[..end].split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let is_it = line[..colon].eq_ignore_ascii_case(b"retry-after");
        is_it.then(|| line[colon + 1..].trim_ascii())
    })
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
    /// A name is not followed by its colon at once.
    spaced: bool,
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
