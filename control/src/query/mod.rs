//! Queries: they read the store for one answer, in an order, and within bounds.
//!
//! Each is a function over [`View`] that answers rows of `model`, or a plain struct of this crate. A list answers a
//! [`Listed`](paging::Listed) page; the text form of its places is the surface's. They block on the disk, so those that
//! read more than a few rows are called from a thread that may.

pub mod bounds;
pub mod paging;
pub mod scheduled;
pub mod status;

pub(crate) mod app_names;
pub mod application;
pub mod audit;
pub mod endpoint;
pub mod endpoint_state;
pub mod environment;
pub mod event_type;
pub mod key;
pub mod usage;

pub mod log;
pub mod message;

pub mod attempt;
pub mod dead_letter;
pub mod job;

#[cfg(test)]
mod testing;

use crate::control::Control;

/// The store as far as it is committed, which queries read.
pub type View = dyn storage::Store;

impl Control {
    /// The store as far as it is committed, which queries read.
    #[must_use]
    pub fn view(&self) -> &View {
        &**self.store()
    }
}
