//! The simulation, simulated: many seeds hold, one seed is one trace, planted bugs are seen.

mod determinism;
mod mutations;
mod seeds;
