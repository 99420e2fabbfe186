//! Durations, sizes and address ranges as people write them: `15s`, `5d`, `64MiB`, `10.0.0.0/8`.
//!
//! One text form for flags, environment and file. In the file a plain number works too. Fractions and
//! sums (`1h30m`) are refused: a setting is one number of one unit, so that `--print-config` shows it as it was written.

use control::rate::{NotATier, Tier};
use engine::dispatch::{EgressProxy, ProxyException, ProxyExceptionError, ProxyUrlError, masked};
use ipnet::IpNet;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Words for milliseconds, longest first: the first that divides a duration is the one it is shown in.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Words for bytes, largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Why a text is not a setting's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    /// Not a whole number with a unit.
    #[error("expected a whole number with a unit, one of {expected}")]
    Malformed {
        /// The units.
        expected: &'static str,
    },
    /// More than 64 bits hold.
    #[error("the number is too large")]
    TooLarge,
    /// Not a port or a range of ports.
    #[error("expected a port from 1 to 65535, or a range such as 8000-8999")]
    NotPorts,
    /// Not an address or a range.
    #[error("expected an address or a range such as 10.0.0.0/8")]
    NotARange,
    /// Not an origin of pages.
    #[error(transparent)]
    NotAnOrigin(#[from] admin_api::NotAnOrigin),
    /// Not a tier of the API.
    #[error(transparent)]
    NotATier(#[from] NotATier),
}

/// A duration in milliseconds. `BARE_MS` is the unit of a bare number, in milliseconds; 0 refuses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span<const BARE_MS: u64>(pub(crate) u64);

/// A setting named `…_ms`.
pub(crate) type Millis = Span<1>;
/// A setting named `…_hours`.
pub(crate) type Hours = Span<3_600_000>;
/// An element of a schedule: always with a unit.
pub(crate) type Gap = Span<0>;

/// The URL of an egress proxy as it was given, judged later: a refusal here would show it with its password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProxyUrl(String);

/// Targets that are called without the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exception(pub(crate) ProxyException);

/// The gaps of a retry schedule; none means a single attempt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Schedule(pub(crate) Vec<Gap>);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A range of target addresses; a single address is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range(pub(crate) IpNet);

/// A range of ports, both ends included; a single port is a range of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortRange(pub(crate) RangeInclusive<u16>);

/// An origin of pages that may call the API from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CorsOrigin(pub(crate) admin_api::Origin);

/// A tier of applications' use of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiTier(pub(crate) Tier);

/// Reads `<digits><unit>`, with or without a space between; `bare` is the unit of a number alone, 0 for none.
fn parse(text: &str, units: &[(&str, u64)], bare: u64, expected: &'static str) -> Result<u64, UnitError> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::Malformed { expected });
    }
    let unit = unit.trim_start();
    let scale = if unit.is_empty() {
        bare
    } else {
        units.iter().find(|(word, _)| word.eq_ignore_ascii_case(unit)).map_or(0, |(_, scale)| *scale)
    };
    if scale == 0 {
        return Err(UnitError::Malformed { expected });
    }
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    number.checked_mul(scale).ok_or(UnitError::TooLarge)
}

/// Writes `value` in the largest unit that divides it.
fn show(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |(_, scale): &&(&str, u64)| value != 0 && value.is_multiple_of(*scale);
    let (word, scale) = units.iter().find(fits).or(units.last()).copied().unwrap_or(("", 1));
    write!(f, "{}{word}", value / scale)
}

// === impl Span ===

impl<const BARE_MS: u64> FromStr for Span<BARE_MS> {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, &TIME_UNITS, BARE_MS, "ms, s, m, h, d").map(Span)
    }
}

impl<const BARE_MS: u64> fmt::Display for Span<BARE_MS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, &TIME_UNITS, f)
    }
}

// === impl ProxyUrl ===

impl ProxyUrl {
    /// The proxy.
    pub(crate) fn read(&self) -> Result<EgressProxy, ProxyUrlError> {
        self.0.parse()
    }
}

impl FromStr for ProxyUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(ProxyUrl(text.trim().to_owned()))
    }
}

/// User name and password hidden.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.0))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ProxyUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProxyUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| ProxyUrl(text.trim().to_owned()))
    }
}

// === impl Exception ===

impl FromStr for Exception {
    type Err = ProxyExceptionError;

    fn from_str(text: &str) -> Result<Self, ProxyExceptionError> {
        text.parse().map(Exception)
    }
}

