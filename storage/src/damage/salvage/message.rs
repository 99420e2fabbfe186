//! The bytes that sled 0.34.7 writes into a segment: messages, and the pages and links in them. Pure; it only reads.
//!
//! ```text
//! segment   header 20 | messages | zeros, or a message of kind 2 that fills the rest
//! header    CRC32 of the rest, inverted, u32 | position in the log, i64 | highest stable position, i64 (both inverted but
//!           for the sign)
//! message   CRC32 of the body and then of the header behind the sum, inverted, u32 | kind u8 | length of the body |
//!           number of the segment | page | body
//! node      right neighbour | child that is merged | merging u8 | bytes of `low` that its keys leave out u8 | low | high |
//!           0: a leaf | rows | keys | values
//! link      0, key, value: the row is this now | 1, key: the row is gone | more, of merging
//! ```
//!
//! Numbers of one length are little endian; all others are of 1 to 9 bytes, see [`Reader::number`]; texts have their
//! length in front. A position divided by the bytes of a segment is the segment's number, and every message has it:
//! that tells the messages that an earlier use of the segment has left behind.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::damage::flip::{self, Flip};
use crate::disk::map::SEGMENT_BYTES;

/// The offset at which a segment's first message begins.
pub(crate) const SEGMENT_HEAD_BYTES: usize = 20;

/// No message begins behind this many bytes before the end of a segment.
pub(crate) const MESSAGE_HEAD_MAX_BYTES: usize = 32;

const POSITION_MASK: i64 = i64::MAX;

/// The effect of a message on its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: aborted, a mark, or of things that are not needed to read rows.
    Nothing,
    /// The rest of the segment is empty.
    Cap,
    /// The page is unused from here on.
    Free,
    /// The page is this one from here on.
    Node,
    /// One change of the page.
    Link,
    /// The page is in a file of its own, which this program never lets happen.
    Elsewhere,
}

/// A message whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) segment: u64,
    pub(crate) page: u64,
    /// The offset of the body, from the message's beginning.
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
}

/// Rows of a leaf, by whole key.
pub(crate) type LeafRows = BTreeMap<Bytes, Bytes>;

/// A page of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Leaf(Leaf),
    /// It leads to others.
    Inner,
}

/// A page that holds rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// The lowest key that belongs here.
    pub(crate) low: Bytes,
    /// The lowest key that does not; empty: there is none.
    pub(crate) high: Bytes,
    prefix_bytes: usize,
    pub(crate) rows: LeafRows,
}

/// One change of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Set(Bytes, Bytes),
    Delete(Bytes),
    /// Of the merging of pages: the messages that follow move the rows.
    Merge,
}

/// The position that a segment's header says it begins at; `None` when its checksum is wrong.
pub(crate) fn segment_position(header: &[u8]) -> Option<i64> {
    let header = header.get(..SEGMENT_HEAD_BYTES)?;
    let sum = u32::from_le_bytes(header[..4].try_into().ok()?);
    let position = i64::from_le_bytes(header[4..12].try_into().ok()?) ^ POSITION_MASK;
    let right = !crc32fast::hash(&header[4..]) == sum;
    (right && position >= 0 && position % SEGMENT_BYTES as i64 == 0).then_some(position)
}

// === impl Message ===

