//! The mark up to which an endpoint was offered its application's log, and the part that it must read by itself.
//!
//! This is the one place of a shard that says that an endpoint is behind. A full mailbox, a full inbox and a start
//! after a crash all come here. The lane is told before its next input, and reads the log.

use crate::endpoint::lane::Lane;
use model::Seq;
use std::cell::Cell;

/// The mark of one endpoint. Positions only grow.
#[derive(Debug)]
pub(super) struct Offered {
    upto: Cell<Seq>,
    /// To be read from the log, and not said to the lane yet.
    behind_upto: Cell<Seq>,
}

impl Offered {
    /// Of an endpoint that stands there.
    pub(super) fn at(upto: Seq) -> Offered {
        Offered { upto: Cell::new(upto), behind_upto: Cell::new(Seq::ZERO) }
    }

    /// Events up to here are in its mailbox.
    pub(super) fn sent(&self, upto: Seq) {
        self.upto.set(self.upto.get().max(upto));
    }

    /// Events up to here are in the log alone.
    pub(super) fn behind(&self, upto: Seq) {
        self.sent(upto);
        self.behind_upto.set(self.behind_upto.get().max(upto));
    }

    /// Says so to the lane.
    pub(super) fn tell(&self, lane: &mut Lane) {
        let upto = self.behind_upto.take();
        if upto > Seq::ZERO {
            lane.missed(upto);
        }
    }

    /// True if the lane has heard of all of it: nothing waits here or in the mailbox.
    pub(super) fn is_known_to(&self, lane: &Lane) -> bool {
        self.behind_upto.get() == Seq::ZERO && self.upto.get() <= lane.offered_upto()
    }
}
