//! Tests of the address guard: every special range of the IANA registries, and forms that hide one.

use super::*;
use proptest::prelude::*;

fn check(guard: &Guard, address: &str) -> Result<(), &'static str> {
    guard.check_ip(address.parse().unwrap()).map_err(|error| error.range)
}

fn allowing(nets: &[&str]) -> Guard {
    Guard::new(nets.iter().map(|net| net.parse().unwrap()).collect())
}

/// Every row of the IANA IPv4 and IPv6 Special-Purpose Address Registries
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry/>, <https://www.iana.org/assignments/iana-ipv6-special-registry/>),
/// the multicast registries, and what RFC 3879 (site-local) and RFC 4291 deprecate.
/// Left out are the two rows that are judged by the address they wrap: `::ffff:0:0/96` and `64:ff9b::/96`.
const REGISTRY: [&str; 52] = [
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.9/32",
    "192.0.0.10/32",
    "192.0.0.11/32",
    "192.0.0.170/32",
    "192.0.0.171/32",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.88.99.2/32",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::1/128",
    "::/128",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
];
const DEPRECATED_AND_MULTICAST: [&str; 2] = ["fec0::/10", "ff00::/8"];

/// First, last and middle address of a range.
fn samples(net: IpNet) -> [IpAddr; 3] {
    let middle = match (net.network(), net.broadcast()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Ipv4Addr::from_bits(first.to_bits().midpoint(last.to_bits())).into(),
        (IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Addr::from_bits(first.to_bits().midpoint(last.to_bits())).into(),
        _ => unreachable!("a range is of one family"),
    };
    [net.network(), middle, net.broadcast()]
}

#[test]
fn every_row_of_the_special_registries_is_refused_at_both_ends_and_in_the_middle() {
    let guard = Guard::default();
    for row in REGISTRY.iter().chain(&DEPRECATED_AND_MULTICAST) {
        let net: IpNet = row.parse().unwrap();
        for address in samples(net) {
            assert!(guard.check_ip(address).is_err(), "{address} of {row} escaped");
            if let IpAddr::V4(v4) = address {
                for wrapped in wrappings(v4) {
                    assert!(guard.check_ip(wrapped.into()).is_err(), "{v4} of {row} escaped as {wrapped}");
                }
            }
        }
        // The list opens exactly what it names.
        let allowed = allowing(&[row]);
        for address in samples(net).into_iter().filter(|address| !is_metadata(*address)) {
            assert!(allowed.check_ip(address).is_ok(), "{address} of {row} was allowed");
        }
    }
}

/// Every way to say an IPv4 address in IPv6.
fn wrappings(v4: Ipv4Addr) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    vec![
        v4.to_ipv6_mapped(),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, high, u16::from_be_bytes([0, c]), u16::from_be_bytes([d, 0]), 0, 0),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0x2001, 0, 0x0808, 0x0808, 0, 0, !high, !low),
        Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0xf7f7, 0xf7f7),
        Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0x5efe, high, low),
        Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0x200, 0x5efe, high, low),
    ]
}

#[test]
fn public_addresses_pass_also_wrapped_as_a_network_without_ipv4_does() {
    let guard = Guard::default();
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2000::1",
        "2001:200::1",
        "2003::1",
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "3ffe::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2606:4700::5efe:8.8.8.8",
    ] {
        assert_eq!(check(&guard, address), Ok(()), "{address}");
    }
}

