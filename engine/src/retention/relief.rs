//! Relief: there is more than the limit of bytes, and the oldest events go, of any application, until there is not.
//!
//! Deliberately events alone: their attempts follow in the pass that comes next. The attempts' share of the bytes is
//! left out of the bytes removed here ([`super::Limits::excess`]).

use super::OldestFirst;
use super::step::Step;
use model::{AppId, Seq};
use storage::tables::log;
use storage::{Store, StoreError};

/// Applications held in order at once.
const APPS_HELD: usize = 1_024;

/// Rows that one step removes at most: more than in a pass, so that events that come in at full rate go at full rate.
const ROWS_PER_STEP: usize = 4_096;

/// A block at its largest.
const BLOCK_BYTES: u64 = storage::store::INLINE_MAX_BYTES as u64;

/// The removal of so many bytes.
#[derive(Debug)]
pub(super) struct Relief {
    excess: u64,
    oldest: OldestFirst,
    /// Applications are still being looked through: beyond this one. None once all were.
    looking: Option<Option<AppId>>,
    /// The one whose events were removed last.
    last: Option<AppId>,
}

/// Result of [`Relief::next`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Something to do; tell [`Relief::removed`], then ask again.
    Step(Step),
    /// Nothing so far; ask again.
    Nothing,
    /// Enough is removed, or nothing is left to.
    End,
}

impl Relief {
    pub(super) fn new(excess: u64) -> Relief {
        Relief { excess, oldest: OldestFirst::new(APPS_HELD), looking: Some(None), last: None }
    }

    /// A step removed so many bytes.
    pub(super) fn removed(&mut self, bytes: u64) {
        self.excess = self.excess.saturating_sub(bytes);
        if bytes == 0 {
            // Nothing of it may go: it is not asked again.
            self.last = None;
        }
    }

    /// The next step, after a look at no more than `looks` applications.
    ///
    /// # Errors
    /// Whatever the store reports; an application that cannot be read is passed by.
    pub(super) fn next(&mut self, store: &dyn Store, looks: usize) -> Result<Found, StoreError> {
        if self.excess == 0 {
            return Ok(Found::End);
        }
        if let Some(after) = self.looking {
            self.looking = self.look(store, after, looks)?;
            return Ok(Found::Nothing);
        }
        if let Some(app) = self.last.take() {
            self.offer(store, app)?;
        }
        let Some(app) = self.oldest.pop() else { return Ok(Found::End) };
        self.last = Some(app);
        let rows = (self.excess.div_ceil(BLOCK_BYTES) as usize).clamp(1, ROWS_PER_STEP);
        Ok(Found::Step(Step::Events { app, upto: Seq::MAX, rows }))
    }

    fn look(
        &mut self,
        store: &dyn Store,
        mut after: Option<AppId>,
        looks: usize,
    ) -> Result<Option<Option<AppId>>, StoreError> {
        for _ in 0..looks {
            let Some(app) = log::next_app(store, after)? else { return Ok(None) };
            self.offer(store, app)?;
            after = Some(app);
        }
        Ok(Some(after))
    }

    fn offer(&mut self, store: &dyn Store, app: AppId) -> Result<(), StoreError> {
        match log::oldest(store, app) {
            Ok(Some(at)) => self.oldest.offer(at, app),
            Ok(None) => {}
            Err(error) if store.poisoned().is_some() => return Err(error),
            // A key that cannot be read: as old as can be, so that its row goes.
            Err(_) => self.oldest.offer(model::UnixMs::ZERO, app),
        }
        Ok(())
    }
}
