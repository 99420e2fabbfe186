//! Dealing with damage: [`flip`] finds a wrong bit, [`salvage`] reads all that a damaged store still holds, [`repair`]
//! puts that into a new store.

pub(crate) mod flip;
pub mod repair;
pub(crate) mod salvage;
