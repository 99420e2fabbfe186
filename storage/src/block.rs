//! The layout of a block: several records in one value, guarded by a checksum.
//!
//! ```text
//! block   = crc32c (4 bytes LE, over all that follows) · version (1 byte) · record*
//! record  = header (bincode) · payload bytes, when the payload is inline
//! ```
//!
//! One value per event would cost one tree entry each; blocks cut that by the number of small events in a commit. The
//! checksum covers what the tree below does not promise to check. Deliberately knows only bytes of events: which block
//! holds what is for [`crate::tables::log`].

use crate::store::{MAX_VALUE_BYTES, StoreError};
use bincode::{Decode, Encode};
use bytes::{Bytes, BytesMut};
use model::{AppId, EndpointId, Event, EventMore, Seq, UnixMs};
use std::sync::Arc;

/// Layout of a block of events that have nothing more than others. Persisted: never reuse a number.
const VERSION: u8 = 1;

/// Layout of a block in which an event has more: see [`Place::More`].
const VERSION_WITH_MORE: u8 = 2;

/// Checksum and version.
const LEAD_BYTES: usize = 5;

/// More records than a block can hold: each is at least 8 bytes, payload and all.
pub const RECORDS_MAX: u64 = (MAX_VALUE_BYTES / 8) as u64;

/// Payload bytes of one chunk row; its checksum takes the rest.
pub const CHUNK_BYTES: usize = MAX_VALUE_BYTES - 4;

/// What precedes a payload in a block.
#[derive(Debug, Encode, Decode)]
struct Header {
    seq: Seq,
    accepted_at: UnixMs,
    event_type: String,
    event_id: Option<String>,
    channels: Vec<String>,
    only_for: Option<EndpointId>,
    payload: Place,
}

/// Where a payload is, and what else its event has. The first two are what version 1 knows, byte for byte: an event that
/// has nothing more takes no byte more.
#[derive(Debug, Encode, Decode)]
enum Place {
    Inline { length: u32 },
    Chunked { length: u32, chunks: u16 },
    More { at: PayloadAt, more: EventMore },
}

/// Where a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum PayloadAt {
    /// The next `length` bytes of the block.
    Inline {
        /// Bytes.
        length: u32,
    },
    /// In chunk rows of its own.
    Chunked {
        /// Bytes in all.
        length: u32,
        /// Rows.
        chunks: u16,
    },
}

/// A record read from a block; its payload is empty when it is chunked.
#[derive(Debug, PartialEq, Eq)]
pub struct BlockRecord {
    /// The event, complete but for a chunked payload.
    pub event: Event,
    /// Where its payload is.
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
    /// does not fit inline is entered as chunked, and the caller writes the chunks. The block is then over the largest
    /// value only when [`header_bytes_max`] of that event is.
    pub fn push(&mut self, event: &Event) -> Option<PayloadAt> {
        let length = event.payload.len() as u32;
        let mut payload_at = PayloadAt::Inline { length };
        self.encode_header(event, payload_at);
        if LEAD_BYTES + self.scratch.len() + event.payload.len() > MAX_VALUE_BYTES {
            let chunks = event.payload.len().div_ceil(CHUNK_BYTES) as u16;
            payload_at = PayloadAt::Chunked { length, chunks };
            self.encode_header(event, payload_at);
        }
        self.push_encoded(event, payload_at)
    }

    /// Adds a record as it was read: a chunked payload stays in the chunks that it has.
    pub fn push_record(&mut self, record: &BlockRecord) -> Option<PayloadAt> {
        self.encode_header(&record.event, record.payload_at);
        self.push_encoded(&record.event, record.payload_at)
    }

    /// Adds an event whose header is in `scratch`.
    fn push_encoded(&mut self, event: &Event, payload_at: PayloadAt) -> Option<PayloadAt> {
        let inline = if matches!(payload_at, PayloadAt::Inline { .. }) { event.payload.len() } else { 0 };
        let so_far = self.bytes.len().max(LEAD_BYTES);
        if self.first.is_some() && so_far + self.scratch.len() + inline > MAX_VALUE_BYTES {
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
        let header = Header {
            seq: event.seq,
            accepted_at: event.accepted_at,
            event_type: event.event_type.as_ref().to_owned(),
            event_id: event.event_id.as_deref().map(str::to_owned),
            channels: event.channels.iter().map(|channel| channel.as_ref().to_owned()).collect(),
            only_for: event.only_for,
            payload: Place::of(payload, event.more.as_deref()),
        };
        self.scratch.clear();
        let encoded = bincode::encode_into_std_write(&header, &mut self.scratch, bincode::config::standard());
        debug_assert!(encoded.is_ok(), "encoding into memory cannot fail");
    }
}

impl Place {
    fn of(at: PayloadAt, more: Option<&EventMore>) -> Place {
        match (at, more) {
            (at, Some(more)) => Place::More { at, more: more.clone() },
            (PayloadAt::Inline { length }, None) => Place::Inline { length },
            (PayloadAt::Chunked { length, chunks }, None) => Place::Chunked { length, chunks },
        }
    }