impl Serialize for Exception {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Exception {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

// === impl Schedule ===

impl FromStr for Schedule {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.trim() {
            "" | "none" => Ok(Schedule(Vec::new())),
            gaps => gaps.split(',').map(str::parse).collect::<Result<_, _>>().map(Schedule),
        }
    }
}

// === impl Size ===

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, &SIZE_UNITS, 1, "B, KiB, MiB, GiB").map(Size)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, &SIZE_UNITS, f)
    }
}

// === impl Range ===

impl FromStr for Range {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| address()).map(Range).map_err(|_| UnitError::NotARange)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl PortRange ===

impl FromStr for PortRange {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0).ok_or(UnitError::NotPorts);
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ports = port(first)?..=port(last)?;
        if ports.is_empty() { Err(UnitError::NotPorts) } else { Ok(PortRange(ports)) }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.start(), self.0.end()) {
            (first, last) if first == last => first.fmt(f),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

// === impl CorsOrigin ===

impl FromStr for CorsOrigin {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        Ok(CorsOrigin(text.parse()?))
    }
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl ApiTier ===

impl FromStr for ApiTier {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        Ok(ApiTier(text.parse()?))
    }
}

impl fmt::Display for ApiTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === serde, the same for all: text, or a number read as text ===

/// Takes a string or a non-negative whole number and reads it by [`FromStr`].
struct TextOrNumber<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = UnitError>> Visitor<'_> for TextOrNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or a text with a unit")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

impl<'de, const BARE_MS: u64> Deserialize<'de> for Span<BARE_MS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for CorsOrigin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for CorsOrigin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ApiTier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for ApiTier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrNumber(std::marker::PhantomData))
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<const BARE_MS: u64> Serialize for Span<BARE_MS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_is_read_in_every_unit() {
        let read = |text: &str| text.parse::<Millis>().map(|span| span.0);
        assert_eq!(read("250"), Ok(250));
        assert_eq!(read("250ms"), Ok(250));
        assert_eq!(read("15 s"), Ok(15_000));
        assert_eq!(read("5m"), Ok(300_000));
        assert_eq!(read("2h"), Ok(7_200_000));
        assert_eq!(read("5d"), Ok(432_000_000));
        assert_eq!("120".parse::<Hours>(), Ok(Span(120 * 3_600_000)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "-5s", "1.5s", "1h30m", "5 fortnights"] {
            assert!(matches!(text.parse::<Millis>(), Err(UnitError::Malformed { .. })), "{text:?}");
        }
        assert_eq!("99999999999999999999s".parse::<Millis>(), Err(UnitError::TooLarge));
        assert_eq!("999999999999999999d".parse::<Millis>(), Err(UnitError::TooLarge));
        assert!("5".parse::<Gap>().is_err(), "a schedule names its units");
    }

    #[test]
    fn a_schedule_may_have_no_gap() {
        assert_eq!("5s, 2m".parse(), Ok(Schedule(vec![Span(5_000), Span(120_000)])));
        assert_eq!(("none".parse(), "".parse()), (Ok(Schedule(vec![])), Ok(Schedule(vec![]))));
        assert!("5s,,2m".parse::<Schedule>().is_err() && "5".parse::<Schedule>().is_err());
    }

    #[test]
    fn a_size_is_read_and_shown() {
        assert_eq!("64MiB".parse(), Ok(Size(64 << 20)));
        assert_eq!("64mib".parse(), Ok(Size(64 << 20)));
        assert_eq!("4096".parse(), Ok(Size(4096)));
        assert_eq!(Size(4096).to_string(), "4KiB");
        assert_eq!(Size(1000).to_string(), "1000B");
        assert_eq!(Size(0).to_string(), "0B");
    }

    #[test]
    fn one_address_is_a_range_of_one() {
        assert_eq!("127.0.0.1".parse::<Range>().unwrap().to_string(), "127.0.0.1/32");
        assert_eq!("::1".parse::<Range>().unwrap().to_string(), "::1/128");
        assert_eq!("10.0.0.0/8".parse::<Range>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!("example.org".parse::<Range>(), Err(UnitError::NotARange));
    }

    #[test]
    fn ports_are_one_or_a_range_with_both_ends() {
        let read = |text: &str| text.parse::<PortRange>().map(|ports| ports.to_string());
        assert_eq!(read("443"), Ok("443".to_owned()));
        assert_eq!(read("8000-8999"), Ok("8000-8999".to_owned()));
        for wrong in ["", "0", "65536", "9-8", "1-", "-1", "http", "1-2-3"] {
            assert_eq!(read(wrong), Err(UnitError::NotPorts), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(value in 0..=1_u64 << 40) {
            prop_assert_eq!(Span::<0>(value).to_string().parse(), Ok(Span::<0>(value)));
            prop_assert_eq!(Size(value).to_string().parse(), Ok(Size(value)));
        }
    }
}
