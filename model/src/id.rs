//! Identities: small numbers inside, prefixed text outside.
//!
//! Inside, an application and an endpoint are 32-bit numbers given out once and never reused, and an event is a
//! sequence number within its application. Outside, every identity is a prefix and 26 characters that carry 16 bytes:
//! 48 bits of milliseconds, then the parts that are needed to find the row without an index. Text ids sort by time.
//!
//! Deliberately not random throughout: a message id *is* its position, so a lookup costs one read. The time part makes
//! an id of a previous data directory never collide with one of this.

use crate::time::UnixMs;
use std::fmt;

/// Crockford's base 32, lower case: no `i`, `l`, `o`, `u`, in ascending byte order so that text sorts as bytes do.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters of the text form of 16 bytes.
const TEXT_LEN: usize = 26;

/// 48 bits: the largest time, sequence number or salt that an id can carry.
const MAX_U48: u64 = (1 << 48) - 1;

/// The number of an application (tenant). Given out in order, from 1, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(pub u32);

/// The number of an endpoint, unique over all applications. Given out in order, from 1, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// An endpoint with its application: the key of every row about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointRef {
    /// The application that the endpoint belongs to.
    pub app: AppId,
    /// Which.
    pub endpoint: EndpointId,
}

/// The position of an event in its application's log: from 1, without gaps, below 2^48. 0 stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first event.
    pub const ZERO: Seq = Seq(0);
    /// After every event.
    pub const MAX: Seq = Seq(MAX_U48);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }

    /// The position before this one; 0 stays 0.
    #[must_use]
    pub fn previous(self) -> Seq {
        Seq(self.0.saturating_sub(1))
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The kind of thing that an id names: decides the prefix of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// `app_`: time of creation, number, salt.
    Application,
    /// `ep_`: time of creation, number, salt.
    Endpoint,
    /// `msg_`: time of acceptance, application, sequence number.
    Message,
    /// `atmpt_`: time of the attempt's start, endpoint, sequence number.
    Attempt,
    /// `qtask_`: time of creation, number, zero.
    Job,
}

impl IdKind {
    /// Every kind.
    pub const ALL: [IdKind; 5] = [IdKind::Application, IdKind::Endpoint, IdKind::Message, IdKind::Attempt, IdKind::Job];

    /// True if a text has the prefix and the length of this kind's ids: more texts than [`IdParts::from_text`] reads.
    #[must_use]
    pub fn is_shape_of(self, text: &str) -> bool {
        let digits = text.strip_prefix(self.prefix());
        digits.is_some_and(|digits| digits.len() == TEXT_LEN && digits.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    }

    /// The prefix of ids of this kind.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            IdKind::Application => "app_",
            IdKind::Endpoint => "ep_",
            IdKind::Message => "msg_",
            IdKind::Attempt => "atmpt_",
            IdKind::Job => "qtask_",
        }
    }
}

/// The 16 bytes of a text id, taken apart: the meaning of each part depends on the kind, see [`IdKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdParts {
    /// Milliseconds since the Unix epoch, below 2^48.
    pub at: UnixMs,
    /// The number of an application, endpoint or job.
    pub number: u32,
    /// A sequence number or a random salt, below 2^48.
    pub low: u64,
}

impl IdParts {
    /// The text form, e.g. `msg_01jd3k…`. Values beyond 48 bits are cut to their low 48 bits.
    #[must_use]
    pub fn to_text(self, kind: IdKind) -> String {
        let mut text = String::with_capacity(kind.prefix().len() + TEXT_LEN);
        self.append_text(kind, &mut text);
        text
    }

    /// Appends the text form to `out`.
    pub fn append_text(self, kind: IdKind, out: &mut String) {
        let mut value =
            (u128::from(self.at.0 & MAX_U48) << 80) | (u128::from(self.number) << 48) | u128::from(self.low & MAX_U48);
        let mut digits = [0; TEXT_LEN];
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET[(value & 31) as usize];
            value >>= 5;
        }
        out.push_str(kind.prefix());
        // Every digit is ASCII.
        out.push_str(std::str::from_utf8(&digits).unwrap_or_default());
    }

    /// Reads the text form back. `None` for anything that [`IdParts::to_text`] would not have written.
    #[must_use]
    pub fn from_text(kind: IdKind, text: &str) -> Option<IdParts> {
        let digits = text.strip_prefix(kind.prefix())?.as_bytes();
        if digits.len() != TEXT_LEN {
            return None;
        }
        let mut value: u128 = 0;
        for (index, byte) in digits.iter().enumerate() {
            let digit = ALPHABET.iter().position(|letter| letter == byte)?;
            // 26 digits carry 130 bits: the first may only use its lower three.
            if index == 0 && digit > 7 {
                return None;
            }
            value = (value << 5) | digit as u128;
        }
        Some(IdParts { at: UnixMs((value >> 80) as u64), number: (value >> 48) as u32, low: (value as u64) & MAX_U48 })
    }
}

/// The text id of an event, its `webhook-id`.
#[must_use]
pub fn message_id(app: AppId, seq: Seq, accepted_at: UnixMs) -> String {
    IdParts { at: accepted_at, number: app.0, low: seq.0 }.to_text(IdKind::Message)
}

/// The text id of an attempt: unique, since a delivery has one attempt at a time.
#[must_use]
pub fn attempt_id(endpoint: EndpointId, seq: Seq, started_at: UnixMs) -> String {
    IdParts { at: started_at, number: endpoint.0, low: seq.0 }.to_text(IdKind::Attempt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_id_is_a_prefix_and_26_characters() {
        let text = message_id(AppId(7), Seq(9), UnixMs(1_700_000_000_000));
        assert_eq!(text.len(), 4 + 26);
        assert!(text.starts_with("msg_"));
    }

    #[test]
    fn another_kind_a_wrong_length_and_a_foreign_letter_are_refused() {
        let text = message_id(AppId(7), Seq(9), UnixMs(1));
        assert!(IdParts::from_text(IdKind::Endpoint, &text).is_none());
        assert!(IdParts::from_text(IdKind::Message, &text[..text.len() - 1]).is_none());
        assert!(IdParts::from_text(IdKind::Message, &text.replace('0', "u")).is_none());
        assert!(IdParts::from_text(IdKind::Message, "msg_zzzzzzzzzzzzzzzzzzzzzzzzzz").is_none());
    }

    proptest! {
        #[test]
        fn text_round_trips_and_sorts_by_time(at in 0..=MAX_U48, number: u32, low in 0..=MAX_U48, at2 in 0..=MAX_U48) {
            let parts = IdParts { at: UnixMs(at), number, low };
            let text = parts.to_text(IdKind::Message);
            prop_assert_eq!(IdParts::from_text(IdKind::Message, &text), Some(parts));
            let other = IdParts { at: UnixMs(at2), number, low };
            prop_assert_eq!(text.cmp(&other.to_text(IdKind::Message)), at.cmp(&at2));
        }
    }
}
