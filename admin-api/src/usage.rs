//! How much of each quota an application uses, and how much the application uses that uses most.
//!
//! The store keeps the counts, so a look is a few reads. A metric with a label for each application would have too many
//! series: the metric shows the fullest application, and the route shows any.

use crate::error::ApiError;
use crate::state::ApiState;
use control::Quotas;
use metrics::Gauge;
use model::{AppId, metric};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use storage::StoreError;
use storage::read::Read;
use storage::tables::count::{self, Counted};
use storage::tables::{api_key, dead_letter, endpoint, event_type, idempotency, job};
use storage::writer::WriterQuotas;

/// The least time between two looks for the fullest.
const PERIOD: Duration = Duration::from_secs(10);

/// A look that took long is followed by a rest of at least so many times as long.
const REST_FACTOR: u32 = 20;

/// Counts read in one step.
const PAGE: usize = 1_024;

/// Names of quotas in metrics: [`REFUSING`], and the one that makes room.
const NAMES: [&str; 7] =
    ["endpoints", "api_keys", "event_types", "running_jobs", "jobs", "idempotency_keys", "dead_letters"];

/// The quotas that refuse.
pub(crate) const REFUSING: [&str; 6] =
    ["endpoints", "api_keys", "event_types", "running_jobs", "jobs", "idempotency_keys"];

/// A count, and its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) used: u32,
    pub(crate) most: u32,
}

/// The counts of one application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) endpoints: Used,
    pub(crate) api_keys: Used,
    pub(crate) running_jobs: Used,
    pub(crate) jobs: Used,
    pub(crate) dead_letters: Used,
    pub(crate) idempotency_keys: Used,
}

impl Usage {
    /// Reads the counts of `app`. API keys have none, so it reads all of them; their number is bounded.
    pub(crate) fn of(state: &ApiState, app: AppId) -> Result<Usage, ApiError> {
        let read = &**state.store();
        let (quotas, of_writer) = (state.limits.quotas, state.engine_config().quotas);
        let (running, kept) = job::count(read, app)?;
        let keys = api_key::list(read)?.iter().filter(|row| row.app == Some(app)).count();
        let used = |used, most| Used { used, most };
        Ok(Usage {
            endpoints: used(endpoint::count(read, app)?, quotas.endpoints),
            api_keys: used(u32::try_from(keys).unwrap_or(u32::MAX), quotas.api_keys),
            running_jobs: used(running, quotas.running_jobs),
            jobs: used(kept, quotas.jobs),
            dead_letters: used(dead_letter::count(read, app)?, of_writer.dead_letters),
            idempotency_keys: used(idempotency::count(read, app)?, of_writer.idempotency_keys),
        })
    }
}

/// Sets the gauges of the fullest application now and then. Never ends.
pub async fn watch(state: ApiState) {
    let gauges = NAMES.map(|quota| metrics::gauge!(metric::QUOTA_USED_RATIO_MAX, "quota" => quota));
    gauges.iter().for_each(|gauge| gauge.set(0.0));
    loop {
        let begun = Instant::now();
        let of_engine = state.clone();
        let look = move || fullest(&**of_engine.store(), of_engine.limits.quotas, of_engine.engine_config().quotas);
        if let Ok(Ok(ratios)) = tokio::task::spawn_blocking(look).await {
            gauges.iter().zip(ratios).for_each(|(gauge, ratio): (&Gauge, f64)| gauge.set(ratio));
        }
        tokio::time::sleep(PERIOD.max(begun.elapsed() * REST_FACTOR)).await;
    }
}

/// For each of [`NAMES`], the ratio of the fullest application.
fn fullest(
    read: &(impl Read + ?Sized),
    quotas: Quotas,
    of_writer: WriterQuotas,
) -> Result<[f64; NAMES.len()], StoreError> {
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
    for app in api_key::list(read)?.into_iter().filter_map(|row| row.app) {
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
    use model::{ApiKeyRow, DeadLetter, DeadLetterReason, Endpoint, EndpointId, EndpointRef, Seq, UnixMs};
    use storage::store::MemoryStore;
    use storage::{Store, Txn};

    fn target(app: u32, endpoint: u32) -> EndpointRef {
        EndpointRef { app: AppId(app), endpoint: EndpointId(endpoint) }
    }

    #[test]
    fn the_fullest_application_is_told_for_each_quota() {
        let store = MemoryStore::new();
        let mut txn = Txn::new(&store);
        for (app, endpoints) in [(1, 2), (2, 5), (30, 1)] {
            for number in 0..endpoints {
                let row = Endpoint::plain(target(app, app * 10 + number), UnixMs(1));
                endpoint::put(&mut txn, &row).unwrap();
                let hash = [(app * 10 + number) as u8; 32];
                let row = ApiKeyRow { hash, name: String::new(), app: Some(AppId(app)), created_at: UnixMs(1) };
                api_key::put(&mut txn, &row).unwrap();
            }
        }
        let reason = DeadLetterReason::Rejected;
        let letter = DeadLetter { at: UnixMs(1), attempts: 1, reason, last_outcome: None, last_status: 400 };
        for seq in 1..=3 {
            dead_letter::put(&mut txn, target(30, 300), Seq(seq), &letter).unwrap();
        }
        store.apply(txn.into_parts().0).unwrap();
        let quotas = Quotas { endpoints: 10, api_keys: 20, ..Quotas::default() };
        let ratios = fullest(&store, quotas, WriterQuotas { dead_letters: 4, ..WriterQuotas::default() }).unwrap();
        assert_eq!(ratios, [0.5, 0.25, 0.0, 0.0, 0.0, 0.0, 0.75]);
    }
}
