//! Failover: an endpoint names a backup endpoint of its application, which gets its deliveries while it fails.

use crate::id::EndpointId;
use crate::time::UnixMs;

/// Switches of an endpoint that are remembered.
pub const SWITCHES_KEPT: usize = 100;

/// The failover of an endpoint: its settings, and the side that is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// The backup, of the same application.
    pub backup: EndpointId,
    /// Its text id.
    pub backup_id: String,
    /// Failures in a row after which the backup takes over.
    pub threshold: u16,
    /// Pinion switches to the backup by itself.
    pub auto_switch: bool,
    /// Pinion returns to the endpoint itself once a probe succeeded.
    pub auto_return: bool,
    /// The time between two probes.
    pub probe_interval_minutes: u16,
    /// The number under which the backup's URL stands among the endpoint's own.
    pub url_number: u32,
    /// The backup is active.
    pub to_backup: bool,
    /// Switches so far.
    pub switches: u32,
    /// The last of them, oldest first, at most [`SWITCHES_KEPT`].
    pub history: Vec<Switch>,
}

/// One switch of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// When it was decided.
    pub at: UnixMs,
    /// The side from then on.
    pub to_backup: bool,
    /// The decider.
    pub by: SwitchedBy,
}

/// The decider of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchedBy {
    /// Pinion, after failures in a row.
    Auto,
    /// A caller, through the API.
    Hand,
    /// Pinion, after a probe that succeeded.
    Probe,
}

/// A switch that a lane decided, with the number of switches before it: it counts only if nobody else switched meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecidedSwitch {
    /// The switch.
    pub switch: Switch,
    /// Switches before it.
    pub after: u32,
}

impl SwitchedBy {
    /// The word that the API shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SwitchedBy::Auto => "auto",
            SwitchedBy::Hand => "hand",
            SwitchedBy::Probe => "probe",
        }
    }

    /// The same in a sentence.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            SwitchedBy::Auto => "as many failures in a row as the threshold",
            SwitchedBy::Hand => "asked for through the API",
            SwitchedBy::Probe => "a probe succeeded",
        }
    }
}

impl Failover {
    /// Since when the present side is active; none before the first switch.
    #[must_use]
    pub fn since(&self) -> Option<UnixMs> {
        self.history.last().map(|switch| switch.at)
    }

    /// Makes another side active, and remembers it.
    pub fn switch(&mut self, switch: Switch) {
        self.to_backup = switch.to_backup;
        self.switches = self.switches.saturating_add(1);
        if self.history.len() >= SWITCHES_KEPT {
            self.history.remove(0);
        }
        self.history.push(switch);
    }
}
