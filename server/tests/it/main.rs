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

mod attempt_details;
mod audit;
#[cfg(target_os = "linux")]
mod backup;
#[cfg(target_os = "linux")]
mod bad_disk;
mod bad_input;
mod breaker;
mod command_line;
mod content_filter;
mod crash;
mod dead_letter_days;
mod dead_letters;
mod delivery;
mod demo;
mod environment;
mod erase;
mod expiry;
mod export;
#[cfg(target_os = "linux")]
mod expunged;
mod failed;
mod failover;
#[cfg(target_os = "linux")]
mod fixture;
mod given_up;
mod harness_itself;
mod hostile;
mod isolation;
mod jobs;
mod keys;
mod lifecycle;
mod metrics;
mod order;
mod outcomes;
#[cfg(target_os = "linux")]
mod overload;
mod pause;
mod policy;
#[cfg(target_os = "linux")]
mod power_cut;
mod rate;
mod receivers;
mod reference;
mod restart;
mod retention_space;
mod scheduled;
mod signature_format;
mod standing;
mod start_up;
mod test_delivery;
mod tls;
mod turns;
mod verification;
mod waiting;
#[cfg(target_os = "linux")]
mod wall_clock;
mod wire;
