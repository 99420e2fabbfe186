//! The stream of a backup, from the server to the command that writes it. Pure. Numbers are little endian.
//!
//! ```text
//! a frame    kind u8 | bytes of the body u32 | CRC32C u32 of kind, length and body | body
//! 1 begin    version of the stream u32 | format of the store u32 | commit u64 | time u64 (ms) | version of Pinion, text
//! 2 rows     rows in the order of their keys, none deleted
//! 3 commits  commit u64 | bytes of its rows u32 | rows, several times: all behind that of `begin`, without gaps
//! 4 end      commit u64 | time u64 (ms) | number of rows u64 | number of commits u64
//! 5 failed   the reason, text
//! ```
//! Rows are as [`crate::store::rows`] encodes them. A stream ends with frame 4 or 5; one that just ends was broken off.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::UnixMs;

use crate::disk::open::format;
use crate::store::{MAX_BATCH_BYTES, Noted};

/// The only version there is.
const STREAM: u32 = 1;

/// Bytes of a frame before its body.
const HEAD_BYTES: usize = 9;

/// A longer body is a mistake: the largest commit, whose rows have six bytes in front of keys of five at least.
pub(super) const BODY_BYTES_MAX: usize = 3 * MAX_BATCH_BYTES;

/// The beginning of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The last commit before the copy.
    pub commit: u64,
    /// The time.
    pub at: UnixMs,
    /// The version of Pinion that makes it.
    pub version: String,
}

/// The end of a stream that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The commit that the copy stands at.
    pub commit: u64,
    /// The time.
    pub at: UnixMs,
    /// Rows before it.
    pub rows: u64,
    /// Commits before it.
    pub commits: u64,
}

/// A part of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// It begins.
    Begin(Begin),
    /// Rows, encoded.
    Rows(Bytes),
    /// Commits of the meantime.
    Commits(Vec<Noted>),
    /// It is whole.
    End(End),
    /// The server gave up.
    Failed(String),
}

/// Bytes that are no such stream, or one that this version does not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes were changed on their way, or are of something else.
    #[error("the stream of the backup is damaged")]
    Damaged,
    /// Another version made it.
    #[error("the server sends version {0} of the stream, this program reads {STREAM}: use its own version of pinion")]
    Stream(u32),
    /// Its rows have another layout.
    #[error("the server's store has format {found}, this program knows {known}: use its own version of pinion")]
    Store {
        /// The server's.
        found: u32,
        /// Ours.
        known: u32,
    },
}

/// Takes frames out of bytes as they arrive. Holds one frame at most, and what came with its end.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: BytesMut,
}

// === impl Frame ===

impl Frame {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + self.body_bytes());
        bytes.put_u8(self.kind());
        bytes.put_u64_le(0);
        match self {
            Frame::Begin(begin) => {
                bytes.put_u32_le(STREAM);
                bytes.put_u32_le(format::VERSION);
                bytes.put_u64_le(begin.commit);
                bytes.put_u64_le(begin.at.0);
                bytes.put_slice(begin.version.as_bytes());
            }
            Frame::Rows(rows) => bytes.put_slice(rows),
            Frame::Commits(commits) => commits.iter().for_each(|noted| put_commit(noted, &mut bytes)),
            Frame::End(end) => {
                [end.commit, end.at.0, end.rows, end.commits].into_iter().for_each(|number| bytes.put_u64_le(number));
            }
            Frame::Failed(reason) => bytes.put_slice(reason.as_bytes()),
        }
        let body_bytes = (bytes.len() - HEAD_BYTES) as u32;
        bytes[1..5].copy_from_slice(&body_bytes.to_le_bytes());
        let sum = sum_of(&bytes);
        bytes[5..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
        bytes.freeze()
    }

    fn kind(&self) -> u8 {
        match self {
            Frame::Begin(_) => 1,
            Frame::Rows(_) => 2,
            Frame::Commits(_) => 3,
            Frame::End(_) => 4,
            Frame::Failed(_) => 5,
        }
    }

    /// Bytes of the body, about.
    fn body_bytes(&self) -> usize {
        match self {
            Frame::Rows(rows) => rows.len(),
            Frame::Commits(commits) => commits.iter().map(|noted| noted.rows.len() + COMMIT_HEAD_BYTES).sum(),
            Frame::Begin(_) | Frame::End(_) | Frame::Failed(_) => 64,
        }
    }

    fn decode(kind: u8, mut body: Bytes) -> Result<Frame, FrameError> {
        match kind {
            1 => decode_begin(body).map(Frame::Begin),
            2 => Ok(Frame::Rows(body)),
            3 => split_commits(body).map(Frame::Commits).ok_or(FrameError::Damaged),
            4 if body.len() == 32 => {
                let (commit, at) = (body.get_u64_le(), UnixMs(body.get_u64_le()));
                Ok(Frame::End(End { commit, at, rows: body.get_u64_le(), commits: body.get_u64_le() }))
            }
            5 => Ok(Frame::Failed(String::from_utf8_lossy(&body).into_owned())),
            _ => Err(FrameError::Damaged),
        }
    }
}

