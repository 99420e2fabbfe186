//! From a committed event to a settled delivery.

pub mod config;

pub mod retry;
