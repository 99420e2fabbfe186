//! The properties that every kind of key has, and samples of the parts.

use super::KeyKind;
use crate::store::StoreError;
use model::{AppId, EndpointId, EndpointRef, Seq, UnixMs};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::fmt::Debug;

/// A tuple that a key stands for, of which there are samples.
pub(crate) trait Sample: Clone + Ord + Debug + 'static {
    fn samples() -> BoxedStrategy<Self>;
}

/// Samples of the tuples that a kind's keys stand for.
pub(crate) fn samples_of<T: Sample>(_decode: fn(&[u8]) -> Result<T, StoreError>) -> BoxedStrategy<T> {
    T::samples()
}

/// A part as it is read, to be written again.
pub(crate) trait Lend {
    type Lent<'a>
    where
        Self: 'a;

    fn lend(&self) -> Self::Lent<'_>;
}

impl Sample for String {
    fn samples() -> BoxedStrategy<String> {
        prop_oneof!["[ab]{0,3}", any::<String>()].boxed()
    }
}

impl Lend for String {
    type Lent<'a> = &'a str;

    fn lend(&self) -> &str {
        self
    }
}

macro_rules! samples {
    ($($type:ty: $strategy:expr;)+) => {
        $(impl Sample for $type {
            fn samples() -> BoxedStrategy<$type> {
                $strategy.boxed()
            }
        }

        impl Lend for $type {
            type Lent<'a> = $type;

            fn lend(&self) -> $type {
                *self
            }
        })+
    };
}

samples! {
    u16: number().prop_map(|number| number as u16);
    u32: number().prop_map(|number| number as u32);
    u64: number();
    AppId: u32::samples().prop_map(AppId);
    EndpointId: u32::samples().prop_map(EndpointId);
    Seq: number().prop_map(Seq);
    UnixMs: number().prop_map(UnixMs);
    EndpointRef: (AppId::samples(), EndpointId::samples()).prop_map(|(app, endpoint)| EndpointRef { app, endpoint });
    [u8; 16]: any::<[u8; 16]>();
    [u8; 32]: any::<[u8; 32]>();
}

macro_rules! tuples {
    ($(($($part:ident),+);)+) => {
        $(impl<$($part: Sample),+> Sample for ($($part),+) {
            fn samples() -> BoxedStrategy<Self> {
                ($($part::samples()),+).boxed()
            }
        })+
    };
}
tuples! {
    (A, B);
    (A, B, C);
    (A, B, C, D);
}

/// Numbers that often meet, often touch a byte boundary, and are anything otherwise.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..3, 249u64..258, Just(u64::MAX), any::<u64>()]
}

/// Checks two keys of one kind; one without text is taken in its one length only.
pub(crate) fn check<T: Ord + Debug>(
    kind: KeyKind,
    ends_in_text: bool,
    (a, b): (T, T),
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, StoreError>,
) -> Result<(), TestCaseError> {
    let (key_a, key_b) = (encode(&a), encode(&b));
    prop_assert_eq!(key_a[0], kind as u8);
    prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b), "bytes do not lie in logical order");
    let read = decode(&key_a).ok();
    prop_assert_eq!(read.as_ref(), Some(&a), "does not read back");
    if !ends_in_text {
        prop_assert!(decode(&key_a[..key_a.len() - 1]).is_err(), "took a key cut short");
        prop_assert!(decode(&[&key_a[..], &[0]].concat()).is_err(), "took a key that is too long");
    }
    let mut foreign = key_a;
    foreign[0] ^= 0x80;
    prop_assert!(decode(&foreign).is_err(), "took a key of another kind");
    Ok(())
}
