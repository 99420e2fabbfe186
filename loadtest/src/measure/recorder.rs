//! Latency histograms, one lane per receiver thread so that recording never waits.
//!
//! They are taken and emptied at every sample, and an interval of the run is the sum of its samples.

use hdrhistogram::Histogram;
use std::sync::{Mutex, PoisonError};

/// 10 minutes.
const LATENCY_MAX_US: u64 = 600_000_000;
/// Significant digits.
const DIGITS: u8 = 3;

/// Latencies in µs.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    /// From the intended send time to receipt: the wait of a user, the acknowledgement's own time included.
    pub(crate) delivery: Histogram<u64>,
    /// From the acknowledgement to receipt; 0 when the delivery arrived first.
    pub(crate) after_ack: Histogram<u64>,
    /// From the intended send time to the acknowledgement.
    pub(crate) ack: Histogram<u64>,
}

/// Records latencies.
#[derive(Debug)]
pub(crate) struct Recorder {
    lanes: Box<[Mutex<Latencies>]>,
}

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> Latencies {
        // The bounds are constants that the histogram takes: the least is 1, the greatest at least twice that.
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS)
                .unwrap_or_else(|error| unreachable!("constant bounds: {error}"))
        };
        Latencies { delivery: histogram(), after_ack: histogram(), ack: histogram() }
    }

    /// Adds all of `other`, which has the same bounds.
    pub(crate) fn add(&mut self, other: &Latencies) {
        for (mine, theirs) in [
            (&mut self.delivery, &other.delivery),
            (&mut self.after_ack, &other.after_ack),
            (&mut self.ack, &other.ack),
        ] {
            if !theirs.is_empty() {
                mine.add(theirs).unwrap_or_else(|error| unreachable!("the same bounds: {error}"));
            }
        }
    }

    fn clear(&mut self) {
        for histogram in [&mut self.delivery, &mut self.after_ack, &mut self.ack] {
            if !histogram.is_empty() {
                histogram.reset();
            }
        }
    }
}

impl Recorder {
    /// With a lane for each thread.
    pub(crate) fn new(lanes: usize) -> Recorder {
        Recorder { lanes: (0..lanes).map(|_| Mutex::new(Latencies::new())).collect() }
    }

    /// A delivery arrived.
    pub(crate) fn delivered(&self, lane: usize, latency_us: u64, after_ack_us: u64) {
        self.with(lane, |latencies| {
            latencies.delivery.saturating_record(latency_us);
            latencies.after_ack.saturating_record(after_ack_us);
        });
    }

    /// An acknowledgement arrived.
    pub(crate) fn acked(&self, lane: usize, latency_us: u64) {
        self.with(lane, |latencies| latencies.ack.saturating_record(latency_us));
    }

    /// Takes the latencies recorded since the last time.
    pub(crate) fn take(&self) -> Latencies {
        let mut sum = Latencies::new();
        for lane in 0..self.lanes.len() {
            self.with(lane, |latencies| {
                sum.add(latencies);
                latencies.clear();
            });
        }
        sum
    }

    fn with(&self, lane: usize, change: impl FnOnce(&mut Latencies)) {
        if let Some(lane) = self.lanes.get(lane) {
            change(&mut lane.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_add_up_and_are_taken_once() {
        let recorder = Recorder::new(2);
        recorder.delivered(0, 100, 10);
        recorder.delivered(1, 300, 0);
        recorder.acked(1, 50);
        let taken = recorder.take();
        assert_eq!((taken.delivery.len(), taken.delivery.max(), taken.ack.len()), (2, 300, 1));
        assert_eq!(recorder.take().delivery.len(), 0);
    }
}
