//! A run: first attempts of one endpoint, settled together, packed into one value.
//!
//! # Layout
//!
//! A delivery on the happy path leaves nothing behind but its record here, so records are small: about 10 bytes for a
//! success. They ascend by position, each given as the difference from the one before.
//!
//! ```text
//! offset  bytes
//! 0       4      CRC-32C of all bytes that follow, little-endian
//! 4       1      layout version: 2 when a record has details, else 1
//! 5       2      number of records, little-endian
//! 7       ...    records
//!
//! record: 1 byte flags (1: asked for by hand, 2: a next attempt is due, 4: a note, 16: details, 8: another URL
//! of the endpoint than the record before, the first: than URL 0) · 1 byte outcome · varint position, less that of
//! the record before (the first: from 0) · signed varint start, less that of the record before (the first: from 0) ·
//! varint duration · varint attempt · varint status · [signed varint next attempt, less the start] · [1 byte note] ·
//! [varint number of the URL] · varint length of the response · the response · [details, as fields of a row]
//! ```
//!
//! A varint has seven bits to a byte, lowest first, the top bit set on all but the last (LEB128). A signed one is
//! folded first so that small negative numbers stay short: 0, -1, 1, -2 become 0, 1, 2, 3 ("zigzag"). Differences of
//! times wrap around 2^64, so that no pair of times is too far apart.
//!
//! Limits: a value is at most [`INLINE_MAX_BYTES`] long, and a run spans fewer than [`MAX_SPAN`] positions. So a lookup
//! of a position knows which keys can hold it. [`MAX_SPAN`] may grow one day but never shrink: rows written under the
//! larger one would not be found.
//!
//! It knows nothing of keys and stores.

#[cfg(test)]
pub(crate) mod tests;

use crate::rows::KeyKind;
use crate::rows::value::{Field, Reader};
use crate::store::{INLINE_MAX_BYTES, StoreError};
use bytes::Bytes;
use model::{AnswerNote, AttemptDetails, AttemptRecord, OutcomeClass, Seq, Trigger, UnixMs};

/// The positions that one run may span. Large enough that runs of an endpoint that gets one event in a hundred still
/// hold ten records, small enough that a lookup reads 1024 values at the very worst.
pub(crate) const MAX_SPAN: u64 = 1024;

/// The longest response that a record keeps: with everything else it then fits a value of its own.
pub(crate) const MAX_RESPONSE_BYTES: usize = INLINE_MAX_BYTES - 128;

/// Details that are longer are left out. The engine keeps to less.
const MAX_DETAILS_BYTES: usize = 3 * 1024;

const VERSION: u8 = 1;
/// Of a run with a record that has details.
const VERSION_WITH_DETAILS: u8 = 2;
const CRC_BYTES: usize = 4;
const HEADER_BYTES: usize = CRC_BYTES + 3;

/// Room for a few records more in the buffer of a run that is gone on with.
const ROOM_BYTES: usize = 64;

const FLAG_MANUAL: u8 = 1;
const FLAG_NEXT: u8 = 2;
const FLAG_NOTE: u8 = 4;
const FLAG_URL: u8 = 8;
const FLAG_DETAILS: u8 = 16;

/// The values from which the next record is packed as differences.
#[derive(Clone, Copy)]
struct Previous {
    seq: Seq,
    started_at: UnixMs,
    url_number: u32,
}

impl Previous {
    /// The values from which the first record is packed.
    const NONE: Previous = Previous { seq: Seq::ZERO, started_at: UnixMs::ZERO, url_number: 0 };

    fn of(record: &AttemptRecord) -> Previous {
        Previous { seq: record.seq, started_at: record.started_at, url_number: record.url_number }
    }
}

/// Packs records until one does not fit.
pub(crate) struct RunBuilder {
    bytes: Vec<u8>,
    first: Seq,
    previous: Previous,
    count: u16,
    has_details: bool,
}

impl RunBuilder {
    /// A run that begins at the position `first`.
    pub(crate) fn new(first: Seq) -> RunBuilder {
        let mut bytes = Vec::with_capacity(512);
        bytes.resize(HEADER_BYTES, 0);
        RunBuilder { bytes, first, previous: Previous::NONE, count: 0, has_details: false }
    }

