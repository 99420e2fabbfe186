//! From the stream of a running server to the chunks of a backup. Holds a chunk of rows and one of commits.
//!
//! It trusts nothing: rows out of order, a commit that is missing, or counts that differ from the server's end it. What
//! was written so far is then no backup, as only a manifest makes one.

use bytes::Bytes;
use model::hex;

use super::chunk::{Chunk, Entry, Filling, Kind};
use super::cut::{CUT_BYTES_MAX, Cutter};
use super::frame::{Begin, COMMIT_HEAD_BYTES, End, Frame, FrameError, put_commit};
use super::manifest::Manifest;
use crate::rows::meta;
use crate::store::rows;
use crate::store::{Noted, Write};

/// A place that takes chunks.
pub trait Sink {
    /// Why it may fail.
    type Error;

    /// Takes a chunk.
    ///
    /// # Errors
    /// The chunk was not written.
    fn take(&mut self, chunk: &Chunk) -> Result<(), Self::Error>;
}

/// Why no backup came of a stream.
#[derive(Debug, thiserror::Error)]
pub enum CollectError<E> {
    /// The stream.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The server gave up.
    #[error("the server ended the backup: {0}")]
    Failed(String),
    /// The server sends what it must not.
    #[error("the stream of the backup is not in order: {0}")]
    Disorder(&'static str),
    /// The place that takes chunks.
    #[error(transparent)]
    Sink(E),
}

/// A backup that is being written.
pub struct Collector {
    began: Option<Begin>,
    cutter: Cutter,
    log: Filling,
    rows: Vec<Entry>,
    commits: Vec<Entry>,
    last_key: Bytes,
    last_commit: u64,
    counted: (u64, u64),
    master_key_check: Option<String>,
}

impl Default for Collector {
    fn default() -> Self {
        Collector {
            began: None,
            cutter: Cutter::default(),
            log: Filling::new(Kind::Commits),
            rows: Vec::new(),
            commits: Vec::new(),
            last_key: Bytes::new(),
            last_commit: 0,
            counted: (0, 0),
            master_key_check: None,
        }
    }
}

impl Collector {
    /// Takes the next frame. The manifest comes with the last one: all of its chunks are in `sink` then.
    ///
    /// # Errors
    /// See [`CollectError`]; it is over then.
    pub fn take<S: Sink>(&mut self, frame: Frame, sink: &mut S) -> Result<Option<Manifest>, CollectError<S::Error>> {
        match (frame, &self.began) {
            (Frame::Failed(reason), _) => return Err(CollectError::Failed(reason)),
            (Frame::Begin(begin), None) => {
                self.last_commit = begin.commit;
                self.began = Some(begin);
            }
            (Frame::Begin(_), Some(_)) => return Err(CollectError::Disorder("it begins twice")),
            (_, None) => return Err(CollectError::Disorder("it does not begin")),
            (Frame::Rows(rows), _) => self.take_rows(rows, sink)?,
            (Frame::Commits(commits), _) => {
                commits.iter().try_for_each(|noted| self.take_commit(noted, sink))?;
            }
            (Frame::End(end), Some(began)) => {
                let began = began.clone();
                return self.end(began, end, sink).map(Some);
            }
        }
        Ok(None)
    }

    fn take_rows<S: Sink>(&mut self, mut bytes: Bytes, sink: &mut S) -> Result<(), CollectError<S::Error>> {
        while !bytes.is_empty() {
            let Some((key, Write::Put(value))) = rows::take(&mut bytes) else {
                return Err(CollectError::Disorder("a row is malformed"));
            };
            if key <= self.last_key {
                return Err(CollectError::Disorder("rows are not in the order of their keys"));
            }
            if key == meta::encode(meta::MASTER_KEY_CHECK) {
                self.master_key_check = meta::from_value::<Vec<u8>>(&value).ok().map(|check| hex(&check));
            }
            self.counted.0 += 1;
            if let Some(chunk) = self.cutter.push(&key, value) {
                put(&mut self.rows, chunk, sink)?;
            }
            // A copy: a key keeps its whole frame otherwise.
            self.last_key = Bytes::copy_from_slice(&key);
        }
        Ok(())
    }

    fn take_commit<S: Sink>(&mut self, noted: &Noted, sink: &mut S) -> Result<(), CollectError<S::Error>> {
        if self.last_commit.checked_add(1) != Some(noted.commit) {
            return Err(CollectError::Disorder("a commit is missing"));
        }
        // Before it, so that a chunk has one commit or is within the bound.
        if self.log.content_bytes() + COMMIT_HEAD_BYTES + noted.rows.len() > CUT_BYTES_MAX {
            self.end_log(sink)?;
        }
        put_commit(noted, &mut self.log.bytes);
        self.log.count += 1;
        self.last_commit = noted.commit;
        self.counted.1 += 1;
        Ok(())
    }

    fn end_log<S: Sink>(&mut self, sink: &mut S) -> Result<(), CollectError<S::Error>> {
        self.log.end().map_or(Ok(()), |chunk| put(&mut self.commits, chunk, sink))
    }

    fn end<S: Sink>(&mut self, began: Begin, end: End, sink: &mut S) -> Result<Manifest, CollectError<S::Error>> {
        if let Some(chunk) = self.cutter.finish() {
            put(&mut self.rows, chunk, sink)?;
        }
        self.end_log(sink)?;
        if (end.rows, end.commits) != self.counted || end.commit != self.last_commit {
            return Err(CollectError::Disorder("something is missing"));
        }
        let mut chunks = std::mem::take(&mut self.rows);
        chunks.append(&mut self.commits);
        Ok(Manifest {
            version: began.version,
            from_commit: began.commit,
            commit: end.commit,
            began: began.at,
            ended: end.at,
            rows: end.rows,
            commits: end.commits,
            master_key_check: self.master_key_check.take(),
            chunks,
        })
    }
}

fn put<S: Sink>(list: &mut Vec<Entry>, chunk: Chunk, sink: &mut S) -> Result<(), CollectError<S::Error>> {
    sink.take(&chunk).map_err(CollectError::Sink)?;
    list.push(chunk.entry);
    Ok(())
}
