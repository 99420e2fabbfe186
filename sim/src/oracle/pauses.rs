//! Pauses: while an endpoint or its application is paused, or its receiver has proved nothing yet, no attempt of it starts,
//! from the moment on that its shard took the news.
//!
//! One turn of the shard may pass between the answer to the client and that moment.

use super::{Violation, ensure};
use model::{AppId, Application, Endpoint, EndpointRef};
use std::collections::BTreeMap;

/// The number of a commit, from 1.
type Commit = u64;

/// Everything that is paused, with the commit that made it so.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    endpoints: BTreeMap<EndpointRef, Commit>,
    apps: BTreeMap<AppId, Commit>,
    last: Commit,
    /// The last commit that shards are told of. The store may have kept one that it failed at: only a start finds that.
    told: Commit,
    /// The last commit whose news each shard has taken; none for one that took none since the start.
    taken: BTreeMap<usize, Commit>,
    /// The last commit before the start: what it left is read from rows.
    read: Commit,
}

impl Pauses {
    /// A commit begins to be looked at.
    pub(super) fn commit(&mut self) {
        self.last += 1;
    }

    /// An endpoint's row is durable. Nothing waits for one that is disabled: it may be paused or not.
    pub(super) fn put_endpoint(&mut self, row: &Endpoint) {
        if row.is_held() && row.disabled.is_none() {
            self.endpoints.entry(row.target()).or_insert(self.last);
        } else {
            self.endpoints.remove(&row.target());
        }
    }

    /// An application's row is durable.
    pub(super) fn put_application(&mut self, row: &Application) {
        if row.paused_at.is_some() {
            self.apps.entry(row.id).or_insert(self.last);
        } else {
            self.apps.remove(&row.id);
        }
    }

    /// The commit went well: shards are told of it.
    pub(super) fn told(&mut self) {
        self.told = self.last;
    }

    /// A shard takes all its news.
    pub(super) fn taken(&mut self, shard: usize) {
        self.taken.insert(shard, self.told);
    }

    /// The process died: the next one reads rows.
    pub(super) fn crashed(&mut self) {
        self.taken.clear();
        (self.read, self.told) = (self.last, self.last);
    }

    /// The commit up to which a shard knows all.
    pub(super) fn known(&self, shard: usize) -> Commit {
        self.taken.get(&shard).copied().unwrap_or_default().max(self.read)
    }

    /// The commit that is looked at.
    pub(super) fn last(&self) -> Commit {
        self.last
    }

    /// An attempt starts on a shard.
    pub(super) fn started(&self, target: EndpointRef, shard: usize) -> Result<(), Violation> {
        let known = self.known(shard);
        let paused = self.endpoints.get(&target).into_iter().chain(self.apps.get(&target.app));
        let since = paused.min();
        ensure!(
            since.is_none_or(|since| *since > known),
            "{} of {} is sent to while it is paused or unverified since commit {since:?}",
            target.endpoint,
            target.app
        );
        Ok(())
    }
}
