//! Reasons why an attempt was not made that are ours: something of Pinion's own was short. Never the endpoint's
//! failure.

use super::connect::DialError;
use super::proxy::ProxyError;
use super::resolve::LookupError;
use std::io::{self, ErrorKind};
use storage::store::is_out_of_descriptors;

/// Something of ours that was short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Connections of the shard.
    Connections,
    /// Name lookups of the application.
    Lookups,
    /// Descriptors, ports or memory of the system.
    System,
    /// The egress proxy: it is not there, or does not do what it is there for.
    Proxy,
}

impl Lack {
    /// All of them, in the order of their numbers.
    pub const ALL: [Lack; 4] = [Lack::Connections, Lack::Lookups, Lack::System, Lack::Proxy];

    /// For logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Lack::Connections => "connections",
            Lack::Lookups => "lookups",
            Lack::System => "system",
            Lack::Proxy => "proxy",
        }
    }

    /// The lack behind a connection that was not made, if it was ours.
    pub(super) fn behind(error: &DialError) -> Option<Lack> {
        match error {
            DialError::TooManyConnections => Some(Lack::Connections),
            DialError::Dns(LookupError::Busy) => Some(Lack::Lookups),
            DialError::Connect(error) | DialError::Proxy(ProxyError::Failed(error)) if is_ours(error) => {
                Some(Lack::System)
            }
            DialError::Proxy(error) if error.is_ours() => Some(Lack::Proxy),
            _ => None,
        }
    }
}

/// True if the system had no descriptor, port or memory for us.
pub(super) fn is_ours(error: &io::Error) -> bool {
    is_out_of_descriptors(error) || matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_ours_to_have_is_a_lack() {
        let os = |number| DialError::Connect(io::Error::from_raw_os_error(number));
        let kind = |kind| DialError::Connect(io::Error::from(kind));
        for (error, lack) in [
            (os(24), Some(Lack::System)),
            (os(23), Some(Lack::System)),
            (kind(ErrorKind::AddrNotAvailable), Some(Lack::System)),
            (kind(ErrorKind::ConnectionRefused), None),
            (kind(ErrorKind::NetworkUnreachable), None),
            (DialError::Proxy(ProxyError::Failed(io::Error::from_raw_os_error(24))), Some(Lack::System)),
            (DialError::Proxy(ProxyError::Failed(ErrorKind::ConnectionRefused.into())), Some(Lack::Proxy)),
            (DialError::Proxy(ProxyError::Credentials), Some(Lack::Proxy)),
            (DialError::Proxy(ProxyError::Refused("403".to_owned())), None),
            (DialError::TooManyConnections, Some(Lack::Connections)),
            (DialError::Dns(LookupError::Busy), Some(Lack::Lookups)),
            (DialError::Dns(LookupError::NoAnswer), None),
            (DialError::Timeout, None),
        ] {
            assert_eq!(Lack::behind(&error), lack, "{error}");
        }
    }
}