#[test]
fn metadata_stays_refused_in_an_allowed_range_unless_it_is_named_itself() {
    let broad = allowing(&["169.254.0.0/16", "fd00::/8", "0.0.0.0/0", "::/0", "169.254.169.254/31"]);
    assert_eq!(check(&broad, "169.254.1.1"), Ok(()));
    for v4 in METADATA_V4 {
        assert_eq!(broad.check_ip(v4.into()).unwrap_err().range, METADATA, "{v4}");
        for wrapped in wrappings(v4) {
            assert_eq!(broad.check_ip(wrapped.into()).unwrap_err().range, METADATA, "{v4} as {wrapped}");
        }
    }
    for v6 in METADATA_V6 {
        assert_eq!(broad.check_ip(v6.into()).unwrap_err().range, METADATA, "{v6}");
    }
    assert_eq!(check(&Guard::default(), "168.63.129.16"), Err(METADATA));

    let named = allowing(&["169.254.169.254/32", "fd00:ec2::254/128"]);
    assert_eq!(check(&named, "169.254.169.254"), Ok(()));
    assert_eq!(check(&named, "::ffff:169.254.169.254"), Ok(()));
    assert_eq!(check(&named, "fd00:ec2::254"), Ok(()));
    assert_eq!(check(&named, "169.254.170.2"), Err(METADATA));
}

#[test]
fn metadata_of_each_cloud_is_refused_in_an_allowed_range_also_without_our_table() {
    let broad = allowing(&["169.254.0.0/16", "fd00::/8"]);
    for address in ["169.254.42.42", "fd00:42::42", "fd00:c1::a9fe:a9fe", "169.254.0.23", "::ffff:169.254.42.42"] {
        assert_eq!(check(&broad, address), Err(METADATA), "{address}");
    }
}

#[test]
fn ports_outside_the_list_are_refused_and_no_list_means_any() {
    let guard = Guard::default().with_ports(vec![443..=443, 8000..=8999]);
    for (port, passes) in [(443, true), (8000, true), (8999, true), (80, false), (9000, false), (1, false)] {
        assert_eq!(guard.check_port(port).is_ok(), passes, "{port}");
        assert_eq!(Guard::default().check_port(port), Ok(()));
    }
}

#[test]
fn reasons_name_the_range_and_the_address_as_it_was_given() {
    let error = Guard::default().check("[::ffff:127.0.0.1]:80".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "the address ::ffff:127.0.0.1 is refused as a target: loopback");
    for (address, range) in [
        ("255.255.255.255", "broadcast"),
        ("64:ff9b::10.0.0.1", "private"),
        ("2001::1", "Teredo"),
        ("4000::1", NOT_GLOBAL),
        ("::1", "loopback"),
        ("2606:4700::5efe:192.168.1.1", "private"),
    ] {
        assert_eq!(check(&Guard::default(), address), Err(range), "{address}");
    }
}

#[test]
fn an_allowed_range_opens_its_wrapped_forms_where_the_wrapping_itself_is_harmless() {
    let guard = allowing(&["127.0.0.0/8"]);
    assert_eq!(check(&guard, "127.0.0.1"), Ok(()));
    assert_eq!(check(&guard, "::ffff:127.0.0.1"), Ok(()));
    assert_eq!(check(&guard, "64:ff9b::127.0.0.1"), Ok(()));
    assert_eq!(check(&guard, "2002:7f00:1::"), Err("6to4"));
    assert_eq!(check(&guard, "::1"), Err("loopback"));
}

proptest! {
    /// The standard library's own idea of special addresses, which shares nothing with our tables.
    #[test]
    fn nothing_that_std_calls_special_passes(bits: u32, outer in 0..10usize) {
        let v4 = Ipv4Addr::from_bits(bits);
        let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
            || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
        let guard = Guard::default();
        prop_assert!(!special || guard.check_ip(v4.into()).is_err());
        // A wrapping never passes where the wrapped address does not.
        prop_assert!(guard.check_ip(v4.into()).is_ok() || guard.check_ip(wrappings(v4)[outer].into()).is_err());
    }

    #[test]
    fn no_ipv6_outside_global_unicast_passes_but_mapped_and_nat64(bits: u128) {
        let v6 = Ipv6Addr::from_bits(bits);
        let passes = Guard::default().check_ip(v6.into()).is_ok();
        prop_assert!(!passes || GLOBAL_UNICAST.contains(&v6) || v6.to_ipv4_mapped().is_some() || NAT64.contains(&v6));
    }
}
