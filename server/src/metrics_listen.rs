//! The listener for monitoring: `/metrics` for Prometheus, `/livez` and `/readyz` for a supervisor.
//!
//! It is a listener of its own, so that it needs no key and is not exposed with the API. It also answers when the API's
//! connections are used up, and before the store is open: a start that takes long is alive, and not ready.

use crate::config::HttpBounds;
use crate::process;
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use engine::Partition;
use http::{StatusCode, header};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use model::metric;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Bounds of histogram buckets in seconds, for every metric whose name ends in `_seconds`.
const SECONDS_BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0];

/// For times of the disk: an fdatasync of a fast one is well below a millisecond.
const DISK_SECONDS_BUCKETS: [f64; 18] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];

/// For times that depend on receivers and their retries: up to a day.
const DELIVERY_SECONDS_BUCKETS: [f64; 20] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 18_000.0,
    36_000.0, 64_800.0, 86_400.0,
];

/// For every metric whose name ends in `_bytes`.
const BYTES_BUCKETS: [f64; 9] =
    [256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// For every other histogram: counts of something, such as events in a commit.
const COUNT_BUCKETS: [f64; 13] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0];

/// Time between two foldings of histograms, so that samples nobody scrapes do not pile up.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// A scraper needs one connection; this leaves room for a few and for probes.
pub(crate) const BOUNDS: HttpBounds = HttpBounds {
    max_connections: 64,
    max_url_bytes: 1_024,
    max_header_bytes: 16 * 1024,
    header_read_timeout_ms: 30_000,
};

/// Why metrics are not recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecorderError {
    /// The buckets were refused.
    #[error("could not build the metrics recorder: {0}")]
    Build(#[from] BuildError),
    /// Another one is in place.
    #[error("metrics are recorded by somebody else already")]
    Taken,
}

/// A thread that has done nothing else for so long is stuck. Far above what a slow disk or receiver does: the writer's longest
/// step and a checkpoint take seconds at worst, and a restart that helps nobody costs more than it waits for.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// The engine as probes see it: none before it runs.
#[derive(Clone, Default)]
pub(crate) struct Probed(Arc<OnceLock<Running>>);

struct Running {
    partition: Partition,
    stopping: Arc<AtomicBool>,
}

// === impl Probed ===

impl Probed {
    /// The engine runs from now on, until `stopping` is set.
    pub(crate) fn runs(&self, partition: Partition, stopping: Arc<AtomicBool>) {
        // A second engine does not come.
        drop(self.0.set(Running { partition, stopping }));
    }

    /// True while the process takes events.
    fn is_ready(&self) -> bool {
        self.0.get().is_some_and(|running| running.partition.ready() && !running.stopping.load(Ordering::Acquire))
    }

    /// The threads of the engine, with how long each has done nothing else. Before the engine runs there are none: a start may
    /// take long.
    fn threads(&self) -> Vec<(String, Duration)> {
        self.0.get().map(|running| running.partition.stuck_for()).unwrap_or_default()
    }
}

/// Starts recording; counts from before are lost.
///
/// # Errors
/// When metrics are recorded already.
pub(crate) fn install_recorder() -> Result<PrometheusHandle, RecorderError> {
    let mut builder = PrometheusBuilder::new()
        .set_buckets(&COUNT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES_BUCKETS)?;
    let of_the_disk = [
        metric::COMMIT_SECONDS,
        metric::FDATASYNC_SECONDS,
        metric::CHECKPOINT_SECONDS,
        metric::CHECKPOINT_WAIT_SECONDS,
    ];
    for name in of_the_disk {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &DISK_SECONDS_BUCKETS)?;
    }
    for name in [metric::DELIVERY_SECONDS, metric::SCHEDULE_LAG_SECONDS] {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &DELIVERY_SECONDS_BUCKETS)?;
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| RecorderError::Taken)?;
    Ok(handle)
}

/// Folds histograms until the runtime ends.
pub(crate) async fn upkeep(handle: PrometheusHandle) {
    let mut every = tokio::time::interval(UPKEEP_EVERY);
    loop {
        every.tick().await;
        handle.run_upkeep();
    }
}

/// The three answers.
pub(crate) fn router(handle: PrometheusHandle, probed: Probed) -> Router {
    Router::new()
        .route("/metrics", get(render).with_state(handle))
        .route("/livez", get(livez).with_state(probed.clone()))
        .route("/readyz", get(readyz).with_state(probed))
}

async fn render(State(handle): State<PrometheusHandle>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render() + &process::render())
}

async fn livez(State(probed): State<Probed>) -> (StatusCode, String) {
    liveness(&probed.threads())
}

/// Not alive as soon as one thread is stuck: nothing goes on without it, and a restart is what helps.
fn liveness(threads: &[(String, Duration)]) -> (StatusCode, String) {
    let stuck = threads.iter().filter(|(_, lasts)| *lasts > STUCK_AFTER);
    let lines: String = stuck.map(|(thread, lasts)| format!("{thread} is stuck for {} s\n", lasts.as_secs())).collect();
    if lines.is_empty() { (StatusCode::OK, "ok\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, lines) }
}

async fn readyz(State(probed): State<Probed>) -> (StatusCode, &'static str) {
    if probed.is_ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_stuck_is_named_and_one_that_is_slow_is_not() {
        let threads = |writer_s, shard_s| {
            [("writer".to_owned(), Duration::from_secs(writer_s)), ("shard-0".to_owned(), Duration::from_secs(shard_s))]
        };
        assert_eq!(liveness(&threads(0, 60)), (StatusCode::OK, "ok\n".to_owned()));
        let (status, text) = liveness(&threads(3, 61));
        assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "shard-0 is stuck for 61 s\n"));
        assert_eq!(liveness(&[]).0, StatusCode::OK);
    }
}
