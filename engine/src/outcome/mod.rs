//! From the result of an attempt to the next step of its delivery.

pub mod classify;
pub mod decide;
pub mod retry_after;
pub mod verification;
