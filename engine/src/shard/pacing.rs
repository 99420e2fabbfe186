//! The attempts that one endpoint may start in one go by its application's pace, if that has one.
//!
//! The shard asks only when nothing of the endpoint's own stands in the way. An endpoint that may not send (its breaker
//! is open, its window is full) takes no part of the rate, and no turn.

use super::core::LaneCell;
use crate::endpoint::lane::Lane;
use crate::pace::AppPace;
use model::UnixMs;
use std::sync::Arc;

/// A lease of an endpoint, from the first attempt that it wants to start to the last of this go.
pub(super) struct Pacing<'a> {
    cell: &'a LaneCell,
    pace: Option<Arc<AppPace>>,
    /// Attempts that may still start.
    left: u32,
    /// The pace said no; when to ask again.
    again_at: Option<UnixMs>,
}

impl<'a> Pacing<'a> {
    pub(super) fn of(cell: &'a LaneCell) -> Pacing<'a> {
        Pacing { cell, pace: cell.pace.borrow().clone(), left: 0, again_at: None }
    }

    /// True if the lane may start one more.
    pub(super) fn allows(&mut self, lane: &mut Lane, now: UnixMs) -> bool {
        let Some(pace) = &self.pace else { return true };
        if self.left > 0 || !lane.would_start(now) {
            // A lane that would start nothing is asked all the same: it then sets the time at which it would.
            return true;
        }
        let mut turn = self.cell.turn.get();
        let leased = pace.lease(now, &mut turn);
        self.cell.turn.set(turn);
        match leased {
            Ok(attempts) => self.left = attempts,
            Err(at) => self.again_at = Some(at),
        }
        self.left > 0
    }

    /// The lane starts one.
    pub(super) fn take(&mut self) {
        debug_assert!(
            self.pace.is_none() || self.left > 0,
            "a lane started what its application's pace had no room for"
        );
        self.left = self.left.saturating_sub(1);
    }

    /// The lane starts no more for now: the rest goes back. Answers when to look at it again.
    pub(super) fn end(self, wake_at: Option<UnixMs>) -> Option<UnixMs> {
        if let Some(pace) = self.pace.filter(|_| self.left > 0) {
            pace.give_back(self.left);
        }
        self.again_at.into_iter().chain(wake_at).min()
    }
}
