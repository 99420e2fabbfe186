//! The failover of an endpoint: named with its settings, and switched by hand.
//!
//! The backup is an endpoint of the same application, with no failover of its own. An endpoint that is a backup gets none:
//! so no chain comes about from either end.

use crate::checks::Checks;
use crate::command::{At, Changed, Command, Reach, Repeatable, fits};
use crate::error::{Error, Wrong};
use crate::find::{EndpointName, find_endpoint};
use crate::patch::Patch;
use model::{AppId, DecidedSwitch, Endpoint, EndpointId, EndpointRef, Failover, Switch, SwitchedBy};
use storage::Txn;
use storage::tables::endpoint;
use storage::tables::endpoint::failover::{BACKUP_OF_MAX, link, switch};

/// Failures in a row that may be the threshold.
const THRESHOLD: std::ops::RangeInclusive<u16> = 1..=10;

/// The threshold, when it is left out.
const THRESHOLD_DEFAULT: u16 = 3;

/// Minutes that may lie between two probes.
const PROBE_MINUTES: std::ops::RangeInclusive<u16> = 5..=60;

/// The minutes, when they are left out.
const PROBE_MINUTES_DEFAULT: u16 = 30;

/// The settings of a failover, as a whole.
#[derive(Clone, Debug)]
pub struct FailoverFields {
    /// The backup's id or uid.
    pub backup: String,
    /// Failures in a row that switch; 3 when it is left out.
    pub threshold: Option<u16>,
    /// Pinion switches by itself; it does when this is left out.
    pub auto_switch: Option<bool>,
    /// Pinion returns by itself; it does not when this is left out.
    pub auto_return: Option<bool>,
    /// Minutes between two probes; 30 when they are left out.
    pub probe_interval_minutes: Option<u16>,
}

impl FailoverFields {
    /// Notes what can be known to be wrong without the store.
    pub(super) fn check(&self, checks: &mut Checks) {
        let number = |checks: &mut Checks, field: &str, number: Option<u16>, bounds: &std::ops::RangeInclusive<u16>| {
            if number.is_some_and(|number| !bounds.contains(&number)) {
                let text = format!("must be from {} to {}", bounds.start(), bounds.end());
                checks.wrong(&["failover", field], text, "value_error.number.range");
            }
        };
        number(checks, "threshold", self.threshold, &THRESHOLD);
        number(checks, "probeIntervalMinutes", self.probe_interval_minutes, &PROBE_MINUTES);
    }

    /// The failover of `row`. One with the same backup keeps the active side and its history.
    fn into_row(self, txn: &Txn<'_>, row: &Endpoint, before: Option<Failover>) -> Result<Failover, Error> {
        let wrong = |text: &str| wrong_backup(text);
        let backup =
            find_endpoint(txn, row.app, &self.backup)?.ok_or_else(|| wrong("names no endpoint of this application"))?;
        if backup.id == row.id {
            return Err(wrong("names the endpoint itself"));
        }
        if backup.failover.is_some() {
            return Err(wrong("names an endpoint that has a failover of its own"));
        }
        if !row.backup_of.is_empty() {
            return Err(wrong("an endpoint that is the backup of another has no failover"));
        }
        let before = before.filter(|before| before.backup == backup.id);
        if before.is_none() && backup.backup_of.len() >= BACKUP_OF_MAX {
            return Err(wrong("names an endpoint that is the backup of as many others as it may be"));
        }
        let kept = before.unwrap_or(Failover {
            backup: backup.id,
            backup_id: backup.public_id(),
            threshold: 0,
            auto_switch: true,
            auto_return: false,
            probe_interval_minutes: 0,
            url_number: 0,
            to_backup: false,
            switches: 0,
            history: Vec::new(),
        });
        Ok(Failover {
            threshold: self.threshold.unwrap_or(THRESHOLD_DEFAULT),
            auto_switch: self.auto_switch.unwrap_or(true),
            auto_return: self.auto_return.unwrap_or(false),
            probe_interval_minutes: self.probe_interval_minutes.unwrap_or(PROBE_MINUTES_DEFAULT),
            ..kept
        })
    }
}

fn wrong_backup(text: &str) -> Error {
    let at = vec!["failover".to_owned(), "backupEndpointId".to_owned()];
    Error::Invalid(vec![Wrong { at, msg: text.to_owned(), kind: "value_error.endpoint" }])
}

/// Gives `row` the failover that was asked for, and makes the rows of backups agree.
pub(super) fn set_failover(
    txn: &mut Txn<'_>,
    old: Option<&Endpoint>,
    row: &mut Endpoint,
    wanted: Patch<FailoverFields>,
) -> Result<(), Error> {
    let before = old.and_then(|old| old.failover.clone());
    row.failover = match wanted {
        Patch::Keep => return Ok(()),
        Patch::Clear => None,
        Patch::Set(fields) => Some(fields.into_row(txn, row, before)?),
    };
    Ok(link(txn, old, row)?)
}

/// Makes one side of an endpoint with a failover active.
pub struct SwitchFailover {
    /// Which endpoint.
    pub endpoint: EndpointName,
    /// The backup is to be active, rather than the endpoint itself.
    pub to_backup: bool,
}

impl Command for SwitchFailover {
    const NAME: &'static str = "endpoint.switch-failover";
    type Thing = Endpoint;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
        let old = self.endpoint.find(txn)?;
        let Some(failover) = &old.failover else { return Err(Error::NotFound("failover")) };
        if failover.to_backup == self.to_backup {
            return Ok(Changed::Nothing(old));
        }
        let backup = endpoint::get(txn, EndpointRef { app: old.app, endpoint: failover.backup })?;
        let may_send = backup.is_some_and(|backup| backup.disabled.is_none() && !backup.is_held());
        if self.to_backup && !may_send {
            return Err(Error::Conflict("the backup is disabled or paused".into()));
        }
        let by_hand = Switch { at: at.now, to_backup: self.to_backup, by: SwitchedBy::Hand };
        let decided = DecidedSwitch { switch: by_hand, after: failover.switches };
        fits(switch(txn, old.target(), decided))?;
        let new = self.endpoint.find(txn)?;
        Ok(Changed::Updated { old, new })
    }
}

impl Repeatable for SwitchFailover {
    fn place(&self, txn: &Txn<'_>) -> Result<(AppId, String), Error> {
        let target = self.endpoint.find(txn)?.target();
        Ok((target.app, format!("failover/{}", target.endpoint.0)))
    }

    fn number(changed: &Endpoint) -> u64 {
        changed.id.0.into()
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Endpoint>, Error> {
        let Ok(number) = u32::try_from(number) else { return Ok(None) };
        Ok(endpoint::get(txn, EndpointRef { app: self.endpoint.app, endpoint: EndpointId(number) })?)
    }
}
