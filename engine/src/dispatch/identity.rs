//! The identity that a connection belongs to: requests with the same one may share connections, no others.
//!
//! One field for each thing that separates them. The egress proxy is none yet: a dispatcher has one for all its
//! targets.

use std::sync::Arc;

/// Compared and hashed by its parts; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Parts {
    secure: bool,
    /// Host in its normal form, and the port if it is not the scheme's.
    host_and_port: Box<str>,
    /// Digest of root certificates of the endpoint's own. A connection that was made with them is for those who have
    /// the same.
    own_roots: Option<Box<str>>,
}

impl Identity {
    pub(super) fn new(secure: bool, host_and_port: &str, own_roots: Option<&str>) -> Identity {
        let (host_and_port, own_roots) = (host_and_port.into(), own_roots.map(Into::into));
        Identity(Arc::new(Parts { secure, host_and_port, own_roots }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_host_port_and_roots_of_its_own_separate_connections_and_nothing_else_does() {
        let all = [
            Identity::new(true, "a.example", None),
            Identity::new(false, "a.example", None),
            Identity::new(true, "a.example:8443", None),
            Identity::new(true, "a.example", Some("x")),
            Identity::new(true, "a.example", Some("y")),
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(all.iter().filter(|other| *other == one).count(), 1, "{at}");
        }
        assert_eq!(all[3], Identity::new(true, "a.example", Some("x")));
    }
}
