//! The simulation, simulated: many seeds hold, one seed is one trace, planted bugs are seen.

// A test fails by panicking; clippy's exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod determinism;
mod mutations;
mod seeds;
