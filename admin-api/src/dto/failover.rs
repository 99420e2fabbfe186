//! The failover of an endpoint: its settings, the active side, and the switches so far.

use crate::dto::timestamp::Timestamp;
use control::command::endpoint::FailoverFields;
use model::Failover;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The endpoint that gets the deliveries of this one while it fails.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FailoverBody {
    /// The backup's id or uid: another endpoint of the same application, without a failover of its own.
    backup_endpoint_id: String,
    /// Failures in a row after which the backup takes over. Default: 3.
    #[schema(minimum = 1, maximum = 10)]
    threshold: Option<u16>,
    /// Pinion switches to the backup by itself. Default: true.
    auto_switch: Option<bool>,
    /// Pinion probes the endpoint itself and returns to it. Default: false.
    auto_return: Option<bool>,
    /// Minutes between two probes. Default: 30.
    #[schema(minimum = 5, maximum = 60)]
    probe_interval_minutes: Option<u16>,
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SideBody {
    /// The endpoint itself.
    Primary,
    /// Its backup.
    Backup,
}

/// The side to switch to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FailoverSwitchIn {
    pub(crate) to: SideBody,
}

/// The failover of an endpoint as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailoverOut {
    /// The side that gets the deliveries.
    active: SideBody,
    /// Since when; null before the first switch.
    since: Option<Timestamp>,
    /// Switches so far.
    switch_count: u32,
    backup_endpoint_id: String,
    /// The last 100 switches, newest first.
    history: Vec<FailoverSwitchOut>,
}

/// A switch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailoverSwitchOut {
    at: Timestamp,
    to: SideBody,
    /// `auto` (failures in a row), `hand` (through the API) or `probe` (one succeeded).
    by: &'static str,
    /// The same in words.
    reason: &'static str,
}

impl SideBody {
    fn of(to_backup: bool) -> SideBody {
        if to_backup { SideBody::Backup } else { SideBody::Primary }
    }
}

impl From<FailoverBody> for FailoverFields {
    fn from(body: FailoverBody) -> FailoverFields {
        FailoverFields {
            backup: body.backup_endpoint_id,
            threshold: body.threshold,
            auto_switch: body.auto_switch,
            auto_return: body.auto_return,
            probe_interval_minutes: body.probe_interval_minutes,
        }
    }
}

impl From<&Failover> for FailoverBody {
    fn from(failover: &Failover) -> FailoverBody {
        FailoverBody {
            backup_endpoint_id: failover.backup_id.clone(),
            threshold: Some(failover.threshold),
            auto_switch: Some(failover.auto_switch),
            auto_return: Some(failover.auto_return),
            probe_interval_minutes: Some(failover.probe_interval_minutes),
        }
    }
}

impl From<&Failover> for FailoverOut {
    fn from(failover: &Failover) -> FailoverOut {
        let switches = failover.history.iter().rev().map(|switch| FailoverSwitchOut {
            at: Timestamp(switch.at),
            to: SideBody::of(switch.to_backup),
            by: switch.by.as_str(),
            reason: switch.by.reason(),
        });
        FailoverOut {
            active: SideBody::of(failover.to_backup),
            since: failover.since().map(Timestamp),
            switch_count: failover.switches,
            backup_endpoint_id: failover.backup_id.clone(),
            history: switches.collect(),
        }
    }
}
