//! How many files the process may have open: raised at the start as far as the system lets it.
//!
//! The usual soft limit, 1,024, is there for programs that use select(2), and every socket counts: sixty endpoints that
//! never answer would take it all, and neither API nor neighbours would get a connection. Deliberately nothing above
//! the hard limit: that is the operator's to set.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below this the process is told to be short of them: attempts of two shards, connections of the API, files.
const WANTED: u64 = 16 * 1024;

/// Raises the soft limit to the hard one, and warns when that is still little.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let reached = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "could not raise the limit of open files");
            limit.current
        }
    };
    if let Some(limit) = reached.filter(|limit| *limit < WANTED) {
        tracing::warn!(limit, wanted = WANTED, "the limit of open files is low: connections may fail under load");
    }
}
