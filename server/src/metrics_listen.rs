//! The listener for monitoring: `/metrics` for Prometheus, `/livez` and `/readyz` for a supervisor.
//!
//! It is a listener of its own, so that it needs no key and is not exposed with the API. It also answers when the API's
//! connections are used up.

use crate::config::HttpBounds;
use crate::process;
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::{StatusCode, header};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use model::metric;
use std::sync::Arc;
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

/// Tells if the process takes events.
pub(crate) type Readiness = Arc<dyn Fn() -> bool + Send + Sync>;

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
pub(crate) fn router(handle: PrometheusHandle, ready: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(render).with_state(handle))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(ready))
}

async fn render(State(handle): State<PrometheusHandle>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render() + &process::render())
}

async fn readyz(State(ready): State<Readiness>) -> (StatusCode, &'static str) {
    if ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}
