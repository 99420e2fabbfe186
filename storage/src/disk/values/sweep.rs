//! The sweep: brings the values that are still alive out of a file that is mostly dead, so that the file can go.
//!
//! A step at a time, each bounded, so that a checkpoint never waits long for it. A value that is moved is durable in
//! its new place before the map is told: the log does not have it any more. The old file goes after the seal that
//! follows.
//!
//! An entry whose bytes are damaged cannot be asked about, so its file stays, as it is.

use std::io;

use super::entries::{Entries, Next};
use super::entry::Pointer;
use super::{Values, Writing};

/// Bytes of a file that one step goes through, about.
const STEP_BYTES: u64 = if cfg!(test) { 16 * 1024 } else { 1024 * 1024 };

/// A file is swept when one part in so many of it is dead.
const DEAD_PART: u64 = 3;

/// The values that a step found alive, and their places now, durably.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) moved: Vec<(Vec<u8>, Pointer)>,
    number: u32,
    /// The offset to go on at; `None`: the file is at its end.
    next: Option<u64>,
}

impl Values {
    /// Goes on with the sweep, or begins one if a file is worth it. `alive` says whether the map refers to this value.
    /// `None`: there is nothing to sweep. The caller tells the map of the moved values, and then [`Values::swept`].
    pub(crate) fn sweep<E: From<io::Error>>(
        &self,
        mut alive: impl FnMut(&[u8], Pointer) -> Result<bool, E>,
    ) -> Result<Option<Step>, E> {
        let Some((number, from)) = self.writing().next_to_sweep() else { return Ok(None) };
        let path = self.files.path(number);
        let mut step = Step { number, ..Step::default() };
        let mut entries = Entries::open(&path, number, from)?;
        while entries.offset() - from < STEP_BYTES {
            match entries.next()? {
                Next::Entry { key, value, at } => {
                    if alive(key, at)? {
                        step.moved.push((key.to_vec(), self.append(key, value)?));
                    }
                    step.next = Some(entries.offset());
                }
                Next::End => {
                    step.next = None;
                    break;
                }
                Next::Broken => {
                    let offset = entries.offset();
                    tracing::error!(path = %path.display(), offset, "a value is damaged: this file is kept as it is");
                    step.moved.iter().for_each(|(key, pointer)| self.forget(key, *pointer));
                    self.writing().keep(number);
                    return Ok(None);
                }
            }
        }
        if !step.moved.is_empty() {
            self.sync()?;
        }
        Ok(Some(step))
    }

    /// Begins a sweep if none is under way and a file is worth it: answers that file, of which the map is to be told.
    pub(crate) fn begin_sweep(&self) -> Option<u32> {
        let mut writing = self.writing();
        let begins = writing.sweeping.is_none();
        writing.next_to_sweep().filter(|_| begins).map(|(number, _)| number)
    }

    /// A sweep of this file had begun when an earlier process ended.
    pub(crate) fn resume_sweep(&self, number: u32) {
        let mut writing = self.writing();
        if writing.usage.contains_key(&number) {
            writing.unfinished.push(number);
        }
    }

    /// True if a sweep has begun and not ended.
    pub(crate) fn is_sweeping(&self) -> bool {
        let writing = self.writing();
        writing.sweeping.is_some() || !writing.unfinished.is_empty()
    }

    /// The map knows of all that `step` moved.
    pub(crate) fn swept(&self, step: &Step) {
        let mut writing = self.writing();
        match step.next {
            Some(next) => writing.sweeping = Some((step.number, next)),
            None => {
                writing.sweeping = None;
                writing.usage.remove(&step.number);
                writing.changed.insert(step.number);
                writing.condemned.push(step.number);
            }
        }
    }
}

#[cfg(test)]
impl Step {
    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

impl Writing {
    /// The file to sweep and from where: the one under way, or the one of which most is dead.
    fn next_to_sweep(&mut self) -> Option<(u32, u64)> {
        if self.sweeping.is_none() {
            self.sweeping = self.unfinished.pop().map(|number| (number, 0));
        }
        if self.sweeping.is_none() {
            let current = self.current.as_ref().map(|current| current.number);
            let worth = self.usage.iter().filter(|(number, usage)| {
                Some(**number) != current && !self.kept.contains(number) && usage.dead * DEAD_PART >= usage.total
            });
            let most = worth.max_by_key(|(_, usage)| usage.dead)?;
            self.sweeping = Some((*most.0, 0));
        }
        self.sweeping
    }

    fn keep(&mut self, number: u32) {
        self.sweeping = None;
        self.kept.insert(number);
    }
}
