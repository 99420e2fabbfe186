//! An endpoint's retries: the nearest ones in memory, all of them on disk. So are scheduled messages whose time comes: they
//! are rows of the same index.
//!
//! Memory holds a range of the due index, from its beginning to `loaded_upto`. Retries that fall due beyond that are
//! left to the disk and loaded when the range runs low. So a million pending retries cost as much memory as a few
//! hundred.
//!
//! A load reads the store while new retries are decided. The shell first waits until all earlier settlements are
//! durable. Retries that are decided or settled meanwhile are noted here and set right when the load arrives.
//!
//! Pure. Keys only: a key is checked for being current when its row and event are fetched.

use foldhash::{HashMap, HashSet};
use model::{Seq, UnixMs};
use std::collections::BTreeMap;

pub use model::Urgency;

/// A place in the due index.
pub type DueKey = (UnixMs, Seq);

/// Before every key.
const START: DueKey = (UnixMs::ZERO, Seq::ZERO);

/// The nearest retries of one endpoint.
#[derive(Debug)]
pub struct Retries {
    nearest: BTreeMap<DueKey, Urgency>,
    /// How many of them are first tries.
    firsts: usize,
    capacity: usize,
    /// Memory holds every retry up to here; none means every one there is.
    loaded_upto: Option<DueKey>,
    loading: Option<Loading>,
    /// Deliveries out for an attempt or for their rows, with the due time that they were taken at.
    taken: HashMap<Seq, UnixMs>,
    /// Deliveries in flight that are due under another key too: put back in line by hand meanwhile. The due index is
    /// read again once they are back.
    again: HashSet<Seq>,
}

/// The changes while a load was under way.
#[derive(Debug, Default)]
struct Loading {
    decided: Vec<DueKey>,
    /// The first of those decided that found no room in `decided`.
    decided_beyond: Option<DueKey>,
    settled: HashSet<DueKey>,
    /// The load no longer finds all that memory lacks: rows were added by hand, or memory had to let go of some. It is
    /// made again.
    stale: bool,
}

/// The next load from the due index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueLoad {
    /// Exclusive; none means from the beginning.
    pub after: Option<DueKey>,
    /// At most so many.
    pub limit: usize,
}

impl Retries {
    /// With `on_disk`, there may be retries on disk, and a load comes first; without, there are none.
    #[must_use]
    pub fn new(capacity: usize, on_disk: bool) -> Retries {
        Retries {
            nearest: BTreeMap::new(),
            firsts: 0,
            capacity: capacity.max(1),
            loaded_upto: on_disk.then_some(START),
            loading: None,
            taken: HashMap::default(),
            again: HashSet::default(),
        }
    }

    /// A retry was decided; its row is on its way to the disk.
    pub fn add(&mut self, key: DueKey) {
        if self.loaded_upto.is_none_or(|upto| key <= upto) {
            self.keep(key, Urgency::Retry);
            self.shed();
        } else if let Some(loading) = &mut self.loading {
            if loading.decided.len() < self.capacity * 4 {
                loading.decided.push(key);
            } else {
                loading.decided_beyond = Some(loading.decided_beyond.map_or(key, |first| first.min(key)));
            }
        }
    }

    /// Rows were added by hand, unknown to this memory: they are read from the beginning again.
    pub fn reload(&mut self) {
        self.loaded_upto = Some(START);
        if let Some(loading) = &mut self.loading {
            loading.stale = true;
        }
    }

    /// The load to make now, if one is due: none under way, more on disk, and memory running low.
    ///
    /// A load from the beginning does not wait until memory runs low. A retry that was asked for by hand may be due
    /// before all that is in memory.
    pub fn next_load(&mut self) -> Option<DueLoad> {
        let after = self.loaded_upto?;
        if self.loading.is_some() || (after != START && self.nearest.len() > self.capacity / 2) {
            return None;
        }
        self.loading = Some(Loading::default());
        let after = (after != START).then_some(after);
        Some(DueLoad { after, limit: self.capacity })
    }

    /// Takes the rows of the load `asked`, ascending.
    ///
    /// A load from the beginning replaces all that is in memory, with keys that mean nothing any more.
    pub fn loaded(&mut self, asked: DueLoad, rows: Vec<(DueKey, Urgency)>) {
        let Some(loading) = self.loading.take() else { return };
        if loading.stale {
            return;
        }
        if asked.after.is_none() {
            self.nearest.clear();
            self.firsts = 0;
        }
        self.loaded_upto = if rows.len() < asked.limit { None } else { rows.last().map(|(key, _)| *key) };
        if let Some((due, seq)) = loading.decided_beyond
            && self.loaded_upto.is_none_or(|upto| (due, seq) <= upto)
        {
            self.loaded_upto = Some((due, seq.previous()));
        }
        let decided = loading.decided.into_iter().map(|key| (key, Urgency::Retry));
        for (key, urgency) in rows.into_iter().chain(decided) {
            let known = loading.settled.contains(&key) || self.taken.get(&key.1) == Some(&key.0);
            if !known && self.loaded_upto.is_none_or(|upto| key <= upto) {
                self.keep(key, urgency);
            }
        }
        self.shed();
    }

