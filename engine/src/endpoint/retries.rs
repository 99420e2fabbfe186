//! An endpoint's retries: the nearest ones in memory, all of them on disk.
//!
//! Memory holds a stretch of the due index, from its beginning to `loaded_upto`. What falls due beyond that is left to
//! the disk and loaded when the stretch runs low. So a million pending retries cost as much memory as a few hundred.
//!
//! A load reads the store while new retries are decided. Whoever runs it first waits until all earlier settlements are
//! durable; what is decided or settled meanwhile is noted here and set right when the load arrives.
//!
//! Pure. Deliberately keys only: whether a key still means something is checked when its row and event are fetched.

use model::{Seq, UnixMs};
use std::collections::{BTreeMap, HashSet};

/// A place in the due index.
pub type DueKey = (UnixMs, Seq);

/// Whether a retry must keep to the retry budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A retry of the schedule: yes.
    Scheduled,
    /// Asked for by hand: no.
    Manual,
}

/// Before every key.
const START: DueKey = (UnixMs::ZERO, Seq::ZERO);

/// The nearest retries of one endpoint.
#[derive(Debug)]
pub struct Retries {
    nearest: BTreeMap<DueKey, Urgency>,
    capacity: usize,
    /// Memory holds every retry up to here; none means every one there is.
    loaded_upto: Option<DueKey>,
    loading: Option<Loading>,
    /// Deliveries whose rows are being fetched or whose attempt is in flight.
    taken: HashSet<Seq>,
    /// Due again while still taken: put back in line by hand during their attempt.
    blocked: Vec<(DueKey, Urgency)>,
}

/// What happened while a load was under way.
#[derive(Debug, Default)]
struct Loading {
    decided: Vec<(DueKey, Urgency)>,
    /// The first of those decided that found no room in `decided`.
    decided_beyond: Option<DueKey>,
    settled: HashSet<DueKey>,
    /// Rows were added behind our back since it began: what it finds may lack them.
    stale: bool,
}

/// What to load from the due index next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueLoad {
    /// Exclusive; none means from the beginning.
    pub after: Option<DueKey>,
    /// At most so many.
    pub limit: usize,
}

impl Retries {
    /// With `on_disk`, there may be retries on disk, and the first thing to do is to load; without, there are none.
    #[must_use]
    pub fn new(capacity: usize, on_disk: bool) -> Retries {
        Retries {
            nearest: BTreeMap::new(),
            capacity: capacity.max(1),
            loaded_upto: on_disk.then_some(START),
            loading: None,
            taken: HashSet::new(),
            blocked: Vec::new(),
        }
    }

    /// A retry was decided; its row is on its way to the disk.
    pub fn add(&mut self, key: DueKey) {
        if self.loaded_upto.is_none_or(|upto| key <= upto) {
            self.nearest.insert(key, Urgency::Scheduled);
            self.shed();
        } else if let Some(loading) = &mut self.loading {
            if loading.decided.len() < self.capacity * 4 {
                loading.decided.push((key, Urgency::Scheduled));
            } else {
                loading.decided_beyond = Some(loading.decided_beyond.map_or(key, |first| first.min(key)));
            }
        }
    }

    /// Rows were added behind our back (by hand): read from the beginning again.
    pub fn reload(&mut self) {
        self.loaded_upto = Some(START);
        if let Some(loading) = &mut self.loading {
            loading.stale = true;
        }
    }

    /// The load to make now, if one is due: none under way, more on disk, and memory running low.
    pub fn next_load(&mut self) -> Option<DueLoad> {
        let after = self.loaded_upto?;
        if self.loading.is_some() || self.nearest.len() > self.capacity / 2 {
            return None;
        }
        self.loading = Some(Loading::default());
        let after = (after != START).then_some(after);
        Some(DueLoad { after, limit: self.capacity })
    }

    /// Takes what a load found, ascending. `asked` is what it was asked.
    pub fn loaded(&mut self, asked: DueLoad, rows: Vec<(DueKey, Urgency)>) {
        let Some(loading) = self.loading.take() else { return };
        if loading.stale {
            return;
        }
        self.loaded_upto = if rows.len() < asked.limit { None } else { rows.last().map(|(key, _)| *key) };
        if let Some((due, seq)) = loading.decided_beyond
            && self.loaded_upto.is_none_or(|upto| (due, seq) <= upto)
        {
            self.loaded_upto = Some((due, seq.previous()));
        }
        let news = rows.into_iter().chain(loading.decided);
        for (key, urgency) in news.filter(|(key, _)| !loading.settled.contains(key)) {
            if self.taken.contains(&key.1) {
                continue;
            }
            if self.loaded_upto.is_none_or(|upto| key <= upto) {
                self.nearest.insert(key, urgency);
            }
        }
        self.shed();
    }

    /// A load failed or was dropped: it may be asked for again.
    pub fn load_failed(&mut self) {
        if self.loading.take().is_some() {
            self.reload();
        }
    }

    /// When the first retry in memory is due.
    #[must_use]
    pub fn next_due(&self) -> Option<UnixMs> {
        self.nearest.first_key_value().map(|((due, _), _)| *due)
    }

    /// When the first retry asked for by hand is due, of those in memory.
    #[must_use]
    pub fn next_manual_due(&self) -> Option<UnixMs> {
        self.nearest.iter().find(|(_, urgency)| **urgency == Urgency::Manual).map(|((due, _), _)| *due)
    }