    fn split(self) -> (PayloadAt, Option<Arc<EventMore>>) {
        match self {
            Place::Inline { length } => (PayloadAt::Inline { length }, None),
            Place::Chunked { length, chunks } => (PayloadAt::Chunked { length, chunks }, None),
            Place::More { at, more } => (at, Some(Arc::new(more))),
        }
    }
}

/// An upper bound of what an event with these texts takes in a block beyond its payload, the block's own lead included.
pub fn header_bytes_max(
    event_type: &str,
    event_id: Option<&str>,
    channels: &[String],
    more: Option<(&[String], Option<&str>)>,
) -> usize {
    // The longest length prefix or number takes 9 bytes; there are 8 of fixed place, and a tag here and there.
    const FIXED: usize = LEAD_BYTES + 8 * 9 + 3;
    let channels: usize = channels.iter().map(|channel| channel.len() + 9).sum();
    // Beside the texts: a tag, the time of the expunge and two lengths.
    let more = more.map_or(0, |(tags, content_type)| {
        let tags: usize = tags.iter().map(|tag| tag.len() + 9).sum();
        4 * 9 + tags + content_type.unwrap_or_default().len()
    });
    FIXED + event_type.len() + event_id.unwrap_or_default().len() + channels + more
}

/// Reads every record of a block. Payloads share the block's memory.
///
/// # Errors
/// [`StoreError::CorruptRow`] when the checksum does not match or a record does not decode.
pub fn read(app: AppId, block: &Bytes) -> Result<Vec<BlockRecord>, StoreError> {
    let mut records = Vec::new();
    let mut at = check(block)?;
    while at < block.len() {
        let (header, read): (Header, usize) = bincode::decode_from_slice(
            &block[at..],
            bincode::config::standard().with_limit::<{ MAX_VALUE_BYTES * 4 }>(),
        )
        .map_err(|error| corrupt(error.to_string()))?;
        at += read;
        let (payload_at, more) = header.payload.split();
        let payload = match payload_at {
            PayloadAt::Inline { length } => {
                let end = at + length as usize;
                if end > block.len() {
                    return Err(corrupt("a payload reaches beyond its block".to_owned()));
                }
                let payload = block.slice(at..end);
                at = end;
                payload
            }
            PayloadAt::Chunked { .. } => Bytes::new(),
        };
        records.push(BlockRecord {
            payload_at,
            event: Event {
                app,
                seq: header.seq,
                accepted_at: header.accepted_at,
                event_type: Arc::from(header.event_type),
                event_id: header.event_id.map(Arc::from),
                channels: header.channels.into_iter().map(Arc::from).collect(),
                only_for: header.only_for,
                more,
                payload,
            },
        });
    }
    Ok(records)
}

/// Checks checksum and version; answers where the records start.
fn check(block: &[u8]) -> Result<usize, StoreError> {
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
    Ok(LEAD_BYTES)
}

/// A chunk row: checksum, then bytes.
pub fn encode_chunk(bytes: &[u8]) -> Bytes {
    let mut row = Vec::with_capacity(4 + bytes.len());
    row.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
    row.extend_from_slice(bytes);
    Bytes::from(row)
}

/// The bytes of a chunk row.
///
/// # Errors
/// [`StoreError::CorruptRow`] when the checksum does not match.
pub fn decode_chunk(row: &Bytes) -> Result<Bytes, StoreError> {
    if row.len() < 4 || crc32c::crc32c(&row[4..]).to_le_bytes() != row[..4] {
        return Err(StoreError::CorruptRow { kind: "chunk", detail: "the checksum does not match".to_owned() });
    }
    Ok(row.slice(4..))
}

fn corrupt(detail: String) -> StoreError {
    StoreError::CorruptRow { kind: "event", detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(seq: u64, payload: Vec<u8>) -> Event {
        Event {
            app: AppId(1),
            seq: Seq(seq),
            accepted_at: UnixMs(1_000 + seq),
            event_type: Arc::from("invoice.paid"),
            event_id: seq.is_multiple_of(2).then(|| Arc::from("e1")),
            channels: vec![Arc::from("c")],
            only_for: None,
            more: seq.is_multiple_of(3).then(|| Arc::new(more(seq))),
            payload: Bytes::from(payload),
        }
    }

    fn more(seq: u64) -> EventMore {
        EventMore { tags: vec!["t".repeat(seq as usize % 50)], content_type: None, expunge_at: Some(UnixMs(seq)) }
    }

    #[test]
    fn an_event_that_has_nothing_more_is_written_as_by_version_1() {
        // Taken from that version: checksum, version, then a record.
        let mut builder = BlockBuilder::new();
        builder.push(&event(1, b"{}".to_vec())).unwrap();
        let (_, block) = builder.finish().unwrap();
        let record = b"\x01\x01\xfb\xe9\x03\x0cinvoice.paid\x00\x01\x01c\x00\x00\x02{}";
        assert_eq!(block[4..], *record);
        builder.push(&event(3, b"{}".to_vec())).unwrap();
        assert_eq!(builder.finish().unwrap().1[4], VERSION_WITH_MORE);
        builder.push(&event(1, b"{}".to_vec())).unwrap();
        assert_eq!(builder.finish().unwrap().1, block, "the next block is of version 1 again");
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let mut builder = BlockBuilder::new();
        builder.push(&event(1, vec![7; 40])).unwrap();
        let (_, block) = builder.finish().unwrap();
        for index in 0..block.len() {
            let mut bytes = block.to_vec();
            bytes[index] ^= 1;
            assert!(read(AppId(1), &Bytes::from(bytes)).is_err(), "byte {index}");
        }
    }

    #[test]
    fn a_payload_that_fits_no_block_is_chunked() {
        let mut builder = BlockBuilder::new();
        let at = builder.push(&event(1, vec![7; 20_000])).unwrap();
        assert_eq!(at, PayloadAt::Chunked { length: 20_000, chunks: 3 });
        assert!(builder.finish().unwrap().1.len() < 200);
    }

    proptest! {
        #[test]
        fn no_header_is_longer_than_said(
            event_type in "[a-z.]{0,300}",
            event_id in proptest::option::of("[a-z]{0,300}"),
            channels in proptest::collection::vec("[a-z]{0,300}", 0..6),
            seq in 0..=Seq::MAX.0,
            payload in 0usize..40_000,
            tags in proptest::option::of(proptest::collection::vec("[a-z]{0,300}", 0..6)),
            content_type in proptest::option::of("[a-z/]{0,300}"),
        ) {
            let mut event = Event { accepted_at: UnixMs(u64::MAX), ..event(1, vec![7; payload]) };
            event.seq = Seq(seq);
            event.event_type = Arc::from(event_type.as_str());
            event.event_id = event_id.as_deref().map(Arc::from);
            event.channels = channels.iter().map(|channel| Arc::from(channel.as_str())).collect();
            event.only_for = Some(EndpointId(u32::MAX));
            let expunge_at = Some(UnixMs(u64::MAX));
            event.more = tags.clone().map(|tags| {
                Arc::new(EventMore { tags, content_type: content_type.clone(), expunge_at })
            });
            let mut builder = BlockBuilder::new();
            let inline = match builder.push(&event).unwrap() {
                PayloadAt::Inline { length } => length as usize,
                PayloadAt::Chunked { .. } => 0,
            };
            let block = builder.finish().unwrap().1;
            prop_assert!(block.len() - inline <= header_bytes_max(
                &event_type,
                event_id.as_deref(),
                &channels,
                tags.as_deref().map(|tags| (tags, content_type.as_deref())),
            ));
        }

        #[test]
        fn blocks_round_trip_and_never_exceed_the_largest_value(sizes in proptest::collection::vec(0usize..9_000, 1..30)) {
            let events: Vec<Event> = sizes.iter().enumerate().map(|(i, n)| event(i as u64 + 1, vec![i as u8; *n])).collect();
            let mut builder = BlockBuilder::new();
            let mut blocks = Vec::new();
            for event in &events {
                if builder.push(event).is_none() {
                    blocks.extend(builder.finish());
                    prop_assert!(builder.push(event).is_some());
                }
            }
            blocks.extend(builder.finish());
            let mut seen = Vec::new();
            for (first, block) in blocks {
                prop_assert!(block.len() <= MAX_VALUE_BYTES);
                let records = read(AppId(1), &block).unwrap();
                prop_assert_eq!(records[0].event.seq, first);
                seen.extend(records);
            }
            prop_assert_eq!(seen.len(), events.len());
            for (record, event) in seen.iter().zip(&events) {
                match record.payload_at {
                    PayloadAt::Inline { .. } => prop_assert_eq!(&record.event, event),
                    PayloadAt::Chunked { length, .. } => prop_assert_eq!(length as usize, event.payload.len()),
                }
            }
        }
    }
}
