//! The fields that values are made of, and the macros that list them.
//!
//! ```text
//! number        below 251: one byte; else 251, 252 or 253 and two, four or eight bytes, little-endian
//! bool          0 or 1
//! text, bytes   their length as a number, then they themselves
//! list          its length as a number, then the elements
//! optional      0, or 1 and the field
//! array         its bytes
//! one of many   the number of the variant in one byte, then its fields
//! ```

use std::sync::Arc;

#[cfg(test)]
use super::testing::Source;

/// The reason why fields could not be read. It shows no value: some are tenants' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Takes the fields of a value one by one.
pub struct Reader<'a> {
    version: u8,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads fields that were written in a version of their row's layout.
    #[must_use]
    pub fn new(version: u8, fields: &'a [u8]) -> Reader<'a> {
        Reader { version, rest: fields }
    }

    /// The version that the row was written in.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The bytes that are left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes a field that rows have since a version; the default from a row that is older.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not such a field.
    pub fn since<T: Field + Default>(&mut self, version: u8) -> Result<T, Malformed> {
        if self.version < version { Ok(T::default()) } else { T::take(self) }
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Malformed("cut short"))?;
        self.rest = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        match self.byte()? {
            251 => self.array().map(|bytes| u16::from_le_bytes(bytes).into()),
            252 => self.array().map(|bytes| u32::from_le_bytes(bytes).into()),
            253 => self.array().map(u64::from_le_bytes),
            254.. => Err(Malformed("a number that is too large")),
            small => Ok(small.into()),
        }
    }

    /// A length, and that many bytes.
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed("cut short"))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("text that is not UTF-8"))
    }
}

/// A part of a value.
pub trait Field: Sized {
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not such a field.
    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// One of many values, as a test draws them.
    #[cfg(test)]
    fn any(source: &mut Source) -> Self;
}

fn put_number(number: u64, out: &mut Vec<u8>) {
    if number < 251 {
        out.push(number as u8);
    } else if let Ok(number) = u16::try_from(number) {
        out.push(251);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.push(252);
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        out.push(253);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

macro_rules! numbers {
    ($($type:ty),+) => {
        $(impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                put_number((*self).into(), out);
            }

            fn take(from: &mut Reader<'_>) -> Result<$type, Malformed> {
                from.number()?.try_into().map_err(|_| Malformed("a number that is too large"))
            }

            #[cfg(test)]
            fn any(source: &mut Source) -> $type {
                source.number() as $type
            }
        })+
    };
}
numbers!(u16, u32, u64);

impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push((*self).into());
    }

    fn take(from: &mut Reader<'_>) -> Result<bool, Malformed> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("neither 0 nor 1")),
        }
    }

    #[cfg(test)]
    fn any(source: &mut Source) -> bool {
        source.below(2) == 1
    }
}

macro_rules! texts {
    ($($type:ty),+) => {
        $(impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                put_bytes(self.as_bytes(), out);
            }

            fn take(from: &mut Reader<'_>) -> Result<$type, Malformed> {
                from.text().map(<$type>::from)
            }

            #[cfg(test)]
            fn any(source: &mut Source) -> $type {
                <$type>::from(source.text())
            }
        })+
    };
}
texts!(String, Arc<str>);

impl Field for Vec<u8> {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self, out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        from.bytes().map(<[u8]>::to_vec)
    }

    #[cfg(test)]
    fn any(source: &mut Source) -> Vec<u8> {
        source.text().into()
    }
}

impl<const N: usize> Field for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn take(from: &mut Reader<'_>) -> Result<[u8; N], Malformed> {
        from.array()
    }

    #[cfg(test)]
    fn any(source: &mut Source) -> [u8; N] {
        [(); N].map(|()| source.number() as u8)
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(self.len() as u64, out);
        self.iter().for_each(|element| element.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Vec<T>, Malformed> {
        let length = from.number()?;
        // No element takes less than a byte, so a length that is damaged is noticed before memory is taken for it.
        if length > from.rest.len() as u64 {
            return Err(Malformed("cut short"));
        }
        (0..length).map(|_| T::take(from)).collect()
    }

    #[cfg(test)]
    fn any(source: &mut Source) -> Vec<T> {
        (0..source.below(4)).map(|_| T::any(source)).collect()
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(field) = self {
            field.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Option<T>, Malformed> {
        if bool::take(from)? { T::take(from).map(Some) } else { Ok(None) }
    }

    #[cfg(test)]
    fn any(source: &mut Source) -> Option<T> {
        bool::any(source).then(|| T::any(source))
    }
}

/// Lists the fields of a struct in the order in which they are persisted:
/// `fields!(Gap { last, reason, wanted since 2 });`. A field that was added later names the version of its row since
/// which it is there; all others are there since version 1.
macro_rules! fields {
    ($type:ident { $($field:ident $(since $version:literal)?),+ $(,)? }) => {
        impl $crate::rows::value::Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let $type { $($field),+ } = self;
                $($crate::rows::value::Field::put($field, out);)+
            }

            fn take(from: &mut $crate::rows::value::Reader<'_>) -> Result<$type, $crate::rows::value::Malformed> {
                $(let $field = $crate::rows::value::fields!(@take from $($version)?);)+
                Ok($type { $($field),+ })
            }

            #[cfg(test)]
            fn any(source: &mut $crate::rows::value::testing::Source) -> $type {
                $(let $field = $crate::rows::value::Field::any(source);)+
                $type { $($field),+ }
            }
        }
    };
    (@take $from:ident) => {
        $crate::rows::value::Field::take($from)?
    };
    (@take $from:ident $version:literal) => {
        $from.since($version)?
    };
}
pub(crate) use fields;

/// Lists the variants of an enum with their persisted numbers, and their fields:
/// `variants!(Trigger { 0 = Scheduled, 1 = Manual });`. A number is never used again for another variant.
/// A field that was added later names its version, as with [`fields!`].
macro_rules! variants {
    ($type:ident { $($number:literal = $variant:ident $(($inner:ident))? $({ $($field:ident $(since $version:literal)?),+ })?),+ $(,)? }) => {
        impl $crate::rows::value::Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $($type::$variant $(($inner))? $({ $($field),+ })? => {
                        out.push($number);
                        $($crate::rows::value::Field::put($inner, out);)?
                        $($($crate::rows::value::Field::put($field, out);)+)?
                    })+
                }
            }

            fn take(from: &mut $crate::rows::value::Reader<'_>) -> Result<$type, $crate::rows::value::Malformed> {
                Ok(match from.byte()? {
                    $($number => {
                        $(let $inner = $crate::rows::value::Field::take(from)?;)?
                        $($(let $field = $crate::rows::value::fields!(@take from $($version)?);)+)?
                        $type::$variant $(($inner))? $({ $($field),+ })?
                    })+
                    _ => return Err($crate::rows::value::Malformed("an unknown variant")),
                })
            }

            #[cfg(test)]
            fn any(source: &mut $crate::rows::value::testing::Source) -> $type {
                let numbers = [$($number),+];
                match numbers[source.below(numbers.len())] {
                    $($number => {
                        $(let $inner = $crate::rows::value::Field::any(source);)?
                        $($(let $field = $crate::rows::value::Field::any(source);)+)?
                        $type::$variant $(($inner))? $({ $($field),+ })?
                    })+
                    _ => unreachable!("one of the numbers"),
                }
            }
        }
    };
}
pub(crate) use variants;
