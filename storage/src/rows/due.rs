//! Deliveries that wait, by due time: `application number, endpoint number, due time, position`. A value is at most a
//! letter: what kind of attempt waits, so that the engine knows it without the delivery's row.

use super::key::{KeyWriter, key};
use super::{KeyKind, KeyRange};
use bytes::Bytes;
use model::{EndpointRef, Seq, UnixMs, Urgency};

key!(Due: (target: EndpointRef, due: UnixMs, seq: Seq));

const RETRY: &[u8] = b"";
const FIRST: &[u8] = b"f";
const MANUAL: &[u8] = b"m";

/// The value of a row.
#[must_use]
pub fn to_value(urgency: Urgency) -> Bytes {
    Bytes::from_static(match urgency {
        Urgency::Retry => RETRY,
        Urgency::First => FIRST,
        Urgency::Manual => MANUAL,
    })
}

/// Reads a value back. One that is damaged counts as a retry, which waits for the most.
#[must_use]
pub fn from_value(value: &[u8]) -> Urgency {
    match value {
        FIRST => Urgency::First,
        MANUAL => Urgency::Manual,
        _ => Urgency::Retry,
    }
}

/// The rows of one endpoint that are due at `now` or earlier.
#[must_use]
pub fn due_by(target: EndpointRef, now: UnixMs) -> KeyRange {
    let last = KeyWriter::new(KeyKind::Due).part(target).part(now).prefix();
    KeyRange { start: of_endpoint(target).start, end: last.end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppId, EndpointId};

    #[test]
    fn due_by_ends_after_the_last_row_of_its_millisecond() {
        let target = EndpointRef { app: AppId(1), endpoint: EndpointId(2) };
        let range = due_by(target, UnixMs(500));
        assert!(range.contains(&encode(target, UnixMs(0), Seq(9))));
        assert!(range.contains(&encode(target, UnixMs(500), Seq(u64::MAX))));
        assert!(!range.contains(&encode(target, UnixMs(501), Seq(0))));
        assert_eq!(due_by(target, UnixMs(u64::MAX)), of_endpoint(target));
    }

    #[test]
    fn a_value_says_what_waits() {
        for urgency in [Urgency::Retry, Urgency::First, Urgency::Manual] {
            assert_eq!(from_value(&to_value(urgency)), urgency);
        }
    }
}