impl Message {
    /// The message that begins at `bytes`, which go on to the end of its segment; `None` unless its checksum is right.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (message, stored) = Self::head(bytes)?;
        (message.sum(bytes) == stored).then_some(message)
    }

    /// The claims of its header, whether or not they are true, and the stored checksum.
    pub(crate) fn head(bytes: &[u8]) -> Option<(Self, u32)> {
        let mut reader = Reader(bytes.get(..bytes.len().min(MESSAGE_HEAD_MAX_BYTES))?);
        let stored = u32::from_le_bytes(reader.take(4)?.try_into().ok()?);
        let kind = match reader.take(1)?[0] {
            1 | 3 | 5 | 6 => Kind::Nothing,
            2 => Kind::Cap,
            4 => Kind::Free,
            8 => Kind::Node,
            10 => Kind::Link,
            7 | 9 | 11 => Kind::Elsewhere,
            _ => return None,
        };
        let body_bytes = usize::try_from(reader.number()?).ok()?;
        let (segment, page) = (reader.number()?, reader.number()?);
        let head_bytes = bytes.len().min(MESSAGE_HEAD_MAX_BYTES) - reader.0.len();
        let whole = head_bytes.checked_add(body_bytes).is_some_and(|end| end <= bytes.len());
        whole.then_some((Self { kind, segment, page, head_bytes, body_bytes }, stored))
    }

    /// All of its bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.head_bytes + self.body_bytes
    }

    fn sum(&self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[self.head_bytes..self.bytes()]);
        hasher.update(&bytes[4..self.head_bytes]);
        !hasher.finalize()
    }

    /// The message of `segment` that would begin at `bytes` if one bit were another: that message, and the bit. The
    /// result makes sense to the last byte. `bytes` are as they were when it returns.
    pub(crate) fn correct(bytes: &mut [u8], segment: u64) -> Option<(Self, usize, u8)> {
        let found = |bytes: &[u8]| {
            Self::read(bytes).filter(|message| message.segment == segment && message.makes_sense(bytes)).is_some()
        };
        let (byte, mask) =
            Self::wrong_bit_of_body(bytes, segment).or_else(|| flip::search(bytes, MESSAGE_HEAD_MAX_BYTES, found))?;
        bytes[byte] ^= mask;
        let message = Self::read(bytes).filter(|message| message.segment == segment && message.makes_sense(bytes));
        bytes[byte] ^= mask;
        message.map(|message| (message, byte, mask))
    }

    fn wrong_bit_of_body(bytes: &[u8], segment: u64) -> Option<(usize, u8)> {
        let (message, stored) = Self::head(bytes)?;
        let difference = message.sum(bytes) ^ stored;
        if message.segment != segment || difference == 0 {
            return None;
        }
        match flip::find(flip::CRC32, difference, message.body_bytes + message.head_bytes - 4)? {
            Flip::Sum => Some((difference.trailing_zeros() as usize / 8, 1 << (difference.trailing_zeros() % 8))),
            Flip::Message(byte, mask) if byte < message.body_bytes => Some((message.head_bytes + byte, mask)),
            Flip::Message(byte, mask) => Some((4 + byte - message.body_bytes, mask)),
        }
    }

    /// The page among `known` that this message is of, if the number of its page is all that is damaged. Its number
    /// ends the header, which the sum covers last, so each of them costs a few bytes.
    pub(crate) fn page_by_sum(&self, bytes: &[u8], known: impl Iterator<Item = u64>) -> Option<u64> {
        let (_, stored) = Self::head(bytes)?;
        let number_bytes = encoded(self.page).len();
        let mut before = crc32fast::Hasher::new();
        before.update(&bytes[self.head_bytes..self.bytes()]);
        before.update(&bytes[4..self.head_bytes - number_bytes]);
        let is_right = |page: &u64| {
            let number = encoded(*page);
            let mut hasher = before.clone();
            hasher.update(&number);
            number.len() == number_bytes && !hasher.finalize() == stored
        };
        let mut right = known.filter(is_right);
        right.next().filter(|_| right.next().is_none())
    }

    fn makes_sense(&self, bytes: &[u8]) -> bool {
        let body = &bytes[self.head_bytes..self.bytes()];
        match self.kind {
            Kind::Node => node(body).is_some(),
            Kind::Link => link(body).is_some(),
            Kind::Cap => body.iter().all(|byte| *byte == 0),
            Kind::Nothing | Kind::Free => true,
            Kind::Elsewhere => false,
        }
    }
}

/// The part of a page before its values.
struct NodeHead<'a> {
    /// The bytes that its keys leave out.
    prefix: &'a [u8],
    low: &'a [u8],
    high: &'a [u8],
    is_leaf: bool,
    rows: usize,
}

/// A page as its message has it. `None` when it makes no sense.
pub(crate) fn node(body: &[u8]) -> Option<Node> {
    let mut reader = Reader(body);
    let NodeHead { prefix, low, high, is_leaf, rows } = reader.node_head()?;
    let keys = (0..rows).map(|_| Some([prefix, reader.text()?].concat())).collect::<Option<Vec<_>>>()?;
    let ascending = keys.windows(2).all(|pair| pair[0] < pair[1]);
    if !is_leaf {
        let leads_on = (0..rows).all(|_| reader.number().is_some());
        return (ascending && leads_on && reader.0.is_empty()).then_some(Node::Inner);
    }
    let values = (0..rows).map(|_| Some(Bytes::copy_from_slice(reader.text()?))).collect::<Option<Vec<_>>>()?;
    if !ascending || !reader.0.is_empty() {
        return None;
    }
    let rows = keys.into_iter().map(Bytes::from).zip(values).collect();
    let (low, high) = (Bytes::copy_from_slice(low), Bytes::copy_from_slice(high));
    Some(Node::Leaf(Leaf { low, high, prefix_bytes: prefix.len(), rows }))
}

/// The first key of a page, none when it is empty, and whether it is a leaf: without a look at the rest.
pub(crate) fn outline(body: &[u8]) -> Option<(Option<Vec<u8>>, bool)> {
    let mut reader = Reader(body);
    let NodeHead { prefix, is_leaf, rows, .. } = reader.node_head()?;
    let first = if rows == 0 { None } else { Some([prefix, reader.text()?].concat()) };
    Some((first, is_leaf))
}

