//! The property that every kind of key has: it reads back, and its bytes lie in the order of what it stands for.

use super::KeyKind;
use crate::store::StoreError;
use model::{AppId, EndpointId, EndpointRef, Seq, UnixMs};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::fmt::Debug;

/// Numbers that often meet, often touch a byte boundary, and are anything otherwise.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..3, 254u64..258, Just(u64::MAX), any::<u64>()]
}

pub(super) fn u32s() -> impl Strategy<Value = u32> {
    number().prop_map(|number| number as u32)
}

pub(super) fn u16s() -> impl Strategy<Value = u16> {
    number().prop_map(|number| number as u16)
}

pub(super) fn apps() -> impl Strategy<Value = AppId> {
    u32s().prop_map(AppId)
}

pub(super) fn targets() -> impl Strategy<Value = EndpointRef> {
    (apps(), u32s()).prop_map(|(app, endpoint)| EndpointRef { app, endpoint: EndpointId(endpoint) })
}

pub(super) fn seqs() -> impl Strategy<Value = Seq> {
    number().prop_map(Seq)
}

pub(super) fn times() -> impl Strategy<Value = UnixMs> {
    number().prop_map(UnixMs)
}

pub(super) fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,3}", any::<String>()]
}

/// Checks two values of one kind.
pub(super) fn check<T: Ord + Debug>(
    kind: KeyKind,
    (a, b): (T, T),
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, StoreError>,
) -> Result<(), TestCaseError> {
    let (key_a, key_b) = (encode(&a), encode(&b));
    prop_assert_eq!(key_a[0], kind as u8);
    prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b), "bytes do not lie in logical order");
    let read = decode(&key_a).ok();
    prop_assert_eq!(read.as_ref(), Some(&a), "does not read back");
    let mut foreign = key_a;
    foreign[0] ^= 0x80;
    prop_assert!(decode(&foreign).is_err(), "took a key of another kind");
    Ok(())
}

/// Checks that a kind without text takes keys of its one length only.
pub(super) fn check_length<T: Debug>(
    key: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, StoreError>,
) -> Result<(), TestCaseError> {
    prop_assert!(decode(&key[..key.len() - 1]).is_err(), "took a key cut short");
    prop_assert!(decode(&[key, &[0]].concat()).is_err(), "took a key that is too long");
    Ok(())
}

/// The tests of a kind: `key_properties!(KeyKind::Pending, fixed, (targets(), seqs()), |(target, seq)| encode(*target,
/// *seq), decode);`, with `text` for `fixed` when the key ends in text.
macro_rules! key_properties {
    ($kind:expr, fixed, $parts:expr, $encode:expr, $decode:expr) => {
        key_properties!($kind, text, $parts, $encode, $decode);

        proptest::proptest! {
            #[test]
            fn has_one_length(parts in $parts) {
                let encode = $crate::keys::testing::encoder(&parts, $encode);
                $crate::keys::testing::check_length(&encode(&parts), $decode)?;
            }
        }
    };
    ($kind:expr, text, $parts:expr, $encode:expr, $decode:expr) => {
        proptest::proptest! {
            #[test]
            fn reads_back_and_lies_in_logical_order(a in $parts, b in $parts) {
                $crate::keys::testing::check($kind, (a, b), $encode, $decode)?;
            }
        }
    };
}
pub(super) use key_properties;

/// Gives a closure the type of its argument.
pub(super) fn encoder<T, F: Fn(&T) -> Vec<u8>>(_parts: &T, encode: F) -> F {
    encode
}
