//! The real binary, over real sockets and a real disk: one test program for the whole crate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::let_underscore_must_use,
    reason = "what cannot go on fails the test"
)]

mod harness;

#[cfg(target_os = "linux")]
mod counter;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod events;
#[cfg(target_os = "linux")]
mod preload;
#[cfg(target_os = "linux")]
mod wall;

#[cfg(target_os = "linux")]
mod bad_disk;
mod bad_input;
mod breaker;
mod command_line;
mod crash;
mod dead_letters;
mod delivery;
mod demo;
#[cfg(target_os = "linux")]
mod expunged;
#[cfg(target_os = "linux")]
mod fixture;
mod given_up;
mod harness_itself;
mod hostile;
mod isolation;
mod keys;
mod lifecycle;
mod metrics;
mod outcomes;
#[cfg(target_os = "linux")]
mod overload;
mod pause;
#[cfg(target_os = "linux")]
mod power_cut;
mod receivers;
mod reference;
mod restart;
mod retention_space;
mod signature_format;
mod standing;
mod start_up;
mod tls;
mod waiting;
#[cfg(target_os = "linux")]
mod wall_clock;
mod wire;
