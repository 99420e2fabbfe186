//! Tests of the engine against real sockets on the loopback interface, and over a scripted network.
//!
//! One binary, one module per subject.

// A test fails by panicking; clippy's exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dispatch;
mod flow;
mod partitions;
mod receiver;
mod retention;
mod scripted;
mod world;