/// The lowest key of a page, and how much of that its keys leave out, whatever becomes of the rest.
pub(crate) fn low(body: &[u8]) -> Option<(Bytes, usize)> {
    let mut reader = Reader(body);
    reader.number()?;
    reader.number()?;
    reader.take(1)?;
    let prefix_bytes = usize::from(reader.take(1)?[0]);
    Some((Bytes::copy_from_slice(reader.text()?), prefix_bytes))
}

/// The key of a change of a row, whatever becomes of the rest. It lacks the prefix that the keys of its page leave out.
pub(crate) fn link_key(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(body);
    (reader.take(1)?[0] <= 1).then(|| reader.text())?
}

/// A change as its message has it. The key lacks the prefix that the keys of its page leave out.
pub(crate) fn link(body: &[u8]) -> Option<Link> {
    let mut reader = Reader(body);
    let link = match reader.take(1)?[0] {
        0 => Link::Set(Bytes::copy_from_slice(reader.text()?), Bytes::copy_from_slice(reader.text()?)),
        1 => Link::Delete(Bytes::copy_from_slice(reader.text()?)),
        2 => {
            reader.number()?;
            Link::Merge
        }
        3 | 4 => Link::Merge,
        _ => return None,
    };
    reader.0.is_empty().then_some(link)
}

// === impl Leaf ===

impl Leaf {
    /// Applies the link to the leaf.
    pub(crate) fn apply(&mut self, link: Link) {
        let whole = |key: &Bytes| Bytes::from([&self.low[..self.prefix_bytes], key].concat());
        match link {
            Link::Set(key, value) => drop(self.rows.insert(whole(&key), value)),
            Link::Delete(key) => drop(self.rows.remove(&whole(&key))),
            Link::Merge => {}
        }
    }
}

/// A number as [`Reader::number`] reads it.
fn encoded(number: u64) -> Vec<u8> {
    match number {
        0..=240 => vec![number as u8],
        241..=2_287 => vec![241 + ((number - 240) / 256) as u8, (number - 240) as u8],
        2_288..=67_823 => [&[249][..], &((number - 2_288) as u16).to_be_bytes()].concat(),
        _ => {
            let count = (8 - number.leading_zeros() as usize / 8).max(3);
            [&[247 + count as u8][..], &number.to_le_bytes()[..count]].concat()
        }
    }
}

/// The bytes that are left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of 1 to 9 bytes. The first one is the number up to 240; 241 to 248 begin one of two bytes, 249 one of
    /// three, each counting on from where the shorter ones end; 250 and more are followed by 3 and more bytes of it.
    fn number(&mut self) -> Option<u64> {
        let first = self.take(1)?[0];
        Some(match first {
            0..=240 => u64::from(first),
            241..=248 => 240 + 256 * u64::from(first - 241) + u64::from(self.take(1)?[0]),
            249 => {
                let rest = self.take(2)?;
                2_288 + 256 * u64::from(rest[0]) + u64::from(rest[1])
            }
            _ => {
                let mut number = [0; 8];
                let rest = self.take(usize::from(first) - 247)?;
                number[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(number)
            }
        })
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }

    fn node_head(&mut self) -> Option<NodeHead<'a>> {
        self.number()?;
        self.number()?;
        self.take(1)?;
        let prefix_bytes = usize::from(self.take(1)?[0]);
        let (low, high) = (self.text()?, self.text()?);
        let is_leaf = match self.take(1)?[0] {
            0 => true,
            1 => false,
            _ => return None,
        };
        let rows = usize::try_from(self.number()?).ok()?;
        Some(NodeHead { prefix: low.get(..prefix_bytes)?, low, high, is_leaf, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_was_written() {
        for number in [0, 1, 240, 241, 495, 496, 2_287, 2_288, 67_823, 67_824, 1 << 24, 1 << 32, u64::MAX] {
            let bytes = encoded(number);
            let mut reader = Reader(&bytes);
            assert_eq!((reader.number(), reader.0.len()), (Some(number), 0), "{bytes:?}");
        }
    }

    #[test]
    fn a_damaged_number_of_a_page_is_found_by_the_sum() {
        for (page, other) in [(9, 72), (300, 301), (70_000, 70_001)] {
            let body = b"\0\x01a\x01b";
            let header = [&[10, body.len() as u8, 3][..], &encoded(page)].concat();
            let sum = !crc32fast::hash(&[body, &header[..]].concat());
            let damaged = [&sum.to_le_bytes()[..], &[10, body.len() as u8, 3], &encoded(other), body].concat();
            let (head, _) = Message::head(&damaged).unwrap();
            assert_eq!((Message::read(&damaged), head.page), (None, other));
            assert_eq!(head.page_by_sum(&damaged, 0..100_000), Some(page));
            let mut wrong_body = damaged.clone();
            *wrong_body.last_mut().unwrap() ^= 1;
            assert_eq!(head.page_by_sum(&wrong_body, 0..1_000), None);
        }
    }
}
