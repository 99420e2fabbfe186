//! The bounds of an application as a whole: whatever its endpoints do, on whatever shards, all of them together start no
//! more than its rate allows, and have no more in flight at once than it may.
//!
//! The simulation gives an application its rate when it is created, and keeps it. A process begins with full buckets,
//! so a crash does too.

use super::{Violation, ensure};
use model::{AppId, Application, UnixMs};
use std::collections::BTreeMap;

/// Of a second's attempts, those that may be saved up besides one.
const SAVED_UP_PER_S: u64 = 10;

/// The cost of an attempt; a rate of so many a second brings as much in a millisecond.
const ATTEMPT: u64 = 1_000;

/// The rates that there are, and the rest of each.
#[derive(Debug, Default)]
pub(super) struct Paces {
    rates: BTreeMap<AppId, u64>,
    /// Attempts at once of applications that bound them.
    slots: BTreeMap<AppId, usize>,
    left: BTreeMap<AppId, Left>,
}

/// The attempts that an application may still start at a time.
#[derive(Clone, Copy, Debug)]
struct Left {
    amount: u64,
    at: UnixMs,
}

impl Paces {
    /// An application's row is durable.
    pub(super) fn put(&mut self, row: &Application) {
        if let Some(most) = row.max_in_flight {
            self.slots.insert(row.id, most as usize);
        }
        if let Some(rate) = row.rate_limit {
            self.rates.insert(row.id, rate.into());
        }
    }

    /// An application's row is gone, and its bounds with it: its endpoints end as their shards hear of it.
    pub(super) fn deleted(&mut self, app: AppId) {
        self.slots.remove(&app);
        self.rates.remove(&app);
    }

    /// So many attempts of each application are in flight, or fetched for, on all shards together.
    pub(super) fn check_slots(&self, taken: &BTreeMap<AppId, usize>) -> Result<(), Violation> {
        taken.iter().try_for_each(|(app, taken)| {
            let most = self.slots.get(app).copied().unwrap_or(usize::MAX);
            ensure!(*taken <= most, "{app} has {taken} attempts in flight at once and may have {most}");
            Ok(())
        })
    }

    /// The process died: the next one knows nothing of what was started.
    pub(super) fn crashed(&mut self) {
        self.left.clear();
    }

    /// An endpoint of an application starts so many attempts, or fetches that lead to some.
    pub(super) fn started(&mut self, app: AppId, count: usize, now: UnixMs) -> Result<(), Violation> {
        let Some(&rate) = self.rates.get(&app) else { return Ok(()) };
        let most = ATTEMPT + ATTEMPT * rate / SAVED_UP_PER_S;
        let left = self.left.entry(app).or_insert(Left { amount: most, at: now });
        left.amount = left.amount.saturating_add(rate * now.since_ms(left.at)).min(most);
        left.at = now;
        let cost = ATTEMPT * count as u64;
        ensure!(
            left.amount >= cost,
            "{app} starts {count} attempts and its pace is {rate} a second for all its endpoints"
        );
        left.amount -= cost;
        Ok(())
    }
}