fn decode_begin(mut body: Bytes) -> Result<Begin, FrameError> {
    let stream = body.try_get_u32_le().map_err(|_| FrameError::Damaged)?;
    if stream != STREAM {
        return Err(FrameError::Stream(stream));
    }
    let (Ok(found), Ok(commit), Ok(at)) = (body.try_get_u32_le(), body.try_get_u64_le(), body.try_get_u64_le()) else {
        return Err(FrameError::Damaged);
    };
    if found != format::VERSION {
        return Err(FrameError::Store { found, known: format::VERSION });
    }
    let version = String::from_utf8(body.to_vec()).map_err(|_| FrameError::Damaged)?;
    Ok(Begin { commit, at: UnixMs(at), version })
}

/// Bytes of a commit before its rows.
pub(super) const COMMIT_HEAD_BYTES: usize = 12;

/// Appends a commit.
pub(super) fn put_commit(noted: &Noted, into: &mut BytesMut) {
    into.put_u64_le(noted.commit);
    into.put_u32_le(noted.rows.len() as u32);
    into.put_slice(&noted.rows);
}

/// The commits that these bytes are; `None` when they are not.
pub(super) fn split_commits(mut bytes: Bytes) -> Option<Vec<Noted>> {
    let mut commits = Vec::new();
    while !bytes.is_empty() {
        let (commit, len) = (bytes.try_get_u64_le().ok()?, bytes.try_get_u32_le().ok()? as usize);
        if len > bytes.len() {
            return None;
        }
        commits.push(Noted { commit, rows: bytes.split_to(len) });
    }
    Some(commits)
}

/// Of a frame but for its own place.
fn sum_of(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..5]), &frame[HEAD_BYTES..])
}

// === impl FrameReader ===

impl FrameReader {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame that is there as a whole.
    ///
    /// # Errors
    /// See [`FrameError`]: nothing behind it can be read.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(head) = self.bytes.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let [kind, a, b, c, d, sum @ ..] = *head;
        let body_bytes = u32::from_le_bytes([a, b, c, d]) as usize;
        if body_bytes > BODY_BYTES_MAX {
            return Err(FrameError::Damaged);
        }
        if self.bytes.len() < HEAD_BYTES + body_bytes {
            return Ok(None);
        }
        let frame = self.bytes.split_to(HEAD_BYTES + body_bytes).freeze();
        if sum_of(&frame) != u32::from_le_bytes(sum) {
            return Err(FrameError::Damaged);
        }
        Frame::decode(kind, frame.slice(HEAD_BYTES..)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noted() -> impl Strategy<Value = Noted> {
        (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(commit, rows)| Noted { commit, rows: rows.into() })
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let begin = |(commit, at, version)| Frame::Begin(Begin { commit, at: UnixMs(at), version });
        let end = |(commit, at, rows, commits)| Frame::End(End { commit, at: UnixMs(at), rows, commits });
        prop_oneof![
            (any::<u64>(), any::<u64>(), "[a-z0-9.]{0,12}").prop_map(begin),
            proptest::collection::vec(any::<u8>(), 0..200).prop_map(|rows| Frame::Rows(rows.into())),
            proptest::collection::vec(noted(), 0..5).prop_map(Frame::Commits),
            any::<(u64, u64, u64, u64)>().prop_map(end),
            ".{0,30}".prop_map(Frame::Failed),
        ]
    }

    proptest! {
        #[test]
        fn frames_are_read_back_in_whatever_pieces_they_arrive(
            frames in proptest::collection::vec(frame(), 1..6),
            piece in 1usize..50,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode().to_vec()).collect();
            let (mut reader, mut read) = (FrameReader::default(), Vec::new());
            for piece in bytes.chunks(piece) {
                reader.push(piece);
                while let Some(frame) = reader.next_frame().unwrap() {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert!(reader.bytes.is_empty());
        }

        #[test]
        fn a_flipped_bit_is_never_a_frame(frame in frame(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = frame.encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            // A longer length waits for bytes that do not come.
            prop_assert!(!matches!(reader.next_frame(), Ok(Some(_))));
        }
    }

    #[test]
    fn another_version_is_told_by_its_number() {
        let begin = Frame::Begin(Begin { commit: 1, at: UnixMs(2), version: "0.1".to_owned() }).encode();
        let altered = |at: usize, number: u8| {
            let mut bytes = begin.to_vec();
            bytes[at] = number;
            let sum = sum_of(&bytes);
            bytes[5..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            reader.next_frame().unwrap_err()
        };
        assert_eq!(altered(HEAD_BYTES, 9), FrameError::Stream(9));
        assert_eq!(altered(HEAD_BYTES + 4, 9), FrameError::Store { found: 9, known: format::VERSION });
    }
}
