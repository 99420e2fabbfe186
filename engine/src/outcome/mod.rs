//! What an attempt showed, and what follows from it.

pub mod classify;
pub mod decide;
pub mod retry_after;
