//! Samples of values, and the properties that the value of every kind has.

use super::Field;
use crate::rows::KeyKind;
use crate::rows::key::testing::number;
use crate::store::StoreError;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::fmt::Debug;

/// Numbers that a test drew, to make a value of; zeros when there are no more, so that a smaller list makes a simpler
/// value.
pub struct Source(std::vec::IntoIter<u64>);

impl Source {
    pub(crate) fn number(&mut self) -> u64 {
        self.0.next().unwrap_or(0)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    pub(crate) fn text(&mut self) -> String {
        let length = self.below(300);
        ["a", "ü", "🦀"][self.below(3)].repeat(length)
    }
}

/// Values of a kind.
pub(crate) fn samples<T: Field + Debug>() -> impl Strategy<Value = T> {
    proptest::collection::vec(number(), 0..80).prop_map(|numbers| T::any(&mut Source(numbers.into_iter())))
}

/// Checks one value, and what became of it.
pub(crate) fn check<T: PartialEq + Debug>(
    kind: KeyKind,
    version: u8,
    row: &T,
    value: &[u8],
    from_value: impl Fn(&[u8]) -> Result<T, StoreError>,
) -> Result<(), TestCaseError> {
    let is_refused = |value: &[u8]| matches!(from_value(value), Err(StoreError::CorruptRow { kind: named, .. }) if named == kind.name());
    prop_assert_eq!(value[0], version);
    let read = from_value(value).ok();
    prop_assert_eq!(read.as_ref(), Some(row), "does not read back");
    for end in (0..value.len()).step_by(1 + value.len() / 64) {
        prop_assert!(is_refused(&value[..end]), "took {end} of {} bytes", value.len());
    }
    prop_assert!(is_refused(&[value, &[0]].concat()), "took a byte too many");
    for other in [0, version + 1, u8::MAX] {
        prop_assert!(is_refused(&[&[other], &value[1..]].concat()), "took version {other}");
    }
    Ok(())
}
