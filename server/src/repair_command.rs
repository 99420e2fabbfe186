//! `pinion repair`: the data directory of a server that does not start, or ends, for damage.
//!
//! Only the command is here; `storage::damage::repair` does the work and writes the report.

use crate::config::Loaded;
use crate::data_dir::{self, DataDirError};
use crate::time_text::time_text;
use engine::clock::wall_now;
use model::UnixMs;
use storage::damage::repair::{Repair, RepairError};

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepairCommandError {
    /// The store could not be repaired, and is as it was.
    #[error(transparent)]
    Repair(#[from] RepairError),
    /// It is repaired, but cannot be used.
    #[error("{report}but the new store or its master key cannot be used: {source}")]
    After {
        /// Of the repair.
        report: String,
        /// The error of the new store.
        source: DataDirError,
    },
}

/// Repairs the data directory and answers the report.
///
/// # Errors
/// See [`RepairCommandError`].
pub(crate) fn run(loaded: &Loaded) -> Result<String, RepairCommandError> {
    let repair = Repair { options: data_dir::options(loaded), now: wall_now(), time_text: time_or_number };
    let mut report = repair.run(&loaded.config.data_dir)?;
    match data_dir::repair_master_key(loaded) {
        Ok(true) => report.push_str("master.key: one flipped bit, put right.\n"),
        Ok(false) => {}
        Err(source) => return Err(RepairCommandError::After { report, source }),
    }
    Ok(report)
}

/// A damaged store may say any number.
fn time_or_number(at: UnixMs) -> String {
    time_text(at).unwrap_or_else(|| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable_and_any_number_is_one() {
        assert_eq!(time_or_number(UnixMs(1_700_000_000_123)), "2023-11-14T22:13:20Z");
        assert_eq!(time_or_number(UnixMs(u64::MAX)), u64::MAX.to_string());
    }
}