    /// Goes on with a run that begins at the position `first`, behind its last record. `None` when it is damaged or empty.
    pub(crate) fn resume(first: Seq, run: &[u8]) -> Option<RunBuilder> {
        let (version, count, mut rest) = check(run).ok()?;
        let mut previous = Previous::NONE;
        for _ in 0..count {
            previous = Previous::of(&read_record(&mut rest, previous, version)?.0);
        }
        if count == 0 || !rest.is_empty() {
            return None;
        }
        let mut bytes = Vec::with_capacity(run.len() + ROOM_BYTES);
        bytes.extend_from_slice(run);
        let has_details = version >= VERSION_WITH_DETAILS;
        Some(RunBuilder { bytes, first, previous, count, has_details })
    }

    /// The position of the last record; 0 before the first.
    pub(crate) fn last(&self) -> Seq {
        self.previous.seq
    }

    /// Adds a record, or says `false` and is as before. Positions ascend; a response is already cut, so that the first
    /// record of a run always fits.
    pub(crate) fn push(&mut self, record: &AttemptRecord) -> bool {
        debug_assert!(record.seq >= self.first && record.response.len() <= MAX_RESPONSE_BYTES);
        debug_assert!(self.count == 0 || record.seq > self.previous.seq, "positions ascend");
        if record.seq.0 - self.first.0 >= MAX_SPAN || self.count == u16::MAX {
            return false;
        }
        let before = self.bytes.len();
        write_record(&mut self.bytes, self.previous, record);
        if self.bytes.len() > INLINE_MAX_BYTES {
            debug_assert!(self.count > 0, "one record always fits");
            self.bytes.truncate(before);
            return false;
        }
        self.previous = Previous::of(record);
        self.count += 1;
        self.has_details |= record.details.is_some();
        true
    }

    /// The value.
    pub(crate) fn finish(mut self) -> Bytes {
        self.bytes[CRC_BYTES] = if self.has_details { VERSION_WITH_DETAILS } else { VERSION };
        self.bytes[CRC_BYTES + 1..HEADER_BYTES].copy_from_slice(&self.count.to_le_bytes());
        let crc = crc32c::crc32c(&self.bytes[CRC_BYTES..]);
        self.bytes[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
        Bytes::from(self.bytes)
    }
}

/// Takes a run apart: its records by ascending position.
pub(crate) fn decode(value: &[u8]) -> Result<Vec<AttemptRecord>, StoreError> {
    let (version, count, mut rest) = check(value)?;
    let mut records: Vec<AttemptRecord> = Vec::new();
    let mut previous = Previous::NONE;
    for _ in 0..count {
        let (record, response) =
            read_record(&mut rest, previous, version).ok_or_else(|| corrupt("a record does not decode"))?;
        previous = Previous::of(&record);
        records.push(AttemptRecord { response: response.to_vec(), ..record });
    }
    if rest.is_empty() { Ok(records) } else { Err(corrupt("bytes left over")) }
}

/// Checks the sum and the version of a run. Gives the version, how many records it says that it has, and their bytes.
fn check(value: &[u8]) -> Result<(u8, u16, &[u8]), StoreError> {
    let (crc, covered) = value.split_first_chunk::<CRC_BYTES>().ok_or_else(|| corrupt("cut short"))?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
        return Err(corrupt("checksum does not match"));
    }
    match covered.split_first_chunk::<3>() {
        None => Err(corrupt("cut short")),
        Some((&[version @ VERSION..=VERSION_WITH_DETAILS, low, high], records)) => {
            Ok((version, u16::from_le_bytes([low, high]), records))
        }
        Some(_) => Err(corrupt("unknown layout version")),
    }
}

/// Cuts a response so that the record fits a value. Callers have cut it by their own, lower bound before.
pub(crate) fn cut(mut record: AttemptRecord) -> AttemptRecord {
    let details_len = record.details.as_ref().map_or(0, |details| {
        let mut bytes = Vec::new();
        details.put(&mut bytes);
        bytes.len()
    });
    if details_len > MAX_DETAILS_BYTES {
        record.details = None;
        return cut(record);
    }
    record.response.truncate(MAX_RESPONSE_BYTES - details_len);
    record
}

fn corrupt(detail: &str) -> StoreError {
    StoreError::CorruptRow { kind: KeyKind::AttemptFirst.name(), detail: detail.to_owned() }
}

