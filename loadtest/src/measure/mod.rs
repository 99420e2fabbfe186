//! Measuring: one clock, latencies, the numbers of /proc, and samples over the run.
//!
//! It judges nothing: the scenarios know what a number should be.

mod clock;
mod proc;
mod recorder;
mod sampler;

pub(crate) use self::clock::Clock;
pub(crate) use self::proc::{Usage, is_memory_backed};
pub(crate) use self::recorder::{Latencies, Recorder};
pub(crate) use self::sampler::{Interval, Sample, Sampler};
