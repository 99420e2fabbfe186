//! The making of values: one byte for the version of the kind's layout, then its fields one behind the other.
//!
//! Each kind counts its own versions, from 1, in its file. Rows are written in the newest version and read in every
//! one:
//!
//! - **A field more** is named in the field list with the version that it came with: `note since 2`. A row of an
//!   earlier version has the field's default.
//! - **Any other change** of a layout keeps the earlier one as a struct of its own, which a decoder that is given to
//!   `value!` turns into the present one: `value!(Pending: Pending, version 2, decode)`.
//!
//! A row of a version that this program does not know is refused as corrupt, and so are bytes that are left over.

mod field;
#[cfg(test)]
pub mod testing;
mod words;

pub use field::{Field, Malformed, Reader};
pub(crate) use field::{fields, variants};

use crate::rows::KeyKind;
use crate::store::StoreError;
use bytes::Bytes;

/// Encodes a value in the present version of its layout.
#[must_use]
pub fn encode<T: Field>(version: u8, row: &T) -> Bytes {
    let mut bytes = vec![version];
    row.put(&mut bytes);
    Bytes::from(bytes)
}

/// Decodes a value of any version up to the present one. `take` reads the fields: [`Reader::version`] tells it which.
///
/// # Errors
/// [`StoreError::CorruptRow`] with the name of the kind when the version is not known, the bytes do not decode or some
/// are left over.
pub fn decode<T>(
    kind: KeyKind,
    newest: u8,
    value: &[u8],
    take: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<T, StoreError> {
    let corrupt = |detail: String| StoreError::CorruptRow { kind: kind.name(), detail };
    let Some((&version, fields)) = value.split_first() else { return Err(corrupt("empty value".to_owned())) };
    if !(1..=newest).contains(&version) {
        return Err(corrupt(format!("written in version {version}, this program knows 1 to {newest}")));
    }
    let mut reader = Reader::new(version, fields);
    let row = take(&mut reader).map_err(|error| corrupt(error.to_string()))?;
    match reader.rest().len() {
        0 => Ok(row),
        left => Err(corrupt(format!("{left} bytes left over"))),
    }
}

/// Gives a row's file its value: `value!(Pending: Pending, version 1);`, with a decoder of its own when an earlier
/// version is more than fields that it lacks.
///
/// - `to_value` encodes in that version, `from_value` decodes in every version up to it.
/// - Tests: a value reads back, and one that is cut short, too long or of another version is refused by kind.
macro_rules! value {
    ($kind:ident: $type:ty, version $version:expr) => {
        $crate::rows::value::value!($kind: $type, version $version, <$type as $crate::rows::value::Field>::take);
    };
    ($kind:ident: $type:ty, version $version:expr, $take:expr) => {
        /// The value of a row.
        #[must_use]
        pub fn to_value(row: &$type) -> bytes::Bytes {
            $crate::rows::value::encode($version, row)
        }

        /// Reads a value back.
        ///
        /// # Errors
        /// [`CorruptRow`](crate::StoreError::CorruptRow) for anything that no version of [`to_value`] would have
        /// written.
        pub fn from_value(value: &[u8]) -> Result<$type, $crate::StoreError> {
            $crate::rows::value::decode($crate::rows::KeyKind::$kind, $version, value, $take)
        }

        #[cfg(test)]
        mod value_tests {
            use super::*;

            proptest::proptest! {
                #[test]
                fn reads_back_and_anything_else_is_refused(row in $crate::rows::value::testing::samples::<$type>()) {
                    let kind = $crate::rows::KeyKind::$kind;
                    $crate::rows::value::testing::check(kind, $version, &row, &to_value(&row), from_value)?;
                }
            }
        }
    };
}
pub(crate) use value;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::value::testing::check;
    use proptest::prelude::*;

    /// A kind that had a name, then got a note, and then counted in `u64` what it had counted in `u32` under another
    /// name.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Tally {
        name: String,
        note: Option<String>,
        counted: u64,
    }

    fields!(Tally { name, note, counted });

    /// Versions 1 and 2.
    struct TallyUpTo2 {
        name: String,
        hits: u32,
        note: Option<String>,
    }

    fields!(TallyUpTo2 { name, hits, note since 2 });

    fn take(from: &mut Reader<'_>) -> Result<Tally, Malformed> {
        if from.version() > 2 {
            return Tally::take(from);
        }
        let TallyUpTo2 { name, hits, note } = TallyUpTo2::take(from)?;
        Ok(Tally { name, note, counted: hits.into() })
    }

    fn from_value(value: &[u8]) -> Result<Tally, StoreError> {
        decode(KeyKind::Meta, 3, value, take)
    }

    #[test]
    fn every_version_is_read_and_the_newest_is_written() {
        let note = Some("of version 2".to_owned());
        let of_two = encode(2, &TallyUpTo2 { name: "a".to_owned(), hits: 7, note: note.clone() });
        let of_one = [&[1], &of_two[1..4]].concat();
        let now = Tally { name: "a".to_owned(), note: None, counted: 7 };
        assert_eq!(from_value(&of_one).unwrap(), now);
        assert_eq!(from_value(&of_two).unwrap(), Tally { note, ..now.clone() });
        assert_eq!(from_value(&encode(3, &now)).unwrap(), now);
        assert!(from_value(&[&of_one[..], &[0]].concat()).is_err(), "version 1 knows no note");
        assert!(from_value(&encode(4, &now)).is_err(), "a later version");
    }

    #[test]
    fn the_layout_is_what_the_format_says() {
        let row = Tally { name: "ü".to_owned(), note: None, counted: 250 };
        assert_eq!(encode(3, &row).as_ref(), b"\x03\x02\xc3\xbc\x00\xfa");
        let counted = |counted| encode(3, &Tally { name: String::new(), note: None, counted })[3..].to_vec();
        assert_eq!(counted(251), [251, 251, 0]);
        assert_eq!(counted(65_536), [252, 0, 0, 1, 0]);
        assert_eq!(counted(1 << 32), [253, 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            drop(from_value(&bytes));
        }

        #[test]
        fn a_tally_reads_back(row in testing::samples::<Tally>()) {
            check(KeyKind::Meta, 3, &row, &encode(3, &row), from_value)?;
        }
    }
}
