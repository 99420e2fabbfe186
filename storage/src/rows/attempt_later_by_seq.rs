//! The index of further attempts by event: `application number, endpoint number, position, start`. The rows are empty.

use super::key::{KeyWriter, key};
use super::{KeyKind, KeyRange};
use model::{EndpointRef, Seq, UnixMs};

key!(AttemptLaterBySeq: (target: EndpointRef, seq: Seq, started_at: UnixMs));

/// The rows of one delivery.
#[must_use]
pub fn of_delivery(target: EndpointRef, seq: Seq) -> KeyRange {
    KeyWriter::new(KeyKind::AttemptLaterBySeq).part(target).part(seq).prefix()
}
