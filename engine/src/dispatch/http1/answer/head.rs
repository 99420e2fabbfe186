//! The head of an answer: its status, `Retry-After`, and where its body ends.
//!
//! Parsed by httparse. Lines that are no headers are skipped.

use super::{Body, MalformedAnswer};
use crate::dispatch::answer::Answer;
use crate::dispatch::http1::chunked::Chunks;
use httparse::{Header, ParserConfig, Response, Status};
use model::AnswerNote;
use std::mem::MaybeUninit;

/// Headers of an answer that are parsed without more memory.
const HEADER_COUNT: usize = 100;

/// A complete head.
pub(super) struct Head {
    pub(super) len: usize,
    pub(super) status: u16,
    pub(super) body: Body,
    pub(super) keep_alive: bool,
}

/// The beginning of an answer.
pub(super) enum Beginning {
    Complete(Head),
    Open { has_status_line: bool },
}

/// True if another answer follows this one.
pub(super) fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// A head at the beginning of `bytes`. Enters the known facts of the final head into `answer`, its status line as soon
/// as that is there.
pub(super) fn parse_head(bytes: &[u8], answer: &mut Answer) -> Result<Beginning, MalformedAnswer> {
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
                answer.trace.has_status(status);
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
    // Answers are smuggled with both a length and chunks. A length that is none is no better, nor are chunks of a
    // version that has none. The answer stands, but nothing may follow it.
    let doubtful =
        found.length == Length::Invalid || (found.chunked.is_some() && (found.length != Length::Unknown || !http11));
    let keep_alive = found.keep_alive && !doubtful && !found.spaced && status != 101;
    if !is_interim(status) {
        answer.take_head(status, found.retry_after);
        if answer.trace.has_status(status) {
            parsed.headers.iter().for_each(|header| answer.trace.header(header.name, header.value));
        }
        if doubtful {
            answer.note(AnswerNote::LengthContradicts);
        } else if found.spaced {
            answer.note(AnswerNote::HeadMalformed);
        }
    }
    Ok(Beginning::Complete(Head { len, status, body, keep_alive }))
}

/// True if the colon comes right behind a name, as it must (RFC 9112, 5.1). `name` is a part of `bytes`.
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

/// The meaning of `Content-Length`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    Unknown,
    Is(u64),
    /// No number, or several that differ.
    Invalid,
}

/// The facts that the headers state.
#[derive(Default)]
struct Found<'a> {
    length: Length,
    /// True if the last encoding is `chunked`; none when there is no encoding.
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
