//! When a failed delivery is tried again, and whether there is room for it.

pub mod budget;
pub mod recent;
pub mod schedule;
pub mod token_bucket;
