//! The copy of a store that goes on working: pages of rows, and the commits of the meantime, as frames.
//!
//! - *Who owns the state:* the [`Copier`], which one caller steps. It reads through the store as anybody does, so the
//!   writer and checkpoints go on.
//! - *What bounds it:* a page of rows ([`PAGE`]), and the commits that wait ([`Tail`]). Which of the two comes next is
//!   decided at each step, so neither starves.
//! - *When commits come faster than they are taken:* the copy fails with [`CopyError::Behind`]; the writer never waits.
//! - *When it is dropped:* the store forgets it.

use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use model::UnixMs;

use super::frame::{Begin, End, Frame};
use crate::read::SharedStore;
use crate::rows::KeyKind;
use crate::store::{Behind, Direction, StoreError, Tail, Write, rows};

/// Rows of a page: a megabyte or two where they are longest.
const PAGE: usize = 128;

/// Rows of a page of payloads, each of which may be as long as a request.
const PAYLOADS_PAGE: usize = 2;

/// Bytes of commits in a frame, about.
const COMMITS_AT_ONCE: usize = 1 << 20;

/// Why a copy ended early.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The reader is too slow for the writes of the meantime.
    #[error(
        "the backup did not keep up: {0}; write it to a faster disk, at a quieter time, or raise backup_queue_bytes"
    )]
    Behind(#[from] Behind),
}

/// A copy under way.
pub struct Copier {
    store: SharedStore,
    tail: Arc<Tail>,
    at: At,
    rows: u64,
    commits: u64,
}

/// The next thing to do.
enum At {
    Begin(Begin),
    /// Rows of this key and behind it, and if commits were sent last.
    Rows {
        from: Vec<u8>,
        after_commits: bool,
    },
    /// The commits that are left, up to this one.
    Commits(u64),
    Ended,
}

impl Copier {
    /// Begins one: every commit from now on is noted, up to `most_bytes` that wait. `version` is Pinion's.
    ///
    /// # Errors
    /// When the store is poisoned.
    pub fn begin(store: SharedStore, most_bytes: usize, version: &str, now: UnixMs) -> Result<Copier, StoreError> {
        let tail = Arc::new(Tail::new(most_bytes));
        let commit = store.follow(Arc::downgrade(&tail))?;
        let at = At::Begin(Begin { commit, at: now, version: version.to_owned() });
        Ok(Copier { store, tail, at, rows: 0, commits: 0 })
    }

    /// The next frame; none behind the last one. May block for reads from disk.
    ///
    /// # Errors
    /// See [`CopyError`]; it is over then.
    pub fn step(&mut self, now: UnixMs) -> Result<Option<Frame>, CopyError> {
        loop {
            match std::mem::replace(&mut self.at, At::Ended) {
                At::Begin(begin) => {
                    self.at = At::Rows { from: vec![FIRST_BYTE], after_commits: true };
                    return Ok(Some(Frame::Begin(begin)));
                }
                At::Rows { from, after_commits } => {
                    if let Some(frame) = self.step_in_rows(from, after_commits)? {
                        return Ok(Some(frame));
                    }
                }
                At::Commits(last) => {
                    let frame = match self.take_commits()? {
                        Some(frame) => {
                            self.at = At::Commits(last);
                            frame
                        }
                        None => Frame::End(End { commit: last, at: now, rows: self.rows, commits: self.commits }),
                    };
                    return Ok(Some(frame));
                }
                At::Ended => return Ok(None),
            }
        }
    }

    /// A page of rows, or commits: these in turn with pages, and first while many wait. None at the end of the rows,
    /// which is where the copy stands from then on.
    fn step_in_rows(&mut self, from: Vec<u8>, after_commits: bool) -> Result<Option<Frame>, CopyError> {
        if (!after_commits || self.tail.is_half_full())
            && let Some(frame) = self.take_commits()?
        {
            self.at = At::Rows { from, after_commits: true };
            return Ok(Some(frame));
        }
        match self.page(from)? {
            Some((rows, from)) => {
                self.at = At::Rows { from, after_commits: false };
                Ok(Some(Frame::Rows(rows)))
            }
            None => {
                // Whatever the pages showed is of a commit up to this one.
                self.at = At::Commits(self.store.follow(Weak::new())?);
                Ok(None)
            }
        }
    }

    fn take_commits(&mut self) -> Result<Option<Frame>, CopyError> {
        let commits = self.tail.take(COMMITS_AT_ONCE)?;
        self.commits += commits.len() as u64;
        Ok((!commits.is_empty()).then_some(Frame::Commits(commits)))
    }

    /// Rows of `from` and behind, of one kind, with the key to go on from; none when there are no more.
    fn page(&mut self, mut from: Vec<u8>) -> Result<Option<(Bytes, Vec<u8>)>, StoreError> {
        while let Some(kind) = from.first().copied() {
            let end = kind.checked_add(1).map_or_else(|| crate::store::prefix_end(&[kind]), |next| vec![next]);
            let limit = if kind == KeyKind::Payload as u8 { PAYLOADS_PAGE } else { PAGE };
            let found = self.store.scan(&from, &end, limit, Direction::Forward)?;
            let Some((last, _)) = found.last() else {
                if kind == u8::MAX {
                    break;
                }
                from = end;
                continue;
            };
            let next = [last, &[0][..]].concat();
            self.rows += found.len() as u64;
            return Ok(Some((encoded(found), next)));
        }
        Ok(None)
    }
}

/// Keys that begin with 0 are the store's own.
const FIRST_BYTE: u8 = 1;

fn encoded(found: Vec<(Bytes, Bytes)>) -> Bytes {
    let bytes = found.iter().map(|(key, value)| rows::ROW_HEAD_BYTES + key.len() + value.len()).sum();
    let mut encoded = BytesMut::with_capacity(bytes);
    found.into_iter().for_each(|(key, value)| rows::put(&key, &Write::Put(value), &mut encoded));
    encoded.freeze()
}
