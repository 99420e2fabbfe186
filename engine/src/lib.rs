//! From a committed event to a settled delivery. Stages are declared in the order a delivery meets them, and each
//! imports only from those below it.

pub mod config;

pub mod endpoint;
pub mod outcome;
pub mod retry;
