//! Tests that need a real process on a real disk. One binary, one file per subject.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails should say where")]

mod kill;
