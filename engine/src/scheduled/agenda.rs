//! The agenda: which application's scheduled messages are put in line next, and when.
//!
//! Pure but for the reads that it is given a store for.

use super::batch::{self, Batch};
use super::bell::Rung;
use super::horizon;
use model::{AppId, UnixMs};
use std::collections::{BTreeMap, BTreeSet};
use storage::tables::schedule;
use storage::{Read, StoreError};

/// Applications with scheduled messages, by the time of each one's first.
#[derive(Debug, Default)]
pub struct Agenda {
    first: BTreeMap<AppId, UnixMs>,
    order: BTreeSet<(UnixMs, AppId)>,
    /// The rows were read: that is done once, after the start.
    is_loaded: bool,
}

/// The next thing to do.
#[derive(Debug)]
pub enum Next {
    /// Messages to put in line. [`Agenda::made`] or [`Agenda::again`] is to be told.
    Batch(Batch),
    /// Nothing before this time; without one, not until the bell rings.
    Idle {
        /// When to look again.
        until: Option<UnixMs>,
    },
}

impl Agenda {
    /// When to look again, if nothing is to be done at `now`, which needs no read. None when there may be something.
    #[must_use]
    pub fn idle_until(&self, rung: &Rung, now: UnixMs) -> Option<Option<UnixMs>> {
        let is_idle = self.is_loaded && rung.is_empty() && self.due(now).is_none();
        is_idle.then(|| self.wakes_at())
    }

    /// The next thing to do, after the bell has rung for these.
    ///
    /// # Errors
    /// Whatever the store reports; nothing is forgotten then.
    pub fn look(&mut self, read: &(impl Read + ?Sized), rung: Rung, now: UnixMs) -> Result<Next, StoreError> {
        for (app, at) in rung {
            if self.first.get(&app).is_none_or(|first| at < *first) {
                self.set(app, Some(at));
            }
        }
        self.load(read)?;
        while let Some(app) = self.due(now) {
            match batch::find(read, app, horizon(now))? {
                Some(batch) => return Ok(Next::Batch(batch)),
                // It was called off, or deleted with its application.
                None => self.set(app, schedule::first(read, app)?),
            }
        }
        Ok(Next::Idle { until: self.wakes_at() })
    }

    /// A batch is durable. `next` is when its application has more to put in line.
    pub fn made(&mut self, app: AppId, next: Option<UnixMs>, now: UnixMs) {
        // One that has more to do at once comes behind all others that are due.
        self.set(app, next.map(|next| next.max(horizon(now))));
    }

    /// A batch was not made: its application has its turn again, not before `now`.
    pub fn again(&mut self, app: AppId, now: UnixMs) {
        self.set(app, Some(horizon(now)));
    }

    /// When something is to be done next.
    #[must_use]
    pub fn wakes_at(&self) -> Option<UnixMs> {
        self.order.first().map(|(at, _)| UnixMs(at.0.saturating_sub(super::AHEAD_MS)))
    }

    fn load(&mut self, read: &(impl Read + ?Sized)) -> Result<(), StoreError> {
        let mut after = None;
        while !self.is_loaded {
            match schedule::next_app(read, after)? {
                Some((app, at)) => {
                    self.set(app, Some(at));
                    after = Some(app);
                }
                None => self.is_loaded = true,
            }
        }
        Ok(())
    }

    /// The application whose messages come first, if they are to be put in line at `now`.
    fn due(&self, now: UnixMs) -> Option<AppId> {
        self.order.first().filter(|(at, _)| *at <= horizon(now)).map(|(_, app)| *app)
    }

    fn set(&mut self, app: AppId, at: Option<UnixMs>) {
        if let Some(before) = self.first.remove(&app) {
            self.order.remove(&(before, app));
        }
        if let Some(at) = at {
            self.first.insert(app, at);
            self.order.insert((at, app));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduled::AHEAD_MS;

    fn agenda(entries: &[(u32, u64)]) -> Agenda {
        let mut agenda = Agenda { is_loaded: true, ..Agenda::default() };
        entries.iter().for_each(|(app, at)| agenda.set(AppId(*app), Some(UnixMs(*at))));
        agenda
    }

    #[test]
    fn an_application_with_a_million_at_once_delays_another_by_one_batch() {
        let mut agenda = agenda(&[(1, 5_000), (2, 5_500)]);
        assert_eq!(agenda.due(UnixMs(3_999)), None);
        let now = UnixMs(5_500 - AHEAD_MS);
        assert_eq!(agenda.due(now), Some(AppId(1)));
        agenda.made(AppId(1), Some(UnixMs(5_000)), now);
        // Both stand at the horizon now; by the next look the other one is first.
        let later = now.plus_ms(1);
        agenda.made(AppId(1), Some(UnixMs(5_000)), later);
        assert_eq!(agenda.due(later), Some(AppId(2)));
        agenda.made(AppId(2), None, later);
        assert_eq!(agenda.due(later), Some(AppId(1)));
    }

    #[test]
    fn it_wakes_a_moment_before_the_first_and_a_sooner_one_moves_that() {
        let (mut agenda, store) = (agenda(&[(1, 9_000)]), storage::store::MemoryStore::new());
        assert_eq!(agenda.idle_until(&Rung::new(), UnixMs(10)), Some(Some(UnixMs(9_000 - AHEAD_MS))));
        let rung: Rung = [(AppId(1), UnixMs(20_000)), (AppId(2), UnixMs(7_000))].into();
        assert_eq!(agenda.idle_until(&rung, UnixMs(10)), None);
        let next = agenda.look(&store, rung, UnixMs(10)).unwrap();
        assert!(matches!(next, Next::Idle { until: Some(at) } if at == UnixMs(7_000 - AHEAD_MS)), "{next:?}");
        // The rows say that there are none.
        let next = agenda.look(&store, Rung::new(), UnixMs(50_000)).unwrap();
        assert!(matches!(next, Next::Idle { until: None }), "{next:?}");
    }
}
