//! The use of each quota by one application, and by the application that uses most of it.
//!
//! The store keeps the counts, so a look is a few reads.

use crate::control::Control;
use crate::error::Error;
use crate::limits::Quotas;
use model::{AppId, UnixMs};
use std::collections::HashMap;
use storage::Read;
use storage::tables::count::{self, Counted};
use storage::tables::{api_key, dead_letter, endpoint, event_type, idempotency, job, schedule};
use storage::writer::WriterQuotas;

/// Counts read in one step.
const PAGE: usize = 1_024;

/// Names of quotas, as the metrics have them.
pub const NAMES: [&str; 8] = [
    "endpoints",
    "api_keys",
    "event_types",
    "running_jobs",
    "jobs",
    "idempotency_keys",
    "dead_letters",
    "scheduled_messages",
];

/// A count, and its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The number of things. It is above `most` where the quota was lowered.
    pub used: u32,
    /// The quota: the number of things that there may be.
    pub most: u32,
}

/// The counts of one application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Endpoints.
    pub endpoints: Used,
    /// API keys that are limited to it.
    pub api_keys: Used,
    /// Jobs that have more to do.
    pub running_jobs: Used,
    /// Jobs that are kept, ended ones included.
    pub jobs: Used,
    /// Dead letters; beyond the quota the oldest make room.
    pub dead_letters: Used,
    /// Idempotency keys that are remembered.
    pub idempotency_keys: Used,
    /// Messages whose time has not come.
    pub scheduled_messages: Used,
}

impl Control {
    /// The counts of `app`. API keys have no count, so all of them are read; their number is bounded.
    ///
    /// # Errors
    /// Damage, and any error of the store.
    pub fn usage(&self, app: AppId) -> Result<Usage, Error> {
        let (read, quotas, of_writer) = (self.view(), self.rules().quotas, self.engine().config().quotas);
        let (running, kept) = job::count(read, app)?;
        let now = self.engine().now();
        let keys = api_key::list(read)?.iter().filter(|row| row.app == Some(app) && row.is_current(now)).count();
        let used = |used, most| Used { used, most };
        Ok(Usage {
            endpoints: used(endpoint::count(read, app)?, quotas.endpoints),
            api_keys: used(u32::try_from(keys).unwrap_or(u32::MAX), quotas.api_keys),
            running_jobs: used(running, quotas.running_jobs),
            jobs: used(kept, quotas.jobs),
            dead_letters: used(dead_letter::count(read, app)?, of_writer.dead_letters),
            idempotency_keys: used(idempotency::count(read, app)?, of_writer.idempotency_keys),
            scheduled_messages: used(schedule::count(read, app)?, of_writer.scheduled_messages),
        })
    }

    /// For each of [`NAMES`], the share of the quota that its heaviest application uses: 1.0 is all of it. Reads the
    /// counts of all applications.
    ///
    /// # Errors
    /// Damage, and any error of the store.
    pub fn fullest(&self) -> Result<[f64; NAMES.len()], Error> {
        let now = self.engine().now();
        fullest(self.view(), self.rules().quotas, self.engine().config().quotas, now)
    }
}

fn fullest(
    read: &(impl Read + ?Sized),
    quotas: Quotas,
    of_writer: WriterQuotas,
    now: UnixMs,
) -> Result<[f64; NAMES.len()], Error> {
    let mut most_used = [0u32; NAMES.len()];
    let mut after = None;
    loop {
        let (counts, next) = count::list_counts(read, after, PAGE)?;
        for (counted, count) in counts {
            let place = match counted {
                Counted::Endpoints(_) => 0,
                Counted::EventTypes => 2,
                Counted::RunningJobs(_) => 3,
                Counted::Jobs(_) => 4,
                Counted::IdempotencyKeys(_) => 5,
                Counted::DeadLetters(_) => 6,
                Counted::ScheduledMessages(_) => 7,
            };
            most_used[place] = most_used[place].max(count);
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    // A store of an earlier version may not have noted it yet.
    most_used[2] = event_type::count(read)?;
    let mut keys: HashMap<AppId, u32> = HashMap::new();
    let current = api_key::list(read)?.into_iter().filter(|row| row.is_current(now));
    for app in current.filter_map(|row| row.app) {
        *keys.entry(app).or_default() += 1;
    }
    most_used[1] = keys.into_values().max().unwrap_or(0);
    let most = [
        quotas.endpoints,
        quotas.api_keys,
        quotas.event_types,
        quotas.running_jobs,
        quotas.jobs,
        of_writer.idempotency_keys,
        of_writer.dead_letters,
        of_writer.scheduled_messages,
    ];
    let mut ratios = [0.0; NAMES.len()];
    for (ratio, (used, most)) in ratios.iter_mut().zip(most_used.into_iter().zip(most)) {
        *ratio = f64::from(used) / f64::from(most.max(1));
    }
    Ok(ratios)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::store_of;
    use model::{ApiKeyRow, DeadLetter, DeadLetterReason, Endpoint, EndpointId, EndpointRef, Seq, UnixMs};

    fn target(app: u32, endpoint: u32) -> EndpointRef {
        EndpointRef { app: AppId(app), endpoint: EndpointId(endpoint) }
    }

    #[test]
    fn the_fullest_application_is_told_for_each_quota() {
        let store = store_of(|txn| {
            for (app, endpoints) in [(1, 2), (2, 5), (30, 1)] {
                for number in 0..endpoints {
                    let row = Endpoint::plain(target(app, app * 10 + number), UnixMs(1));
                    endpoint::put(txn, &row)?;
                    let hash = [(app * 10 + number) as u8; 32];
                    let row = ApiKeyRow::plain(hash, String::new(), Some(AppId(app)), UnixMs(1));
                    api_key::put(txn, &row)?;
                }
            }
            let reason = DeadLetterReason::Rejected;
            let letter = DeadLetter { at: UnixMs(1), attempts: 1, reason, last_outcome: None, last_status: 400 };
            (1..=3).try_for_each(|seq| dead_letter::put(txn, target(30, 300), Seq(seq), &letter))
        });
        let quotas = Quotas { endpoints: 10, api_keys: 20, ..Quotas::default() };
        let of_writer = WriterQuotas { dead_letters: 4, ..WriterQuotas::default() };
        let ratios = fullest(&store, quotas, of_writer, UnixMs(5)).unwrap();
        assert_eq!(ratios, [0.5, 0.25, 0.0, 0.0, 0.0, 0.0, 0.75, 0.0]);
    }
}
