//! A round of retention: relief if there is too much, then a pass.
//!
//! Says which step comes next. Neither makes it nor waits: that is the janitor's.

use super::pass::{self, Pass};
use super::relief::{self, Relief};
use super::step::{Step, Tally};
use super::{Cutoffs, Limits};
use model::UnixMs;
use storage::rows::meta::Retained;
use storage::{Store, StoreError};

/// One round.
#[derive(Debug)]
pub struct Round {
    relief: Option<Relief>,
    pass: Pass,
}

/// Result of [`Round::next`].
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Something to do; tell [`Round::made`], then ask again.
    Step(Step),
    /// Nothing so far; ask again.
    Nothing,
    /// The round is over.
    End,
}

impl Round {
    /// Begins one at `now` of the clock that events are stamped by, while so much is retained.
    #[must_use]
    pub fn new(limits: &Limits, retained: Retained, cutoffs: Cutoffs, now: UnixMs) -> Round {
        Round { relief: Some(Relief::new(limits.excess(retained))), pass: Pass::new(cutoffs, now) }
    }

    /// The next step, after no more than `looks` looks.
    ///
    /// # Errors
    /// The reason why the store is poisoned or cannot be read.
    pub fn next(&mut self, store: &dyn Store, looks: usize) -> Result<Found, StoreError> {
        if let Some(relief) = &mut self.relief {
            match relief.next(store, looks)? {
                relief::Found::Step(step) => return Ok(Found::Step(step)),
                relief::Found::Nothing => {}
                relief::Found::End => self.relief = None,
            }
            return Ok(Found::Nothing);
        }
        Ok(match self.pass.next(store, looks)? {
            pass::Found::Step(step) => Found::Step(step),
            pass::Found::Nothing => Found::Nothing,
            pass::Found::End => Found::End,
        })
    }

    /// True while it still removes events over the limit of bytes.
    #[must_use]
    pub fn relieves(&self) -> bool {
        self.relief.is_some()
    }

    /// The step was made, and this is what it did.
    pub fn made(&mut self, tally: &Tally) {
        if let Some(relief) = &mut self.relief {
            relief.removed(tally.event_bytes);
        }
    }
}
