//! The address guard: whether Pinion may open a connection to an exact address.
//!
//! Tenants choose the URLs, so without a guard they could make Pinion send requests to its own network (server-side
//! request forgery). Refused is everything that the IANA special-purpose registries list, everything IPv6 outside
//! global unicast (2000::/3), and the addresses where cloud platforms hand out credentials. An address that wraps an
//! IPv4 address is judged by that one as well.
//!
//! The operator can allow ranges. **Metadata addresses stay refused even then**, unless that very address is allowed
//! as a /32 or /128: who opens a private range does not mean to open the cloud's credentials.
//!
//! Pure: it resolves nothing and dials nothing. `connect` asks it about each address it is about to dial, which is
//! the only check that counts; asking earlier (`url::check_url`) only tells people sooner.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

#[cfg(test)]
mod tests;

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address {address} is refused as a target: {range}")]
pub struct GuardError {
    /// The address that was judged.
    pub address: IpAddr,
    /// The kind of the address.
    pub range: &'static str,
}

const METADATA: &str = "cloud metadata service";
const NOT_GLOBAL: &str = "not global unicast";

/// Addresses where cloud platforms serve credentials, user data or agent control to any caller that can connect.
const METADATA_V4: [Ipv4Addr; 8] = [
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Google, Azure, Oracle, DigitalOcean, OpenStack
    Ipv4Addr::new(169, 254, 170, 2),   // AWS container credentials
    Ipv4Addr::new(169, 254, 170, 23),  // AWS EKS pod identity
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba
    Ipv4Addr::new(168, 63, 129, 16),   // Azure host agent: looks public
    Ipv4Addr::new(169, 254, 42, 42),   // Scaleway
    Ipv4Addr::new(169, 254, 0, 23),    // Tencent
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle, before 169.254.169.254
];
const METADATA_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),      // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),       // AWS EKS pod identity
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),        // Scaleway
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // Oracle
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),       // Google
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// The IANA IPv4 Special-Purpose Address Registry, and multicast. The few entries that are globally reachable are
/// anycast services of the network itself, never somebody's receiver.
const SPECIAL_V4: [(Ipv4Net, &str); 19] = [
    (v4(0, 0, 0, 0, 8), "unspecified (this network)"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "carrier-grade NAT"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "IETF protocol assignments"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 31, 196, 0, 24), "AS112"),
    (v4(192, 52, 193, 0, 24), "AMT"),
    (v4(192, 88, 99, 0, 24), "6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(192, 175, 48, 0, 24), "AS112"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// The IANA IPv6 Special-Purpose Address Registry, multicast and site-local. The first match names the reason.
const SPECIAL_V6: [(Ipv6Net, &str); 23] = [
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "unspecified"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback"),
    (v6(0, 0, 0, 0, 96), "IPv4-compatible"),
    (v6(0x64, 0xff9b, 1, 0, 48), "local NAT64"),
    (v6(0x100, 0, 0, 0, 64), "discard-only"),
    (v6(0x100, 0, 0, 1, 64), "dummy prefix"),
    (v6(0x2001, 0, 0, 0, 32), "Teredo"),
    (v6(0x2001, 2, 0, 0, 48), "benchmarking"),
    (v6(0x2001, 3, 0, 0, 32), "AMT"),
    (v6(0x2001, 4, 0x112, 0, 48), "AS112"),
    (v6(0x2001, 0x10, 0, 0, 28), "ORCHID"),
    (v6(0x2001, 0x20, 0, 0, 28), "ORCHIDv2"),
    (v6(0x2001, 0x30, 0, 0, 28), "drone remote identification"),
    (v6(0x2001, 0, 0, 0, 23), "IETF protocol assignments"),
    (v6(0x2001, 0xdb8, 0, 0, 32), "documentation"),
    (v6(0x2002, 0, 0, 0, 16), "6to4"),
    (v6(0x2620, 0x4f, 0x8000, 0, 48), "AS112"),
    (v6(0x3fff, 0, 0, 0, 20), "documentation"),
    (v6(0x5f00, 0, 0, 0, 16), "SRv6 segment identifiers"),
    (v6(0xfc00, 0, 0, 0, 7), "unique local"),
    (v6(0xfe80, 0, 0, 0, 10), "link-local"),
    (v6(0xfec0, 0, 0, 0, 10), "site-local"),
    (v6(0xff00, 0, 0, 0, 8), "multicast"),
];
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 0, 3);
/// The well-known NAT64 prefix (RFC 6052): in a network without IPv4, the way to every IPv4 receiver. Not refused as
/// such; the address it wraps decides.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 0, 96);
/// Local-use NAT64 (RFC 8215).
const NAT64_LOCAL: Ipv6Net = v6(0x64, 0xff9b, 1, 0, 48);
const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 0, 0, 16);
const TEREDO: Ipv6Net = v6(0x2001, 0, 0, 0, 32);
const IPV4_COMPATIBLE: Ipv6Net = v6(0, 0, 0, 0, 96);

