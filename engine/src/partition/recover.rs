//! The reads of a partition's start: marks, endpoints, and the deliveries that each endpoint owes.
//!
//! Start-up is the first refill: endpoints that owe something are told to read the log, endpoints with waiting retries
//! to load them. There is no other recovery.

use crate::router::Router;
use model::{AppId, EndpointRef};
use std::collections::HashMap;
use storage::tables::progress::Progress;
use storage::tables::{application, delivery, endpoint, log};
use storage::{Direction, SharedStore, StoreError};

/// Endpoints, or applications, read in one step.
const ENDPOINTS_PER_SCAN: usize = 1_024;

/// Events routed again in one step.
const REROUTED_PER_STEP: usize = 1_024;

/// Payload bytes read in one step.
const REROUTED_BYTES: usize = 8 << 20;

/// Reads what is needed to go on, and tells the shards which endpoints owe deliveries. Pure but for its reads.
///
/// # Errors
/// Whatever the store reports.
pub fn recover(store: &SharedStore, router: &mut Router) -> Result<Progress, StoreError> {
    let read = &**store;
    let mut progress = Progress::load(read)?;
    let mut after = None;
    loop {
        let rows = endpoint::scan_all(read, after, ENDPOINTS_PER_SCAN)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.target());
        rows.iter().for_each(|row| router.put(row));
    }
    let mut after = None;
    loop {
        let rows = application::list(read, after, ENDPOINTS_PER_SCAN, Direction::Forward)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        rows.iter().filter(|row| row.paused_at.is_some()).for_each(|row| router.pause_app(row.id, true));
    }
    // Endpoints with a mark of their own stand there; the head may be beyond what they were offered.
    let mut owing: HashMap<AppId, Vec<EndpointRef>> = HashMap::new();
    progress.owing().for_each(|target| owing.entry(target.app).or_default().push(target));
    let mut app = None;
    while let Some(next) = log::next_app(read, app)? {
        app = Some(next);
        let head = log::head(read, next)?;
        for target in owing.remove(&next).unwrap_or_default() {
            router.resume(target, progress.position(target), head);
        }
        while progress.routed(next) < head {
            let events = log::read_after(read, next, progress.routed(next), REROUTED_PER_STEP, REROUTED_BYTES)?;
            if events.is_empty() {
                break;
            }
            router.reroute(next, &events, &mut progress);
        }
    }
    // Those whose application's log retention has emptied: they note what they did not get, and owe nothing then.
    for (app, targets) in owing {
        let head = log::head(read, app)?;
        targets.into_iter().for_each(|target| router.resume(target, progress.position(target), head));
    }
    let mut target = None;
    while let Some(next) = delivery::next_with_due(read, target)? {
        target = Some(next);
        router.requeued(next);
    }
    Ok(progress)
}
