//! The layout of a block: several records in one value, guarded by a checksum.
//!
//! ```text
//! block   = crc32c (4 bytes LE, over all that follows) · version (1 byte) · record*
//! record  = header · payload bytes, when the payload is inline
//! header  = position · time · type · event id · channels · only-for endpoint · where the payload is
//! ```
//!
//! One value per event would cost one tree entry each; blocks cut that by the number of small events in a commit. The
//! checksum covers what the tree below does not promise to check. This module knows only the bytes of events:
//! [`crate::tables::log`] decides which block holds which.

use crate::rows::KeyKind;
use crate::rows::value::{Field, Malformed, Reader, fields, variants};
use crate::store::{INLINE_MAX_BYTES, StoreError};
use bytes::{Bytes, BytesMut};
use model::{AppId, Event, EventMore, Seq};
use std::sync::Arc;

/// Layout of a block of events that have nothing more than others. Persisted: never reuse a number.
const VERSION: u8 = 1;

/// Layout of a block in which an event has more: see [`MORE`]. Of version 2 are those in which fewer fields are more.
const VERSION_WITH_MORE: u8 = 3;

/// Checksum and version.
const LEAD_BYTES: usize = 5;

/// More records than a block can hold: each is at least 8 bytes, payload and all.
pub const RECORDS_MAX: u64 = (INLINE_MAX_BYTES / 8) as u64;

/// The place of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadAt {
    /// The next `length` bytes of the block.
    Inline {
        /// Bytes.
        length: u32,
    },
    /// In a row of its own.
    Separate {
        /// Bytes.
        length: u32,
    },
}

variants!(PayloadAt { 0 = Inline { length }, 1 = Separate { length } });

/// Stands before [`PayloadAt`] when the event has more fields; these stand behind. So an event without them takes no
/// byte more. Persisted: no variant of `PayloadAt` has this number.
const MORE: u8 = 2;

fields!(EventMore {
    tags,
    content_type,
    expunge_at,
    ordering_key since 3,
    deliver_at since 3,
    expires_at since 3,
});

/// A record read from a block; its payload is empty when it is apart.
#[derive(Debug, PartialEq, Eq)]
pub struct BlockRecord {
    /// The event, complete but for a payload that is apart.
    pub event: Event,
    /// The place of its payload.
    pub payload_at: PayloadAt,
}

/// Collects records until the next one does not fit.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    bytes: BytesMut,
    first: Option<Seq>,
    has_more: bool,
    scratch: Vec<u8>,
}

impl BlockBuilder {
    /// Nothing so far.
    #[must_use]
    pub fn new() -> BlockBuilder {
        BlockBuilder::default()
    }

    /// Adds an event, unless it does not fit behind what is there. An empty builder takes any event: one whose payload
    /// does not fit inline is entered as apart, and the caller writes its row. The block is then over the largest
    /// value only when [`header_bytes_max`] of that event is.
    pub fn push(&mut self, event: &Event) -> Option<PayloadAt> {
        let length = event.payload.len() as u32;
        let mut payload_at = PayloadAt::Inline { length };
        self.encode_header(event, payload_at);
        if !event.payload.is_empty() && LEAD_BYTES + self.scratch.len() + event.payload.len() > INLINE_MAX_BYTES {
            payload_at = PayloadAt::Separate { length };
            self.encode_header(event, payload_at);
        }
        self.push_encoded(event, payload_at)
    }

    /// Adds a record as it was read: a payload that is apart stays where it is.
    pub fn push_record(&mut self, record: &BlockRecord) -> Option<PayloadAt> {
        self.encode_header(&record.event, record.payload_at);
        self.push_encoded(&record.event, record.payload_at)
    }

    /// Adds an event whose header is in `scratch`.
    fn push_encoded(&mut self, event: &Event, payload_at: PayloadAt) -> Option<PayloadAt> {
        let inline = if matches!(payload_at, PayloadAt::Inline { .. }) { event.payload.len() } else { 0 };
        let so_far = self.bytes.len().max(LEAD_BYTES);
        if self.first.is_some() && so_far + self.scratch.len() + inline > INLINE_MAX_BYTES {
            return None;
        }
        if self.first.is_none() {
            self.first = Some(event.seq);
            self.bytes.reserve(LEAD_BYTES + self.scratch.len() + inline);
            self.bytes.extend_from_slice(&[0, 0, 0, 0, VERSION]);
        }
        self.bytes.extend_from_slice(&self.scratch);
        self.has_more |= event.more.is_some();
        if inline > 0 {
            self.bytes.extend_from_slice(&event.payload);
        }
        Some(payload_at)
    }

    /// The finished block with its first position, if anything was pushed; the builder is empty again.
    pub fn finish(&mut self) -> Option<(Seq, Bytes)> {
        let first = self.first.take()?;
        let mut bytes = self.bytes.split();
        if std::mem::take(&mut self.has_more) {
            bytes[4] = VERSION_WITH_MORE;
        }
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        Some((first, bytes.freeze()))
    }

