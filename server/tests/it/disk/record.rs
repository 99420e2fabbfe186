//! The record that the shim writes: one change after the other, in the order in which they were made.
//!
//! Only the reading of it; the meaning of the changes is in [`super::image`].

use std::path::Path;

const MAGIC: u32 = 0x4345_5250;
const HEAD_BYTES: usize = 40;

/// One change, or one promise of durability.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A process began; handles start anew.
    Start,
    /// `handle` is on this path now. The file was created or emptied if `flags` say so.
    Open {
        handle: u64,
        path: String,
        flags: u64,
        mode: u32,
    },
    /// Bytes; `durable`: the call returned when they were so (O_DSYNC).
    Write {
        handle: u64,
        offset: u64,
        bytes: Vec<u8>,
        durable: bool,
    },
    /// A new length.
    Resize {
        handle: u64,
        size: u64,
    },
    /// Zeros.
    Zero {
        handle: u64,
        offset: u64,
        count: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    Link {
        from: String,
        to: String,
    },
    /// A file or a folder.
    Unlink {
        path: String,
    },
    Mkdir {
        path: String,
        mode: u32,
    },
    /// fsync or fdatasync was called.
    SyncBegin {
        handle: u64,
        id: u64,
    },
    /// It returned without an error.
    SyncEnd {
        id: u64,
    },
}

/// A change with its place.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) change: Change,
    /// The record's length with this change: the driver saw it as the position after the change.
    pub(crate) end: u64,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) steps: Vec<Step>,
}

// === impl Record ===

impl Record {
    /// Reads a record. A process that was killed may have left its last entry unfinished.
    pub(crate) fn read(path: &Path) -> Record {
        let bytes = std::fs::read(path).expect("the record can be read");
        let (mut steps, mut at) = (Vec::new(), 0);
        while let Some((change, length)) = parse(&bytes[at..]) {
            at += length;
            steps.push(Step { change, end: at as u64 });
        }
        Record { steps }
    }
}

fn parse(bytes: &[u8]) -> Option<(Change, usize)> {
    let head = bytes.get(..HEAD_BYTES)?;
    let u32_at = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    assert_eq!(u32_at(0), MAGIC, "the record is not one");
    let (handle, a, b) = (u64_at(8), u64_at(16), u64_at(24));
    let (n1, n2) = (u32_at(32) as usize, u32_at(36) as usize);
    let body = bytes.get(HEAD_BYTES..HEAD_BYTES + n1 + n2)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("paths of tests are text");
    let change = match u32_at(4) {
        1 => Change::Start,
        2 => Change::Open { handle, path: text(body), flags: a, mode: b as u32 },
        3 => Change::Write { handle, offset: a, bytes: body.to_vec(), durable: b != 0 },
        4 => Change::Resize { handle, size: a },
        5 => Change::Zero { handle, offset: a, count: b },
        6 => Change::Rename { from: text(&body[..n1]), to: text(&body[n1..]) },
        7 => Change::Link { from: text(&body[..n1]), to: text(&body[n1..]) },
        8 => Change::Unlink { path: text(body) },
        9 => Change::Mkdir { path: text(body), mode: a as u32 },
        10 => Change::SyncBegin { handle, id: a },
        11 => Change::SyncEnd { id: a },
        kind => panic!("a record of kind {kind}"),
    };
    Some((change, HEAD_BYTES + n1 + n2))
}
