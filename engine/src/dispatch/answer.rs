//! An answer as far as it came, and the reasons why there is no whole one.
//!
//! A status counts once it is there: a failure behind it is a note. Pure, and the same for every version of HTTP; the
//! bytes of an answer are not read here.

use super::connect::DialError;
use super::details::Trace;
use super::lack::Lack;
use bytes::Bytes;
use model::{AnswerNote, OutcomeClass};
use std::error::Error as StdError;

/// Longest error in words, in bytes: some of it can come from the peer.
const WORDS_LEN_MAX: usize = 256;
/// Longest `Retry-After` that is looked at: a date has 29 bytes.
const RETRY_AFTER_LEN_MAX: usize = 64;

/// An answer as far as it came.
#[derive(Debug)]
pub(super) struct Answer {
    /// 0 before there is one.
    pub(super) status: u16,
    pub(super) retry_after: Option<Bytes>,
    /// The start of the body.
    pub(super) kept: Vec<u8>,
    /// Its first defect.
    pub(super) note: Option<AnswerNote>,
    /// How the attempt went.
    pub(super) trace: Trace,
    kept_len_max: usize,
    read_len_left: usize,
}

impl Answer {
    /// Nothing yet. Of the body so much is kept, and so much is read before the connection is closed instead.
    pub(super) fn new(kept_len_max: usize, read_len_max: usize, trace: Trace) -> Answer {
        let (kept, read_len_left) = (Vec::new(), read_len_max);
        Answer { status: 0, retry_after: None, kept, note: None, trace, kept_len_max, read_len_left }
    }

    /// Something is wrong with it.
    pub(super) fn note(&mut self, note: AnswerNote) {
        self.note.get_or_insert(note);
    }

    /// The head came, or as much of it as says this.
    pub(super) fn take_head(&mut self, status: u16, retry_after: Option<&[u8]>) {
        self.status = status;
        // Copied: it shares a buffer with the rest of the head.
        self.retry_after = retry_after.filter(|value| value.len() <= RETRY_AFTER_LEN_MAX).map(Bytes::copy_from_slice);
    }

    /// Some of the body came, which took so many bytes on its way. `false` when no more is to be read.
    pub(super) fn take_body(&mut self, data: &[u8], wire_len: usize) -> bool {
        let room = self.kept_len_max.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
        self.read_len_left = self.read_len_left.saturating_sub(wire_len);
        self.read_len_left > 0
    }

    /// The failure, unless the status counts: then that is noted.
    pub(super) fn or_failure(&mut self, failure: Failure) -> Option<Failure> {
        if self.status == 0 {
            return Some(failure);
        }
        self.note(match failure.outcome {
            OutcomeClass::Timeout => AnswerNote::TooLate,
            _ => AnswerNote::BrokenOff,
        });
        None
    }
}

/// Why there is no complete answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) outcome: OutcomeClass,
    text: String,
    /// Set when the failure is ours alone.
    pub(super) lack: Option<Lack>,
}

impl Failure {
    /// The deadline has passed.
    pub(super) fn too_late(timeout_ms: u32) -> Failure {
        let text = format!("no answer within {timeout_ms} ms");
        Failure { outcome: OutcomeClass::Timeout, text, lack: None }
    }

    /// There is no connection.
    pub(super) fn of_dial(error: &DialError) -> Failure {
        let outcome = match error {
            DialError::Refused(_) | DialError::RefusedPort(_) => OutcomeClass::Refused,
            DialError::Dns(_) => OutcomeClass::DnsError,
            DialError::Connect(_) | DialError::Proxy(_) | DialError::TooManyConnections => OutcomeClass::ConnectError,
            DialError::Timeout => OutcomeClass::Timeout,
            DialError::Tls(_) => OutcomeClass::TlsError,
            DialError::Http2(error) => return Failure::of_transport(error),
            DialError::NoHost => OutcomeClass::InternalError,
        };
        Failure { outcome, text: error.to_string(), lack: Lack::behind(error) }
    }

    /// The connection failed. The innermost cause says most: the library's words and the system's, neither of which
    /// know our headers or URL.
    pub(super) fn of_transport(error: &(dyn StdError + 'static)) -> Failure {
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let text = format!("the connection failed: {cause}");
        Failure { outcome: OutcomeClass::TransportError, text, lack: None }
    }

    /// The words for the history: the receiver by host and port only, since path and query may hold tokens.
    pub(super) fn words(self, host_and_port: &str) -> Vec<u8> {
        let mut words = format!("{host_and_port}: {}", self.text);
        words.truncate(words.floor_char_boundary(host_and_port.len() + WORDS_LEN_MAX));
        words.into_bytes()
    }
}
