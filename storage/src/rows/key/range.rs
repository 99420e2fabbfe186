//! A range of keys, as scans want it, and how a page narrows it.

use crate::store::Direction;

/// Keys in `[start, end)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The lowest key inside.
    pub start: Vec<u8>,
    /// The lowest key above all inside.
    pub end: Vec<u8>,
}

impl KeyRange {
    /// Every key that begins with `prefix`, which begins with a kind.
    #[must_use]
    pub fn prefix(prefix: Vec<u8>) -> KeyRange {
        let mut end = prefix.clone();
        // The key after all of them: 0xff bytes at the end carry. No kind is 0xff, so that this stops at the kind.
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        debug_assert!(!end.is_empty(), "a prefix begins with a kind");
        KeyRange { start: prefix, end }
    }

    /// The rest of the range for a list that has shown `key`: the keys above it going forward, those below it in
    /// reverse. The whole range without a key.
    #[must_use]
    pub fn beyond(mut self, key: Option<Vec<u8>>, direction: Direction) -> KeyRange {
        match (key, direction) {
            (None, _) => {}
            (Some(key), Direction::Forward) => self.start = successor(key).max(self.start),
            (Some(key), Direction::Reverse) => self.end = key.min(self.end),
        }
        self
    }

    /// Only keys from `key` on, itself included.
    #[must_use]
    pub fn from(mut self, key: Vec<u8>) -> KeyRange {
        self.start = self.start.max(key);
        self
    }

    /// Only keys up to `key`, itself included.
    #[must_use]
    pub fn up_to(mut self, key: Vec<u8>) -> KeyRange {
        self.end = self.end.min(successor(key));
        self
    }

    /// True if `key` is inside.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }
}

/// The lowest key above `key`.
fn successor(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff)]
    }

    proptest! {
        #[test]
        fn a_prefix_range_holds_the_keys_with_that_prefix_and_no_other(
            rest in vec(byte(), 0..4), kind in 1u8..3, key in vec(byte(), 1..6), extension in vec(byte(), 0..3),
        ) {
            let mut prefix = vec![kind];
            prefix.extend(rest);
            let range = KeyRange::prefix(prefix.clone());
            prop_assert_eq!(range.contains(&key), key.starts_with(&prefix));
            let longer = [prefix, extension].concat();
            prop_assert!(range.contains(&longer));
        }

        #[test]
        fn beyond_leaves_what_a_list_has_not_shown(a in vec(byte(), 0..4), b in vec(byte(), 0..4)) {
            let key = |rest: &[u8]| [&[7], rest].concat();
            let (shown, other) = (key(&a), key(&b));
            let all = KeyRange::prefix(vec![7]);
            let forward = all.clone().beyond(Some(shown.clone()), Direction::Forward);
            prop_assert_eq!(forward.contains(&other), other > shown);
            let reverse = all.clone().beyond(Some(shown.clone()), Direction::Reverse);
            prop_assert_eq!(reverse.contains(&other), other < shown);
            prop_assert_eq!(all.clone().from(shown.clone()).contains(&other), other >= shown);
            prop_assert_eq!(all.up_to(shown.clone()).contains(&other), other <= shown);
        }
    }
}
