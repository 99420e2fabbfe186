//! Failovers: a request goes to a URL of the side that it is for, and while the backup is the active side only probes and last
//! attempts go to the endpoint itself.

use super::{Violation, ensure};
use engine::prepare::Side;
use model::{Endpoint, EndpointRef, OutcomeClass};
use std::collections::{BTreeMap, BTreeSet};

/// The number of a commit, from 1.
type Commit = u64;

/// The endpoints that there are, with all that they ever had.
#[derive(Debug, Default)]
pub(super) struct Failovers {
    rows: BTreeMap<EndpointRef, Endpoint>,
    urls: BTreeMap<EndpointRef, BTreeSet<String>>,
    backups: BTreeMap<EndpointRef, BTreeSet<EndpointRef>>,
    /// Endpoints whose backup is active and may be sent to, with the commit that made it so.
    away: BTreeMap<EndpointRef, Commit>,
    /// A probe succeeded, and no later row is durable.
    returning: BTreeSet<EndpointRef>,
}

impl Failovers {
    /// An endpoint's row is durable.
    pub(super) fn put(&mut self, row: &Endpoint, commit: Commit) {
        let target = row.target();
        self.urls.entry(target).or_default().insert(row.url.clone());
        if let Some(failover) = &row.failover {
            let backup = EndpointRef { endpoint: failover.backup, ..target };
            self.backups.entry(target).or_default().insert(backup);
        }
        self.rows.insert(target, row.clone());
        self.returning.remove(&target);
        self.judge(target, commit);
        for endpoint in &row.backup_of {
            self.judge(EndpointRef { endpoint: *endpoint, ..target }, commit);
        }
    }

    /// An endpoint is gone.
    pub(super) fn deleted(&mut self, target: EndpointRef) {
        if let Some(row) = self.rows.remove(&target) {
            for endpoint in row.backup_of {
                self.away.remove(&EndpointRef { endpoint, ..target });
            }
        }
        self.away.remove(&target);
    }

    fn judge(&mut self, target: EndpointRef, commit: Commit) {
        let failover = self.rows.get(&target).and_then(|row| row.failover.as_ref()).filter(|one| one.to_backup);
        let backup = failover.and_then(|failover| self.rows.get(&EndpointRef { endpoint: failover.backup, ..target }));
        if backup.is_some_and(|backup| backup.disabled.is_none() && !backup.is_held()) {
            self.away.entry(target).or_insert(commit);
        } else {
            self.away.remove(&target);
        }
    }

    /// The process died, and with it what was decided in memory only.
    pub(super) fn crashed(&mut self) {
        self.returning.clear();
    }

    /// An attempt ended.
    pub(super) fn ended(&mut self, target: EndpointRef, side: Side, outcome: OutcomeClass) {
        if side == Side::Probe && outcome == OutcomeClass::Success {
            self.returning.insert(target);
        }
    }

    /// An attempt starts at a URL; its shard knows all up to a commit.
    pub(super) fn started(&self, target: EndpointRef, side: Side, url: &str, known: Commit) -> Result<(), Violation> {
        let has = |target: &EndpointRef| self.urls.get(target).is_some_and(|urls| urls.contains(url));
        let fits = if side.is_backup() {
            self.backups.get(&target).is_some_and(|backups| backups.iter().any(has))
        } else {
            has(&target)
        };
        ensure!(fits, "{} is sent to at {url}, which is not of the side {side:?}", target.endpoint);
        let is_away = self.away.get(&target).is_some_and(|since| *since <= known) && !self.returning.contains(&target);
        ensure!(side != Side::Primary || !is_away, "{} is sent to while its backup is active", target.endpoint);
        Ok(())
    }
}
