//! Driving: which events are sent where, when, and over which connections.
//!
//! ```text
//! pace (closed loop, open loop) ─▶ pusher (a task per connection) ─▶ wire ─▶ the API
//! ```
//! On a thread of its own. It knows nothing of the arrivals, but for the one number that a closed loop waits for.

mod due;
mod pace;
pub(crate) mod payload;
mod pusher;
mod streams;

pub(crate) use self::due::Due;
pub(crate) use self::pace::Pace;
pub(crate) use self::pusher::{Push, Pushing};
pub(crate) use self::streams::Streams;
