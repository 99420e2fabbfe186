//! Tiers: named limits on the API that applications may have.
//!
//! ```text
//! NAME=REQUESTS/SECONDS      e.g. free=100/60
//! ```

use super::Rate;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Tiers that there may be: each is a label of a metric.
pub const TIERS_MAX: usize = 32;
/// Characters of a tier's name.
pub const NAME_MAX: usize = 64;
/// Seconds in which a tier's requests may be made, at most: a day.
pub const PER_S_MAX: u32 = 86_400;

/// A named limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// Requests.
    pub requests: NonZeroU32,
    /// In so many seconds.
    pub per_s: NonZeroU32,
}

impl Tier {
    /// The limit.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate { requests: self.requests, per: Duration::from_secs(self.per_s.get().into()) }
    }
}

/// Why a text is no tier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no tier: it must be NAME=REQUESTS/SECONDS, e.g. free=100/60, in at most a day")]
pub struct NotATier(String);

impl FromStr for Tier {
    type Err = NotATier;

    fn from_str(text: &str) -> Result<Tier, NotATier> {
        let parse = || {
            let (name, rate) = text.split_once('=')?;
            let (requests, per_s) = rate.split_once('/')?;
            let is_name = (1..=NAME_MAX).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            let per_s: NonZeroU32 = per_s.parse().ok().filter(|per_s: &NonZeroU32| per_s.get() <= PER_S_MAX)?;
            is_name.then_some(Tier { name: name.to_owned(), requests: requests.parse().ok()?, per_s })
        };
        parse().ok_or_else(|| NotATier(text.to_owned()))
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}/{}", self.name, self.requests, self.per_s)
    }
}

/// The tiers of the configuration; cheap to clone. Usually there are none, and the API is not limited by application.
#[derive(Clone, Debug, Default)]
pub struct Tiers {
    all: Arc<[Tier]>,
    /// The place of the one of applications that have none of their own.
    default: Option<usize>,
}

/// Why tiers do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TiersError {
    /// More than [`TIERS_MAX`].
    #[error("there may be at most {TIERS_MAX} tiers")]
    TooMany,
    /// Two with one name.
    #[error("there are two tiers named `{0}`")]
    Twice(String),
    /// The default is none of them.
    #[error("there is no tier named `{0}`")]
    Unknown(String),
}

impl Tiers {
    /// These tiers, of which applications without one of their own have `default`.
    ///
    /// # Errors
    /// When there are too many, two have one name, or the default is none of them.
    pub fn new(all: Vec<Tier>, default: Option<&str>) -> Result<Tiers, TiersError> {
        if all.len() > TIERS_MAX {
            return Err(TiersError::TooMany);
        }
        let is_twice = |(nth, tier): &(usize, &Tier)| all[..*nth].iter().any(|before| before.name == tier.name);
        if let Some((_, tier)) = all.iter().enumerate().find(is_twice) {
            return Err(TiersError::Twice(tier.name.clone()));
        }
        let place = |name: &str| {
            let found = all.iter().position(|tier| tier.name == name);
            found.ok_or_else(|| TiersError::Unknown(name.to_owned()))
        };
        let default = default.map(place).transpose()?;
        Ok(Tiers { all: all.into(), default })
    }

    /// Each of them, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Tier> {
        self.all.iter()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// True if one has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.all.iter().any(|tier| tier.name == name)
    }

    /// The place of the tier of an application that names `own`. One that is not configured any more counts as none.
    #[must_use]
    pub fn place_of(&self, own: Option<&str>) -> Option<usize> {
        let own = own.and_then(|name| self.all.iter().position(|tier| tier.name == name));
        own.or(self.default)
    }

    /// The tier at a place.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&Tier> {
        self.all.get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(text: &str) -> Tier {
        text.parse().unwrap()
    }

    #[test]
    fn a_tier_reads_back_and_anything_else_is_refused() {
        for text in ["free=100/60", "a-b_C9=1/86400"] {
            assert_eq!(tier(text).to_string(), text);
        }
        assert_eq!(tier("free=100/60").rate().per, Duration::from_secs(60));
        let long = format!("{}=1/1", "x".repeat(65));
        for text in ["free", "free=100", "=1/1", "a b=1/1", "a=0/1", "a=1/0", "a=1/86401", "a=-1/1", "a=1/1/1", &long] {
            assert!(text.parse::<Tier>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_application_has_its_own_tier_or_the_default_one() {
        let all = || vec![tier("free=1/1"), tier("pro=2/1")];
        let tiers = Tiers::new(all(), Some("free")).unwrap();
        let name = |own| tiers.place_of(own).and_then(|place| tiers.at(place)).map(|tier| tier.name.as_str());
        assert_eq!((name(None), name(Some("pro")), name(Some("gone"))), (Some("free"), Some("pro"), Some("free")));
        assert_eq!(Tiers::new(all(), None).unwrap().place_of(None), None);
        assert_eq!(Tiers::new(all(), Some("x")).unwrap_err(), TiersError::Unknown("x".to_owned()));
        assert_eq!(Tiers::new([all(), all()].concat(), None).unwrap_err(), TiersError::Twice("free".to_owned()));
        let many = (0..33).map(|number| tier(&format!("t{number}=1/1"))).collect();
        assert_eq!(Tiers::new(many, None).unwrap_err(), TiersError::TooMany);
    }
}
