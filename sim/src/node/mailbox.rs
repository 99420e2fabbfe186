//! Mailboxes in place of actors: bounded like theirs, emptied when the simulation says so.

use crate::plant::Plant;
use engine::endpoint::mailbox::{Input, Mailbox};
use engine::shard::core::{Actors, LaneCell, ShardCore};
use model::AppId;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// News for the shard once a message was taken, or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// A fetch is over: its place is free, unless it was taken and led to an attempt.
    FetchOver,
    /// A read of the log is over, for which so many bytes were set aside.
    LogReadOver(usize),
}

/// One endpoint's mailbox, with the lane behind it.
pub struct SimMailbox {
    /// In the order they were made.
    pub serial: u64,
    /// Its lane.
    pub cell: Rc<LaneCell>,
    capacity: usize,
    waiting: RefCell<VecDeque<(Input, After)>>,
    stopped: Cell<bool>,
    /// Pokes are lost: a planted bug.
    deaf: Cell<bool>,
}

impl SimMailbox {
    /// True if a message waits.
    #[must_use]
    pub fn has_mail(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// True if there is room for one more, or nobody to take it.
    #[must_use]
    pub fn takes_more(&self) -> bool {
        self.stopped.get() || self.waiting.borrow().len() < self.capacity
    }

    /// Messages that end a fetch: each still holds its place.
    #[must_use]
    pub fn landings(&self) -> usize {
        let landing = |after: &After| matches!(after, After::FetchOver);
        self.waiting.borrow().iter().filter(|(_, after)| landing(after)).count()
    }

    /// Puts in the end of something, with what follows once it is taken. `false` when nobody will take it. To be called
    /// only when there is room.
    #[must_use]
    pub fn tell(&self, input: Input, after: After) -> bool {
        if !self.stopped.get() {
            self.waiting.borrow_mut().push_back((input, after));
        }
        !self.stopped.get()
    }

    /// The next message.
    #[must_use]
    pub fn next(&self) -> Option<(Input, After)> {
        self.waiting.borrow_mut().pop_front()
    }

    /// Its actor ends; waiting messages are dropped. Answers what follows from that.
    #[must_use]
    pub fn end(&self) -> Vec<After> {
        self.stopped.set(true);
        self.waiting.take().into_iter().map(|(_, after)| after).collect()
    }
}

impl Mailbox for SimMailbox {
    fn try_send(&self, input: Input) -> bool {
        if matches!(input, Input::Poke) && self.deaf.get() {
            return true;
        }
        if self.stopped.get() || self.waiting.borrow().len() >= self.capacity {
            return false;
        }
        self.waiting.borrow_mut().push_back((input, After::Nothing));
        true
    }
}

/// A mailbox whose full state is told to nobody: a planted bug.
struct Forgetful(Rc<SimMailbox>);

impl Mailbox for Forgetful {
    fn try_send(&self, input: Input) -> bool {
        let offer = matches!(input, Input::Offer { .. });
        self.0.try_send(input) || offer
    }
}

/// All mailboxes of a shard.
pub(super) struct Mailboxes {
    offers_max: usize,
    plant: Option<Plant>,
    all: RefCell<BTreeMap<u64, Rc<SimMailbox>>>,
    made: Cell<u64>,
}

impl Mailboxes {
    pub(super) fn new(offers_max: usize, plant: Option<Plant>) -> Mailboxes {
        Mailboxes { offers_max, plant, all: RefCell::default(), made: Cell::new(0) }
    }

    pub(super) fn get(&self, serial: u64) -> Option<Rc<SimMailbox>> {
        self.all.borrow().get(&serial).cloned()
    }

    /// Those with mail, in the order they were made; forgets those that nobody can write to any more.
    pub(super) fn with_mail(&self, mut each: impl FnMut(u64)) {
        let mut all = self.all.borrow_mut();
        all.retain(|_, mailbox| !mailbox.stopped.get() && (mailbox.has_mail() || Rc::strong_count(mailbox) > 1));
        all.values().filter(|mailbox| mailbox.has_mail()).for_each(|mailbox| each(mailbox.serial));
    }

    pub(super) fn any_mail(&self) -> bool {
        self.all.borrow().values().any(|mailbox| mailbox.has_mail())
    }

    /// Attempts that ended and whose lanes do not know yet, and ends of fetches that nobody took, by application.
    pub(super) fn places_taken(&self) -> BTreeMap<AppId, usize> {
        let mut taken = BTreeMap::new();
        for mailbox in self.all.borrow().values() {
            let count = mailbox.cell.ended.borrow().len() + mailbox.landings();
            *taken.entry(mailbox.cell.target.app).or_default() += count;
        }
        taken
    }

    /// From here on, until called again, nobody hears a poke.
    pub(super) fn deafen(&self, deaf: bool) {
        self.all.borrow().values().for_each(|mailbox| mailbox.deaf.set(deaf));
    }
}

/// Makes mailboxes for a shard.
pub(super) struct Opener(pub(super) Rc<Mailboxes>);

impl Actors for Opener {
    fn start(&self, _shard: &Rc<ShardCore>, cell: &Rc<LaneCell>) -> Rc<dyn Mailbox> {
        let serial = self.0.made.get();
        self.0.made.set(serial + 1);
        let in_flight_max = cell.plan.borrow().policy.max_in_flight;
        let mailbox = Rc::new(SimMailbox {
            serial,
            cell: cell.clone(),
            capacity: self.0.offers_max + usize::from(in_flight_max),
            waiting: RefCell::default(),
            stopped: Cell::new(false),
            deaf: Cell::new(false),
        });
        self.0.all.borrow_mut().insert(serial, mailbox.clone());
        if self.0.plant == Some(Plant::LostOffer) { Rc::new(Forgetful(mailbox)) } else { mailbox }
    }
}