    /// Takes the first retry that is due by `now`, of all or only of those asked for by hand. It is out until
    /// [`Retries::settled`].
    pub fn pop_due(&mut self, now: UnixMs, only_manual: bool) -> Option<(DueKey, Urgency)> {
        loop {
            let due = self.nearest.iter().take_while(|((due, _), _)| *due <= now);
            let mut wanted = due.filter(|(_, urgency)| !only_manual || **urgency == Urgency::Manual);
            let (key, urgency) = wanted.next().map(|(key, urgency)| (*key, *urgency))?;
            self.nearest.remove(&key);
            if self.taken.insert(key.1) {
                return Some((key, urgency));
            }
            self.blocked.push((key, urgency));
        }
    }

    /// The attempt of a taken retry ended, or it turned out to mean nothing.
    pub fn settled(&mut self, key: DueKey) {
        self.taken.remove(&key.1);
        if !self.blocked.is_empty() {
            let same = |(other, _): &(DueKey, Urgency)| other.1 == key.1;
            let (again, blocked): (Vec<_>, Vec<_>) = self.blocked.drain(..).partition(same);
            self.blocked = blocked;
            self.nearest.extend(again.into_iter().filter(|(other, _)| *other != key));
        }
        if let Some(loading) = &mut self.loading {
            loading.settled.insert(key);
        }
    }

    /// Retries out for an attempt or being fetched.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.len()
    }

    /// Retries in memory that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.nearest.len()
    }

    /// Whether there is no retry, neither here nor on disk.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.nearest.is_empty() && self.taken.is_empty() && self.loaded_upto.is_none() && self.loading.is_none()
    }

    /// Keeps the bound: what is furthest goes back to being on disk only.
    fn shed(&mut self) {
        while self.nearest.len() > self.capacity * 2 {
            self.nearest.pop_last();
            self.loaded_upto = self.nearest.last_key_value().map(|(key, _)| *key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn key(due: u64, seq: u64) -> DueKey {
        (UnixMs(due), Seq(seq))
    }

    #[test]
    fn a_retry_put_back_by_hand_during_its_attempt_comes_after_it() {
        let mut retries = Retries::new(8, false);
        retries.add(key(5, 1));
        let (first, _) = retries.pop_due(UnixMs(9), false).unwrap();
        retries.add(key(7, 1));
        assert_eq!(retries.pop_due(UnixMs(9), false), None);
        retries.settled(first);
        assert_eq!(retries.pop_due(UnixMs(9), true), None, "it was not put there by hand here");
        assert_eq!(retries.pop_due(UnixMs(9), false), Some((key(7, 1), Urgency::Scheduled)));
    }

    #[test]
    fn a_load_that_began_before_rows_were_added_by_hand_is_made_again() {
        let mut retries = Retries::new(8, true);
        let load = retries.next_load().unwrap();
        retries.reload();
        retries.loaded(load, vec![]);
        assert!(!retries.is_clean());
        let load = retries.next_load().unwrap();
        assert_eq!(load.after, None);
        retries.loaded(load, vec![(key(1, 1), Urgency::Manual)]);
        assert_eq!(retries.pop_due(UnixMs(1), true), Some((key(1, 1), Urgency::Manual)));
    }

    proptest! {
        /// Against a disk that takes decisions at once, as the barrier before each load makes it look: every retry is
        /// popped exactly once, never early, and memory stays bounded.
        #[test]
        fn every_retry_comes_once_and_memory_is_bounded(
            steps in proptest::collection::vec((0u8..5, 0u64..60), 1..300), on_disk in 0u64..40,
        ) {
            let capacity = 4;
            let mut disk: BTreeSet<DueKey> = (1..=on_disk).map(|n| key(n * 7 % 50, n)).collect();
            let mut retries = Retries::new(capacity, on_disk > 0);
            let (mut next_seq, mut now, mut load) = (1_000, 0, None::<(DueLoad, Vec<(DueKey, Urgency)>)>);
            let mut out: Vec<DueKey> = Vec::new();
            let run_load = |disk: &BTreeSet<DueKey>, asked: DueLoad| -> Vec<(DueKey, Urgency)> {
                disk.iter().copied().filter(|k| asked.after.is_none_or(|after| *k > after)).take(asked.limit)
                    .map(|k| (k, Urgency::Scheduled)).collect()
            };
            let drain = |retries: &mut Retries, disk: &mut BTreeSet<DueKey>, out: &mut Vec<DueKey>| {
                let settled = out.pop();
                if let Some(key) = settled { disk.remove(&key); retries.settled(key); }
                settled.is_some()
            };
            for (step, amount) in steps {
                match step {
                    0 => { let k = key(now + amount, next_seq); next_seq += 1; disk.insert(k); retries.add(k); }
                    1 => now += amount / 8,
                    2 => if let Some((k, _)) = retries.pop_due(UnixMs(now), false) {
                        prop_assert!(k.0.0 <= now && disk.contains(&k) && !out.contains(&k));
                        out.push(k);
                    },
                    3 => { drain(&mut retries, &mut disk, &mut out); }
                    _ => match load.take() {
                        None => load = retries.next_load().map(|asked| (asked, run_load(&disk, asked))),
                        Some((asked, rows)) => retries.loaded(asked, rows),
                    },
                }
                prop_assert!(retries.waiting() <= capacity * 6);
            }
            // In the end everything comes out.
            if let Some((asked, rows)) = load.take() { retries.loaded(asked, rows); }
            for _ in 0..2_000 {
                while drain(&mut retries, &mut disk, &mut out) {}
                while let Some((k, _)) = retries.pop_due(UnixMs(1_000_000), false) { prop_assert!(!out.contains(&k)); out.push(k); }
                if let Some(asked) = retries.next_load() { let rows = run_load(&disk, asked); retries.loaded(asked, rows); }
            }
            prop_assert!(disk.is_empty(), "left on disk: {:?}", disk);
            prop_assert!(retries.is_clean());
        }
    }
}
