//! The `pinion` binary, in the order of a start: command line, configuration, logging, keys, listeners, the engine.
//!
//! Deliberately thin: what is decided here is which parts run and in which order they start and stop.

mod cli;
mod config;
mod logging;

mod keys;
mod secret_file;

mod listen;
mod metrics_listen;

fn main() {}