    /// A load failed or was dropped: it may be asked for again.
    pub fn load_failed(&mut self) {
        // Retries decided meanwhile lie beyond `loaded_upto`, so the next load finds them.
        self.loading = None;
    }

    /// The time at which the first retry in memory is due.
    #[must_use]
    pub fn next_due(&self) -> Option<UnixMs> {
        self.nearest.first_key_value().map(|((due, _), _)| *due)
    }

    /// The first row after `now`.
    #[must_use]
    pub fn next_due_after(&self, now: UnixMs) -> Option<UnixMs> {
        self.nearest.range((now, Seq::MAX)..).next().map(|((due, _), _)| *due)
    }

    /// True if a row of a kind that is wanted is due by `now`.
    pub fn is_due(&self, now: UnixMs, wanted: impl Fn(Urgency) -> bool) -> bool {
        let mut due = self.nearest.iter().take_while(|((due, _), _)| *due <= now);
        due.any(|(_, urgency)| wanted(*urgency))
    }

    /// The first row that is due by `now`, of the kinds that are wanted.
    ///
    /// One whose delivery is `in_flight` is set aside: it is looked for again when the delivery is back.
    pub fn first_due(
        &mut self,
        now: UnixMs,
        wanted: impl Fn(Urgency) -> bool,
        in_flight: impl Fn(Seq) -> bool,
    ) -> Option<DueKey> {
        loop {
            let mut due = self.nearest.iter().take_while(|((due, _), _)| *due <= now);
            let (key, _) = due.find(|(_, urgency)| wanted(**urgency))?;
            let key = *key;
            if !self.taken.contains_key(&key.1) && !in_flight(key.1) {
                return Some(key);
            }
            self.let_go(key);
            self.again.insert(key.1);
        }
    }

    /// Scheduled messages that fall due after the first time and by the second.
    pub fn firsts_due(&self, after: UnixMs, by: UnixMs) -> impl Iterator<Item = DueKey> + '_ {
        let range = (after < by && self.firsts > 0).then(|| self.nearest.range((after, Seq::MAX)..=(by, Seq::MAX)));
        range.into_iter().flatten().filter(|(_, urgency)| **urgency == Urgency::First).map(|(key, _)| *key)
    }

    /// True if this scheduled message is in memory and waits.
    #[must_use]
    pub fn has_first(&self, key: DueKey) -> bool {
        self.nearest.get(&key) == Some(&Urgency::First)
    }

    /// Takes a row out until [`Retries::settled`].
    pub fn take(&mut self, key: DueKey) {
        self.let_go(key);
        self.taken.insert(key.1, key.0);
    }

    /// The attempt of a taken retry ended, or it turned out to mean nothing.
    pub fn settled(&mut self, key: DueKey) {
        self.taken.remove(&key.1);
        if let Some(loading) = &mut self.loading {
            loading.settled.insert(key);
            loading.stale |= loading.settled.len() > self.capacity * 4;
        }
        self.landed(key.1);
    }

    /// A delivery that was not taken from here, a first try, is no longer in flight.
    pub fn landed(&mut self, seq: Seq) {
        if !self.again.is_empty() && self.again.remove(&seq) {
            self.reload();
        }
    }

    /// Nothing came of a taken retry: it is as due as before.
    pub fn returned(&mut self, key: DueKey) {
        self.taken.remove(&key.1);
        self.again.remove(&key.1);
        self.reload();
    }

    /// True if a load of the due index is under way.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// Retries in memory that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.nearest.len()
    }

    /// True when memory holds every retry that there is.
    #[must_use]
    pub fn knows_all(&self) -> bool {
        self.loaded_upto.is_none() && self.loading.is_none()
    }

    /// True when memory holds the nearest ones: no load from the beginning is wanted or under way.
    #[must_use]
    pub fn knows_nearest(&self) -> bool {
        self.loaded_upto != Some(START) && self.loading.is_none()
    }

    /// Deliveries in memory that are more than scheduled: they wait for a retry, or were asked for by hand.
    pub fn begun(&self) -> impl Iterator<Item = Seq> + '_ {
        self.nearest.iter().filter(|(_, urgency)| **urgency != Urgency::First).map(|((_, seq), _)| *seq)
    }

    /// True if there is one of those, in memory or out for an attempt.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.nearest.len() > self.firsts || !self.taken.is_empty()
    }

    /// True if there is no retry, neither here nor on disk.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.nearest.is_empty() && self.taken.is_empty() && self.loaded_upto.is_none() && self.loading.is_none()
    }

    fn keep(&mut self, key: DueKey, urgency: Urgency) {
        let before = self.nearest.insert(key, urgency);
        self.firsts += usize::from(urgency == Urgency::First);
        self.firsts -= usize::from(before == Some(Urgency::First));
    }

    fn let_go(&mut self, key: DueKey) {
        let before = self.nearest.remove(&key);
        self.firsts -= usize::from(before == Some(Urgency::First));
    }

    /// Keeps the bound: the furthest retries are on disk only again.
    fn shed(&mut self) {
        while self.nearest.len() > self.capacity * 2
            && let Some((last, _)) = self.nearest.last_key_value()
        {
            self.let_go(*last);
            self.loaded_upto = self.nearest.last_key_value().map(|(key, _)| *key);
            if let Some(loading) = &mut self.loading {
                loading.stale = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
