//! The limit of open files, raised at the start as far as the system lets it.
//!
//! The usual soft limit, 1,024, is there for programs that use select(2), and every socket counts: sixty endpoints that
//! never answer would take it all. Nothing above the hard limit: that is the operator's to set. [`crate::descriptors`]
//! divides the limit that was reached.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, and returns the limit that was reached; none when there is no limit.
pub(crate) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "could not raise the limit of open files");
            limit.current
        }
    }
}
