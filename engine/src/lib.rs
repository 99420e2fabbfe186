//! Skeleton.

pub mod dispatch;

pub mod seal;
