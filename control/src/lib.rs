//! Every change of the store as a command and every look at it as a query, with the rules on both: checks, quotas and
//! the scopes of keys. Knows nothing of HTTP.
//!
//! ```text
//! HTTP, command line ─▶ Control::submit ─▶ reach ─▶ check ─▶ writer: once, apply ─▶ Changed (old, new) ─▶ audit
//! ```

pub mod control;

pub mod command;
pub mod query;

pub mod audit;
pub mod caller;
pub mod checks;
pub mod error;
pub mod find;
pub mod import;
pub mod key;
pub mod limits;
pub mod patch;
pub mod rate;
pub mod reach;
pub mod seals;
pub mod snapshot;
mod trials;

pub use caller::Caller;
pub use checks::Checks;
pub use command::{At, Changed, Command, Entry, Once, Repeatable, Thing};
pub use control::Control;
pub use error::{Error, Wrong};
pub use limits::{Quotas, Rules};
pub use patch::Patch;
pub use reach::Reach;