/// A port that no target may be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the port {0} is refused as a target")]
pub struct PortRefused(pub u16);

/// The addresses that may be dialled. Cheap to ask, shared by every shard.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<IpNet>,
    /// None means any.
    ports: Vec<RangeInclusive<u16>>,
    https_only: bool,
}

impl Guard {
    /// A guard that refuses every special address but those in `allowed`.
    #[must_use]
    pub fn new(allowed: Vec<IpNet>) -> Guard {
        Guard { allowed, ports: Vec::new(), https_only: false }
    }

    /// The same for targets on these ports only. An empty list means any port.
    #[must_use]
    pub fn with_ports(self, ports: Vec<RangeInclusive<u16>>) -> Guard {
        Guard { ports, ..self }
    }

    /// The same for `https` targets only, if `https_only` says so.
    #[must_use]
    pub fn with_https_only(self, https_only: bool) -> Guard {
        Guard { https_only, ..self }
    }

    /// True if a target may be of this scheme.
    #[must_use]
    pub fn allows_scheme(&self, is_https: bool) -> bool {
        is_https || !self.https_only
    }

    /// Judges the port of a target.
    ///
    /// # Errors
    /// When no target may be on it.
    pub fn check_port(&self, port: u16) -> Result<(), PortRefused> {
        let is_open = self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(&port));
        if is_open { Ok(()) } else { Err(PortRefused(port)) }
    }

    /// Judges the address about to be dialled; the port is judged by [`Guard::check_port`].
    ///
    /// # Errors
    /// When it must not be dialled, with the reason.
    pub fn check(&self, target: SocketAddr) -> Result<(), GuardError> {
        self.check_ip(target.ip())
    }

    /// Judges an address.
    ///
    /// # Errors
    /// When it must not be dialled, with the reason.
    pub fn check_ip(&self, address: IpAddr) -> Result<(), GuardError> {
        // The system dials an IPv4-mapped address over IPv4: it is that IPv4 address.
        let canonical = address.to_canonical();
        let wrapped = match canonical {
            IpAddr::V4(_) => [None; 2],
            IpAddr::V6(v6) => wrapped_v4(v6),
        };
        let refused = |range| Err(GuardError { address, range });

        if self.allowed.iter().any(|net| is_exactly(net, canonical)) {
            return Ok(());
        }
        for inner in wrapped.into_iter().flatten().map(IpAddr::V4).chain([canonical]) {
            if is_metadata(inner) && !self.allowed.iter().any(|net| is_exactly(net, inner)) {
                return refused(METADATA);
            }
        }
        if self.is_allowed(canonical) {
            return Ok(());
        }
        if let Some(range) = special_range(canonical) {
            return refused(range);
        }
        for inner in wrapped.into_iter().flatten().map(IpAddr::V4) {
            if let Some(range) = special_range(inner).filter(|_| !self.is_allowed(inner)) {
                return refused(range);
            }
        }
        Ok(())
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|net| net.contains(&address))
    }
}

/// True if `net` is this one address. An IPv4-mapped /128 names its IPv4 address.
fn is_exactly(net: &IpNet, address: IpAddr) -> bool {
    net.prefix_len() == net.max_prefix_len() && net.addr().to_canonical() == address
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => METADATA_V6.contains(&v6),
    }
}

/// The special range that a canonical address lies in, if any.
fn special_range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => SPECIAL_V4.iter().find(|(net, _)| net.contains(&v4)).map(|(_, range)| *range),
        IpAddr::V6(v6) => SPECIAL_V6
            .iter()
            .find(|(net, _)| net.contains(&v6))
            .map(|(_, range)| *range)
            .or_else(|| (!GLOBAL_UNICAST.contains(&v6) && !NAT64.contains(&v6)).then_some(NOT_GLOBAL)),
    }
}

/// The IPv4 addresses that an IPv6 address leads to, or may lead to, by translation or tunnel.
fn wrapped_v4(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let o = address.octets();
    let at = |a: usize, b: usize, c: usize, d: usize| Some(Ipv4Addr::new(o[a], o[b], o[c], o[d]));
    let last = at(12, 13, 14, 15);
    if NAT64.contains(&address) || IPV4_COMPATIBLE.contains(&address) {
        [last, None]
    } else if NAT64_LOCAL.contains(&address) {
        // RFC 6052, 2.2: behind a /48 the IPv4 address lies around octet 8; the /96s within it carry it last.
        [last, at(6, 7, 9, 10)]
    } else if SIX_TO_FOUR.contains(&address) {
        [at(2, 3, 4, 5), None]
    } else if TEREDO.contains(&address) {
        // RFC 4380: the server in the clear, the client inverted.
        [at(4, 5, 6, 7), Some(Ipv4Addr::new(!o[12], !o[13], !o[14], !o[15]))]
    } else if matches!(o[8..12], [0 | 2, 0, 0x5e, 0xfe]) {
        // RFC 5214: ISATAP, in any prefix.
        [last, None]
    } else {
        [None; 2]
    }
}
