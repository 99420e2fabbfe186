//! The metric of how much of each quota the application uses that uses most.
//!
//! A metric with a label for each application would have too many series: this one shows the fullest application, and
//! the route shows any.

use crate::state::ApiState;
use control::query::usage::NAMES;
use metrics::Gauge;
use model::metric;
use std::time::{Duration, Instant};

/// The least time between two looks for the fullest.
const PERIOD: Duration = Duration::from_secs(10);

/// A look that took long is followed by a rest of at least so many times as long.
const REST_FACTOR: u32 = 20;

/// The quotas that refuse; beyond the one of dead letters the oldest make room.
pub(crate) const REFUSING: [&str; 9] = [
    "endpoints",
    "api_keys",
    "event_types",
    "running_jobs",
    "jobs",
    "idempotency_keys",
    "scheduled_messages",
    "verifications",
    "endpoint_tests",
];

/// Sets the gauges of the fullest application now and then. Never ends.
pub async fn watch(state: ApiState) {
    let gauges = NAMES.map(|quota| metrics::gauge!(metric::QUOTA_USED_RATIO_MAX, "quota" => quota));
    gauges.iter().for_each(|gauge| gauge.set(0.0));
    loop {
        let begun = Instant::now();
        let control = state.control.clone();
        if let Ok(Ok(ratios)) = tokio::task::spawn_blocking(move || control.fullest()).await {
            gauges.iter().zip(ratios).for_each(|(gauge, ratio): (&Gauge, f64)| gauge.set(ratio));
        }
        tokio::time::sleep(PERIOD.max(begun.elapsed() * REST_FACTOR)).await;
    }
}
