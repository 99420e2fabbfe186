//! Clients give an endpoint a backup, take it away, and switch by hand.

use super::World;
use crate::client::Refusal;
use crate::network::pick;
use model::{DecidedSwitch, Endpoint, EndpointRef, Failover, Switch, SwitchedBy};
use rand::RngExt;
use storage::tables::endpoint;
use storage::tables::endpoint::failover::{BACKUP_OF_MAX, link, switch};

impl World {
    /// Gives an endpoint a failover or takes it away; or switches one that has.
    pub(super) fn change_failover(&mut self) {
        let Some(row) = self.some_endpoint() else { return };
        if let Some(failover) = row.failover.as_ref().filter(|_| self.rng.random_ratio(1, 2)) {
            let (target, to_backup, at) = (row.target(), !failover.to_backup, self.node.clock.now());
            return self.change(format!("{} switches by hand", row.id), move |txn| {
                let row = endpoint::get(txn, target)?.ok_or(Refusal::NotPossible)?;
                let after = row.failover.filter(|one| one.to_backup != to_backup).ok_or(Refusal::NotPossible)?.switches;
                let by_hand = Switch { at, to_backup, by: SwitchedBy::Hand };
                switch(txn, target, DecidedSwitch { switch: by_hand, after }).map(drop).map_err(Into::into)
            });
        }
        let Some(backup) = self.some_endpoint() else { return };
        let wanted = self.rng.random_ratio(4, 5).then(|| Failover {
            backup: backup.id,
            backup_id: backup.public_id(),
            threshold: *pick(&[1, 2, 3], &mut self.rng),
            auto_switch: self.rng.random_ratio(4, 5),
            auto_return: self.rng.random_ratio(2, 3),
            probe_interval_minutes: *pick(&[0, 5, 60], &mut self.rng),
            url_number: 0,
            to_backup: false,
            switches: 0,
            history: Vec::new(),
        });
        let target = row.target();
        self.change(format!("{} has {} as its backup: {}", row.id, backup.id, wanted.is_some()), move |txn| {
            let before = endpoint::get(txn, target)?.ok_or(Refusal::NotPossible)?;
            let mut failover = wanted;
            if let Some(wanted) = &mut failover {
                let of_app = EndpointRef { app: target.app, endpoint: wanted.backup };
                let backup = endpoint::get(txn, of_app)?.ok_or(Refusal::NotPossible)?;
                let is_taken = backup.backup_of.len() >= BACKUP_OF_MAX;
                if backup.id == before.id || backup.failover.is_some() || !before.backup_of.is_empty() || is_taken {
                    return Err(Refusal::NotPossible);
                }
                if let Some(kept) = before.failover.as_ref().filter(|kept| kept.backup == wanted.backup) {
                    *wanted = Failover { threshold: wanted.threshold, auto_return: wanted.auto_return, ..kept.clone() };
                }
            }
            let mut row = Endpoint { failover, ..before.clone() };
            link(txn, Some(&before), &mut row)?;
            Ok(endpoint::put_over(txn, Some(&before), row).map(drop)?)
        });
    }
}
