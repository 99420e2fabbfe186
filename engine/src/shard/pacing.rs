//! The attempts that one endpoint may start in one go by its application's pace and slots, if that has some.
//!
//! The application is asked only when the endpoint's own bounds all allow an attempt. An endpoint that may not send (its
//! breaker is open, its window is full) takes no part of the rate, no turn and no slot.

use super::core::{LaneCell, ShardCore};
use crate::endpoint::lane::Lane;
use crate::pace::{AppPace, AppSlots, LOOK_AGAIN_MS, Wake};
use model::UnixMs;
use std::sync::Arc;

/// A lease of an endpoint, from the first attempt that it wants to start to the last of this go.
pub(super) struct Pacing<'a> {
    cell: &'a LaneCell,
    pace: Option<Arc<AppPace>>,
    /// Attempts that may still start.
    left: u32,
    slots: Option<Arc<AppSlots>>,
    /// A slot is taken for the next attempt.
    has_slot: bool,
    /// The application said no; when to ask again.
    again_at: Option<UnixMs>,
}

impl<'a> Pacing<'a> {
    pub(super) fn of(cell: &'a LaneCell) -> Pacing<'a> {
        let (pace, slots) = (cell.pace.borrow().clone(), cell.slots.borrow().clone());
        Pacing { cell, pace, left: 0, slots, has_slot: false, again_at: None }
    }

    /// True if the lane may start one more.
    pub(super) fn allows(&mut self, shard: &ShardCore, lane: &mut Lane, now: UnixMs) -> bool {
        let is_leased = self.pace.is_none() || self.left > 0;
        let is_slotted = self.slots.is_none() || self.has_slot;
        if is_leased && is_slotted || !lane.would_start(now) {
            // One that would start nothing is asked all the same: it says when it would.
            return true;
        }
        // The pace first: what it leases and is not used goes back and wakes nobody.
        self.lease(now) && self.reserve(shard, now)
    }

    fn lease(&mut self, now: UnixMs) -> bool {
        let Some(pace) = self.pace.as_ref().filter(|_| self.left == 0) else { return true };
        let mut turn = self.cell.turn.get();
        let leased = pace.lease(now, &mut turn);
        self.cell.turn.set(turn);
        match leased {
            Ok(attempts) => self.left = attempts,
            Err(at) => self.again_at = Some(at),
        }
        self.left > 0
    }

    fn reserve(&mut self, shard: &ShardCore, now: UnixMs) -> bool {
        let Some(slots) = self.slots.as_ref().filter(|_| !self.has_slot) else { return true };
        let wake: Arc<dyn Wake> = shard.inbox.clone();
        self.has_slot = slots.reserve(self.cell.target, &wake, now);
        if !self.has_slot {
            self.again_at = Some(now.plus_ms(LOOK_AGAIN_MS));
        }
        self.has_slot
    }

    /// The lane starts one.
    pub(super) fn take(&mut self, shard: &ShardCore) {
        if self.slots.is_none() {
            shard.take_slot_late(self.cell.target.app);
        }
        debug_assert!(
            self.pace.is_none() || self.left > 0,
            "a lane started what its application's pace had no room for"
        );
        debug_assert!(self.slots.is_none() || self.has_slot, "a lane started what its application had no slot for");
        self.left = self.left.saturating_sub(1);
        self.has_slot = false;
    }

    /// The lane starts no more for now: the rest goes back. Answers when to look at it again.
    pub(super) fn end(self, wake_at: Option<UnixMs>) -> Option<UnixMs> {
        if let Some(pace) = self.pace.filter(|_| self.left > 0) {
            pace.give_back(self.left);
        }
        if let Some(slots) = self.slots {
            slots.free(self.has_slot.into());
            slots.pass(self.cell.target);
        }
        self.again_at.into_iter().chain(wake_at).min()
    }
}