fn write_record(bytes: &mut Vec<u8>, previous: Previous, record: &AttemptRecord) {
    let manual = if record.trigger == Trigger::Manual { FLAG_MANUAL } else { 0 };
    let next = if record.next_attempt_at.is_some() { FLAG_NEXT } else { 0 };
    let note = if record.note.is_some() { FLAG_NOTE } else { 0 };
    let url = if record.url_number == previous.url_number { 0 } else { FLAG_URL };
    let details = if record.details.is_some() { FLAG_DETAILS } else { 0 };
    bytes.push(manual | next | note | url | details);
    record.outcome.put(bytes);
    write_varint(bytes, record.seq.0.wrapping_sub(previous.seq.0));
    write_difference(bytes, record.started_at, previous.started_at);
    write_varint(bytes, record.duration_ms.into());
    write_varint(bytes, record.attempt.into());
    write_varint(bytes, record.status.into());
    if let Some(next) = record.next_attempt_at {
        write_difference(bytes, next, record.started_at);
    }
    if let Some(note) = record.note {
        note.put(bytes);
    }
    if url != 0 {
        write_varint(bytes, record.url_number.into());
    }
    write_varint(bytes, record.response.len() as u64);
    bytes.extend_from_slice(&record.response);
    if let Some(details) = &record.details {
        details.put(bytes);
    }
}

/// Reads a record and, beside it, the bytes of its response: a caller that needs no response allocates nothing for it.
fn read_record<'a>(rest: &mut &'a [u8], previous: Previous, version: u8) -> Option<(AttemptRecord, &'a [u8])> {
    let flags = read_byte(rest)?;
    let since_2 = if version >= VERSION_WITH_DETAILS { FLAG_DETAILS } else { 0 };
    if flags & !(FLAG_MANUAL | FLAG_NEXT | FLAG_NOTE | FLAG_URL | since_2) != 0 {
        return None;
    }
    let outcome = read_word::<OutcomeClass>(rest)?;
    let seq = Seq(previous.seq.0.wrapping_add(read_varint(rest)?));
    let started_at = read_difference(rest, previous.started_at)?;
    let duration_ms = read_varint(rest)?.try_into().ok()?;
    let attempt = read_varint(rest)?.try_into().ok()?;
    let status = read_varint(rest)?.try_into().ok()?;
    let next_attempt_at = if flags & FLAG_NEXT != 0 { Some(read_difference(rest, started_at)?) } else { None };
    let note = match flags & FLAG_NOTE {
        0 => None,
        _ => Some(read_word::<AnswerNote>(rest)?),
    };
    let url_number = if flags & FLAG_URL == 0 { previous.url_number } else { read_varint(rest)?.try_into().ok()? };
    let length = read_varint(rest)?.try_into().ok()?;
    let (response, after) = rest.split_at_checked(length)?;
    *rest = after;
    let details = match flags & FLAG_DETAILS {
        0 => None,
        _ => Some(read_word::<Box<AttemptDetails>>(rest)?),
    };
    let trigger = if flags & FLAG_MANUAL != 0 { Trigger::Manual } else { Trigger::Scheduled };
    let record = AttemptRecord {
        seq,
        started_at,
        duration_ms,
        attempt,
        trigger,
        outcome,
        status,
        response: Vec::new(),
        next_attempt_at,
        note,
        url_number,
        details,
    };
    Some((record, response))
}

/// A word that rows of several kinds hold.
fn read_word<T: Field>(rest: &mut &[u8]) -> Option<T> {
    let mut reader = Reader::new(VERSION, rest);
    let word = T::take(&mut reader).ok()?;
    *rest = reader.rest();
    Some(word)
}

fn write_difference(bytes: &mut Vec<u8>, time: UnixMs, from: UnixMs) {
    let difference = time.0.wrapping_sub(from.0) as i64;
    write_varint(bytes, ((difference << 1) ^ (difference >> 63)) as u64);
}

fn read_difference(rest: &mut &[u8], from: UnixMs) -> Option<UnixMs> {
    let folded = read_varint(rest)?;
    let difference = (folded >> 1) as i64 ^ -((folded & 1) as i64);
    Some(UnixMs(from.0.wrapping_add(difference as u64)))
}

fn write_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = read_byte(rest)?;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit only.
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn read_byte(rest: &mut &[u8]) -> Option<u8> {
    let (byte, after) = rest.split_first()?;
    *rest = after;
    Some(*byte)
}
