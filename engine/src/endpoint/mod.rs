//! The decision which deliveries one endpoint may be sent now, by its answers before.

pub mod actor;

pub mod mailbox;

pub mod offer;

pub mod lane;

pub mod backlog;
pub mod order;
pub mod retries;

pub mod auto_disable;
pub mod breaker;
pub mod rate_limit;
pub mod window;
