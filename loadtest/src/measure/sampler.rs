//! Looks at a run four times a second: rates, latencies, memory; and sums an interval of it up.
//!
//! It runs on the thread that orchestrates, which has nothing else to do.

use super::{Clock, Latencies, Recorder, Usage};
use crate::ledger::{Ledger, Totals};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The result of one look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Seconds since the run began.
    pub(crate) at_s: f64,
    /// Events acknowledged per second.
    pub(crate) acked_per_s: f64,
    /// Deliveries to healthy endpoints per second.
    pub(crate) delivered_per_s: f64,
    /// Latencies from the intended send time to receipt, in ms.
    pub(crate) p50_ms: f64,
    /// 90th percentile.
    pub(crate) p90_ms: f64,
    /// 99th percentile.
    pub(crate) p99_ms: f64,
    /// Resident memory of the engine in MiB.
    pub(crate) resident_mib: f64,
}

/// The sum of an interval of the run.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Its length, in seconds.
    pub(crate) seconds: f64,
    /// Events acknowledged.
    pub(crate) acked: u64,
    /// Deliveries to healthy endpoints.
    pub(crate) delivered: u64,
    /// CPU seconds of the engine; `None` when it is not known.
    pub(crate) engine_cpu_s: Option<f64>,
    /// CPU seconds of this process: pushing and receiving.
    pub(crate) own_cpu_s: f64,
    /// Latencies.
    pub(crate) latencies: Latencies,
}

/// Watches a run.
#[derive(Debug)]
pub(crate) struct Sampler {
    clock: Clock,
    ledger: Arc<Ledger>,
    recorder: Arc<Recorder>,
    samples: Vec<Sample>,
    last: (u64, Totals),
    interval: Latencies,
}

/// The begin of an interval.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at_us: u64,
    totals: Totals,
    engine: Option<Usage>,
    own: Option<Usage>,
}

// === impl Interval ===

impl Interval {
    /// Both, one after the other.
    pub(crate) fn and(mut self, other: &Interval) -> Interval {
        self.latencies.add(&other.latencies);
        Interval {
            seconds: self.seconds + other.seconds,
            acked: self.acked + other.acked,
            delivered: self.delivered + other.delivered,
            engine_cpu_s: self.engine_cpu_s.zip(other.engine_cpu_s).map(|(mine, theirs)| mine + theirs),
            own_cpu_s: self.own_cpu_s + other.own_cpu_s,
            latencies: self.latencies,
        }
    }

    /// Events acknowledged per second.
    pub(crate) fn acked_per_s(&self) -> f64 {
        self.acked as f64 / self.seconds
    }

    /// Deliveries per second.
    pub(crate) fn delivered_per_s(&self) -> f64 {
        self.delivered as f64 / self.seconds
    }

    /// CPU of the engine for a delivery, in µs.
    pub(crate) fn engine_cpu_us(&self) -> Option<f64> {
        self.engine_cpu_s.map(|cpu_s| cpu_s * 1e6 / self.delivered.max(1) as f64)
    }

    /// CPU of pushing and receiving for a delivery, in µs.
    pub(crate) fn own_cpu_us(&self) -> f64 {
        self.own_cpu_s * 1e6 / self.delivered.max(1) as f64
    }
}

// === impl Sampler ===

impl Sampler {
    /// Begins to watch.
    pub(crate) fn new(clock: Clock, ledger: Arc<Ledger>, recorder: Arc<Recorder>) -> Sampler {
        Sampler {
            clock,
            ledger,
            recorder,
            samples: Vec::new(),
            last: (0, Totals::default()),
            interval: Latencies::new(),
        }
    }

    /// Everything seen so far.
    pub(crate) fn into_samples(self) -> Vec<Sample> {
        self.samples
    }

    /// Watches until `is_over` says so, asked at each look; returns the sums of that time.
    pub(crate) fn watch(
        &mut self,
        engine: Option<u32>,
        mut is_over: impl FnMut(Duration, &Sample, &Totals) -> bool,
    ) -> Interval {
        self.look(engine);
        self.interval = Latencies::new();
        let begin = self.mark(engine);
        let mut wake_us = begin.at_us;
        loop {
            wake_us += u64::try_from(LOOK_EVERY.as_micros()).unwrap_or_default();
            std::thread::sleep(Duration::from_micros(wake_us.saturating_sub(self.clock.now_us())));
            let sample = self.look(engine);
            let elapsed = Duration::from_micros(self.clock.now_us() - begin.at_us);
            if is_over(elapsed, &sample, &self.last.1) {
                break;
            }
        }
        let end = self.mark(engine);
        let cpu_s = |from: Option<Usage>, to: Option<Usage>| Some(to?.cpu_s - from?.cpu_s);
        Interval {
            seconds: (end.at_us - begin.at_us).max(1) as f64 / 1e6,
            acked: end.totals.acked - begin.totals.acked,
            delivered: end.totals.healthy - begin.totals.healthy,
            engine_cpu_s: cpu_s(begin.engine, end.engine),
            own_cpu_s: cpu_s(begin.own, end.own).unwrap_or_default(),
            latencies: std::mem::replace(&mut self.interval, Latencies::new()),
        }
    }

    fn mark(&self, engine: Option<u32>) -> Mark {
        let (at_us, totals) = self.last;
        Mark { at_us, totals, engine: engine.and_then(Usage::of), own: Usage::of(std::process::id()) }
    }

    fn look(&mut self, engine: Option<u32>) -> Sample {
        let latencies = self.recorder.take();
        let (at_us, totals) = (self.clock.now_us(), self.ledger.totals());
        let (before_us, before) = self.last;
        let per_s = |count: u64| count as f64 * 1e6 / (at_us - before_us).max(1) as f64;
        let quantile_ms = |quantile| latencies.delivery.value_at_quantile(quantile) as f64 / 1e3;
        let sample = Sample {
            at_s: at_us as f64 / 1e6,
            acked_per_s: per_s(totals.acked - before.acked),
            delivered_per_s: per_s(totals.healthy - before.healthy),
            p50_ms: quantile_ms(0.5),
            p90_ms: quantile_ms(0.9),
            p99_ms: quantile_ms(0.99),
            resident_mib: engine.and_then(Usage::of).map_or(0.0, |usage| usage.resident_bytes as f64 / 1048576.0),
        };
        self.interval.add(&latencies);
        self.last = (at_us, totals);
        self.samples.push(sample);
        sample
    }
}
