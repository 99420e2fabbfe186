//! The two sides that requests of an endpoint with a failover may go to, and the part of its plan that says which.

use model::{EndpointId, UnixMs};

/// The failover of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// The backup.
    pub backup: EndpointId,
    /// Failures in a row that switch.
    pub threshold: u16,
    /// Switches to the backup by itself.
    pub auto_switch: bool,
    /// Returns by itself.
    pub auto_return: bool,
    /// The time between two probes.
    pub probe_interval_ms: u64,
    /// The backup is the active side.
    pub to_backup: bool,
    /// Switches so far.
    pub switches: u32,
    /// When the last one was.
    pub since: UnixMs,
    /// The backup may be sent to.
    pub backup_ready: bool,
}

/// The side that an attempt goes to, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The endpoint itself.
    #[default]
    Primary,
    /// Its backup, which is the active side.
    Backup,
    /// The endpoint itself, to see if it is well again.
    Probe,
    /// The endpoint itself, after the backup was given up.
    LastAtPrimary,
    /// The backup, after the endpoint was given up.
    LastAtBackup,
}

impl Side {
    /// The backup is called.
    #[must_use]
    pub fn is_backup(self) -> bool {
        matches!(self, Side::Backup | Side::LastAtBackup)
    }

    /// The result says something about the side that is active: breaker, window and failures go by it.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Side::Primary | Side::Backup)
    }
}
