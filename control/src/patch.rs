//! A field of a change: left alone, cleared or set.

use serde::{Deserialize, Deserializer};

/// A field of a patch: not there (leave it), `null` (clear it) or a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Not in the body.
    #[default]
    Keep,
    /// `null`.
    Clear,
    /// A value.
    Set(T),
}

impl<T> Patch<T> {
    /// The value that comes after this patch.
    #[must_use]
    pub fn apply(self, current: Option<T>) -> Option<T> {
        match self {
            Patch::Keep => current,
            Patch::Clear => None,
            Patch::Set(value) => Some(value),
        }
    }

    /// The new value, if there is one.
    #[must_use]
    pub fn as_set(&self) -> Option<&T> {
        match self {
            Patch::Set(value) => Some(value),
            Patch::Keep | Patch::Clear => None,
        }
    }

    /// The other one when this is not there.
    #[must_use]
    pub fn or(self, other: Patch<T>) -> Patch<T> {
        if matches!(self, Patch::Keep) { other } else { self }
    }

    /// Turns the value into another.
    #[must_use]
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Patch::Keep => Patch::Keep,
            Patch::Clear => Patch::Clear,
            Patch::Set(value) => Patch::Set(f(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Patch<T>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Patch::Clear, Patch::Set))
    }
}

impl<T> From<Option<T>> for Patch<T> {
    /// Of a whole thing, where absent and `null` are the same: such a field stays as a new thing has it.
    fn from(value: Option<T>) -> Patch<T> {
        value.map_or(Patch::Keep, Patch::Set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        uid: Patch<String>,
    }

    #[test]
    fn absent_leaves_null_clears_and_a_value_sets() {
        let patched = |body: &str| serde_json::from_str::<Body>(body).unwrap().uid.apply(Some("old".to_owned()));
        assert_eq!(patched("{}").as_deref(), Some("old"));
        assert_eq!(patched(r#"{"uid":null}"#), None);
        assert_eq!(patched(r#"{"uid":"new"}"#).as_deref(), Some("new"));
    }
}
