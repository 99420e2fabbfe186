//! Counters and facts about the store itself: `name`. The content of a value depends on the name, which is never used
//! again for another fact.

use super::KeyKind;
use super::key::key;
use super::value::{self, Field, fields};
use crate::store::StoreError;
use bytes::Bytes;

/// The name of the row with the check value of the master key. Persisted: never rename.
pub const MASTER_KEY_CHECK: &str = "master_key_check";

key!(Meta: (name: &str));

/// Layout of all of them. A fact whose layout changes gets another name.
const VERSION: u8 = 1;

/// The value of a row.
#[must_use]
pub fn to_value<T: Field>(fact: &T) -> Bytes {
    value::encode(VERSION, fact)
}

/// Reads a value back.
///
/// # Errors
/// [`StoreError::CorruptRow`] when it is not a value of that type.
pub fn from_value<T: Field>(value: &[u8]) -> Result<T, StoreError> {
    value::decode(KeyKind::Meta, VERSION, value, T::take)
}

/// Bytes that are retained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Blocks, payloads, names of events.
    pub events: u64,
    /// Attempts.
    pub attempts: u64,
}

fields!(Retained { events, attempts });

impl Retained {
    /// All of it.
    #[must_use]
    pub fn total(self) -> u64 {
        self.events.saturating_add(self.attempts)
    }

    /// The bytes after both grew by so much, or shrank.
    #[must_use]
    pub fn grown(self, events: i64, attempts: i64) -> Retained {
        Retained {
            events: self.events.saturating_add_signed(events),
            attempts: self.attempts.saturating_add_signed(attempts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::value::testing::{check, samples};

    proptest::proptest! {
        #[test]
        fn facts_read_back(retained in samples::<Retained>(), number in samples::<u32>()) {
            check(KeyKind::Meta, VERSION, &retained, &to_value(&retained), from_value)?;
            check(KeyKind::Meta, VERSION, &number, &to_value(&number), from_value)?;
        }
    }
}
