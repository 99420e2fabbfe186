//! Prepare: makes the request of one attempt from its endpoint's [`Plan`] and its event.
//!
//! ```text
//! row ─▶ compile ─▶ Plan ─┐
//!                 event ──┴─▶ filter ─▶ target ─▶ body ─▶ authorise ─▶ sign ─▶ dispatch
//! ```
//! | step | done | today |
//! |---|---|---|
//! | filter | before a delivery is an endpoint's: by the router, or when its lane has read the log | types, channels |
//! | content filter | on the shard, when an offer arrives, or when the log is read | an expression over the message |
//! | target | for each attempt | the one URL, or that of the backup |
//! | body | for each attempt | the event's bytes, or a reference to it |
//! | authorise | when the plan is compiled | user info of the URL, or a header of the tenant's own |
//! | sign | for each attempt, last: over what is sent | Standard Webhooks, or a form of the endpoint's own |
//!
//! A plan is compiled once for a revision of an endpoint, on its shard's thread. Secrets are opened, headers checked
//! and roots read there, and never for an attempt. Order, rate and retries are the lane's, by its [`LanePolicy`].
//!
//! Pure: the time is an argument.

pub mod compile;
pub mod content;
pub mod effective;
pub mod failover;
pub mod filter;
pub mod headers;
pub mod plan;
pub mod sign;
pub mod signature_format;

mod reference;

pub use compile::Compiler;
pub use failover::{FailoverPolicy, Side};
pub use headers::{HeaderError, check_header_name, check_headers};
pub use plan::{LanePolicy, Plan, Unmakeable};
pub use sign::{SigningKey, SigningKeyError, generate_ed25519_secret, generate_raw_secret, generate_secret};

#[cfg(test)]
mod tests;
