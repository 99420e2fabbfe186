//! From a committed event to a settled delivery. Stages are declared in the order a delivery meets them, and each
//! imports only from those below it.

pub mod config;

pub mod router;

pub mod shard;

pub mod endpoint;

pub mod dispatch;

pub mod outcome;

pub mod retry;

pub mod seal;
