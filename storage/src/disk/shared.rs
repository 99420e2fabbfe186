//! State that the writer, the readers and the checkpoint thread of a store share.

use super::checkpoint::Checkpoints;
use super::commit::log;
use super::commit::table::Layers;
use super::map::Map;
use crate::store::busy::Busy;
use crate::store::{Poison, StoreError};

/// See above.
pub(crate) struct Shared {
    pub(crate) map: Map,
    pub(crate) layers: Layers,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) checkpoint_busy: Busy,
    pub(crate) poison: Poison,
    pub(crate) log_files: log::Files,
}

// === impl Shared ===

impl Shared {
    /// Fails once the store is poisoned, or a thread of the map died.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.poison.check()?;
        self.map.check().map_err(|error| self.poison.latch(error))
    }
}
