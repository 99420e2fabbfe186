//! Payloads that are to be expunged, by time: `time, application number, position`. The rows are empty.

use super::key::{KeyWriter, key};
use super::{KeyKind, KeyRange};
use model::{AppId, Seq, UnixMs};

key!(ExpungeAt: (at: UnixMs, app: AppId, seq: Seq));

/// The rows that are due at `now` or earlier.
#[must_use]
pub fn due_by(now: UnixMs) -> KeyRange {
    KeyRange { start: all().start, end: KeyWriter::new(KeyKind::ExpungeAt).part(now).prefix().end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_by_a_time_ends_with_it() {
        let within = |at| due_by(UnixMs(7)).contains(&encode(UnixMs(at), AppId(u32::MAX), Seq::MAX));
        assert_eq!([0, 7, 8].map(within), [true, true, false]);
    }
}
