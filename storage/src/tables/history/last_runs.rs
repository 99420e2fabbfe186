//! The first position of the last run of each endpoint, while that run may take more records. A commit that settles a
//! few first attempts packs them into it.
//!
//! An endpoint that gets little in each commit would else leave a row for every delivery, and each row costs the
//! ordered map below an insert. Owned by the writer; a hint and no more: it is not stored, and an endpoint that is not
//! in here begins a run of its own. Bounded by [`ENDPOINTS_MAX`]; when it is full, all is forgotten.

use super::OPEN_RUN_MAX_BYTES;
use model::{EndpointRef, Seq};
use std::collections::HashMap;

/// Endpoints that are remembered, 32 bytes each at most.
const ENDPOINTS_MAX: usize = if cfg!(test) { 2 } else { 65_536 };

/// The first position of the last run of each endpoint, if the run is open.
#[derive(Debug, Default)]
pub struct LastRuns(HashMap<EndpointRef, Seq>);

impl LastRuns {
    pub(super) fn of(&self, target: EndpointRef) -> Option<Seq> {
        self.0.get(&target).copied()
    }

    /// Notes that the last run of `target` begins at `begin` and is `bytes` long.
    pub(super) fn note(&mut self, target: EndpointRef, begin: Seq, bytes: usize) {
        if bytes > OPEN_RUN_MAX_BYTES {
            self.0.remove(&target);
            return;
        }
        if self.0.len() >= ENDPOINTS_MAX && !self.0.contains_key(&target) {
            self.0.clear();
        }
        self.0.insert(target, begin);
    }
}