    fn encode_header(&mut self, event: &Event, payload: PayloadAt) {
        let out = &mut self.scratch;
        out.clear();
        event.seq.put(out);
        event.accepted_at.put(out);
        event.event_type.put(out);
        event.event_id.put(out);
        event.channels.put(out);
        event.only_for.put(out);
        match event.more.as_deref() {
            None => payload.put(out),
            Some(more) => {
                out.push(MORE);
                payload.put(out);
                more.put(out);
            }
        }
    }
}

/// Reads a header: the event without its payload, and the payload's place.
fn take_header(app: AppId, from: &mut Reader<'_>) -> Result<BlockRecord, Malformed> {
    let mut event = Event {
        app,
        seq: Field::take(from)?,
        accepted_at: Field::take(from)?,
        event_type: Field::take(from)?,
        event_id: Field::take(from)?,
        channels: Field::take(from)?,
        only_for: Field::take(from)?,
        more: None,
        payload: Bytes::new(),
    };
    let payload_at = if from.rest().first() == Some(&MORE) {
        from.byte()?;
        let payload_at = Field::take(from)?;
        event.more = Some(Arc::new(EventMore::take(from)?));
        payload_at
    } else {
        Field::take(from)?
    };
    Ok(BlockRecord { event, payload_at })
}

/// An upper bound of the bytes that an event with these texts takes in a block beyond its payload, the block's own lead
/// included.
pub fn header_bytes_max(
    event_type: &str,
    event_id: Option<&str>,
    channels: &[String],
    more: Option<(&[String], Option<&str>, Option<&str>)>,
) -> usize {
    // The longest length prefix or number takes 9 bytes; there are 8 of fixed place, and a tag here and there.
    const FIXED: usize = LEAD_BYTES + 8 * 9 + 3;
    let channels: usize = channels.iter().map(|channel| channel.len() + 9).sum();
    // Beside the texts: tags, three times and three lengths.
    let more = more.map_or(0, |(tags, content_type, ordering_key)| {
        let tags: usize = tags.iter().map(|tag| tag.len() + 9).sum();
        7 * 9 + tags + content_type.unwrap_or_default().len() + ordering_key.unwrap_or_default().len()
    });
    FIXED + event_type.len() + event_id.unwrap_or_default().len() + channels + more
}

/// Reads every record of a block. Payloads share the block's memory.
///
/// # Errors
/// [`StoreError::CorruptRow`] when the checksum does not match or a record does not decode.
pub fn read(app: AppId, block: &Bytes) -> Result<Vec<BlockRecord>, StoreError> {
    let mut records = Vec::new();
    let (version, mut at) = check(block)?;
    while at < block.len() {
        let mut reader = Reader::new(version, &block[at..]);
        let mut record = take_header(app, &mut reader).map_err(|error| corrupt(error.to_string()))?;
        at = block.len() - reader.rest().len();
        if let PayloadAt::Inline { length } = record.payload_at {
            let end = at + length as usize;
            if end > block.len() {
                return Err(corrupt("a payload reaches beyond its block".to_owned()));
            }
            record.event.payload = block.slice(at..end);
            at = end;
        }
        records.push(record);
    }
    Ok(records)
}

/// Checks checksum and version; answers the version, and the offset at which the records start.
fn check(block: &[u8]) -> Result<(u8, usize), StoreError> {
    if block.len() < LEAD_BYTES {
        return Err(corrupt(format!("{} bytes are no block", block.len())));
    }
    let (lead, rest) = block.split_at(4);
    if crc32c::crc32c(rest).to_le_bytes() != lead {
        return Err(corrupt("the checksum does not match".to_owned()));
    }
    if !(VERSION..=VERSION_WITH_MORE).contains(&rest[0]) {
        return Err(corrupt(format!("written by block version {}, this is {VERSION_WITH_MORE}", rest[0])));
    }
    Ok((rest[0], LEAD_BYTES))
}

/// A payload in a row of its own: checksum, then bytes.
pub fn encode_payload(bytes: &[u8]) -> Bytes {
    let mut row = Vec::with_capacity(4 + bytes.len());
    row.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
    row.extend_from_slice(bytes);
    Bytes::from(row)
}

/// The payload of a row that [`encode_payload`] made.
///
/// # Errors
/// [`StoreError::CorruptRow`] when the checksum does not match.
pub fn decode_payload(row: &Bytes) -> Result<Bytes, StoreError> {
    if row.len() < 4 || crc32c::crc32c(&row[4..]).to_le_bytes() != row[..4] {
        return Err(StoreError::CorruptRow { kind: "payload", detail: "the checksum does not match".to_owned() });
    }
    Ok(row.slice(4..))
}

fn corrupt(detail: String) -> StoreError {
    StoreError::CorruptRow { kind: KeyKind::Event.name(), detail }
}

#[cfg(test)]
mod tests;
