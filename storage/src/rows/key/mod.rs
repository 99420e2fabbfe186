//! The making of keys: kinds, parts, ranges, and the macro that gives a row's file the functions of its key.

mod describe;
mod kind;
mod part;
mod range;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use describe::{app_of, describe, kind_of};
pub use kind::{KeyKind, Owner};
pub use part::{DIGEST_BYTES, KeyPart, KeyReader, KeyWriter, digest};
pub use range::KeyRange;

use crate::store::StoreError;
use model::{AppId, EndpointRef};

/// Every row of a kind that belongs to an application, whose keys begin with its number.
#[must_use]
pub fn of_app(kind: KeyKind, app: AppId) -> KeyRange {
    KeyWriter::new(kind).part(app).prefix()
}

/// The rows of a kind that lie behind those of the endpoint `after`: scanned for one row, it tells the next endpoint
/// that has any.
#[must_use]
pub fn beyond_endpoint(kind: KeyKind, after: Option<EndpointRef>) -> KeyRange {
    let mut range = KeyWriter::new(kind).prefix();
    if let Some(after) = after {
        range.start = KeyWriter::new(kind).part(after).prefix().end;
    }
    range
}

/// The endpoint that a key belongs to, of a kind whose keys begin with application and endpoint.
///
/// # Errors
/// [`StoreError::CorruptRow`] for a key of another kind or cut short.
pub fn endpoint_of(kind: KeyKind, key: &[u8]) -> Result<EndpointRef, StoreError> {
    KeyReader::new(kind, key)?.part::<EndpointRef>()
}

/// Gives a row's file its key: `key!(Pending: (target: EndpointRef, seq: Seq));`.
///
/// - `encode(target, seq)` makes the key, `decode` reads it back.
/// - `all()` is the range of every row; where the key begins with `app: AppId`, `of_app(app)` is that of an
///   application, and where it begins with `target: EndpointRef`, `of_endpoint(target)` that of an endpoint.
/// - Tests: a key reads back, lies in the order of its tuple, and is taken in its own length and kind only.
macro_rules! key {
    ($kind:ident: ($($part:ident: $type:ty),+)) => {
        /// The key of a row.
        #[must_use]
        pub fn encode($($part: $type),+) -> Vec<u8> {
            $crate::rows::key::KeyWriter::new($crate::rows::KeyKind::$kind)$(.part($part))+.finish()
        }

        /// Reads a key back.
        ///
        /// # Errors
        /// [`CorruptRow`](crate::StoreError::CorruptRow) for anything that [`encode`] would not have written.
        pub fn decode(key: &[u8]) -> Result<$crate::rows::key::key!(@read $($type),+), $crate::StoreError> {
            let mut reader = $crate::rows::key::KeyReader::new($crate::rows::KeyKind::$kind, key)?;
            let parts = ($(reader.part::<$type>()?),+);
            reader.finish()?;
            Ok(parts)
        }

        /// Every row of the kind.
        #[must_use]
        pub fn all() -> $crate::rows::KeyRange {
            $crate::rows::key::KeyWriter::new($crate::rows::KeyKind::$kind).prefix()
        }

        $crate::rows::key::key!(@ranges $kind $($part)+);

        #[cfg(test)]
        #[allow(unused_parens, reason = "a key of one part is no tuple")]
        mod key_tests {
            use super::*;
            use $crate::rows::key::testing::{Lend, check, samples_of};

            proptest::proptest! {
                #[test]
                fn reads_back_and_lies_in_logical_order(a in samples_of(decode), b in samples_of(decode)) {
                    let ends_in_text = [$(<$type as $crate::rows::key::KeyPart>::IS_TEXT),+].contains(&true);
                    let kind = $crate::rows::KeyKind::$kind;
                    check(kind, ends_in_text, (a, b), |($($part),+)| encode($(Lend::lend($part)),+), decode)?;
                }
            }
        }
    };
    (@read $part:ty) => {
        <$part as $crate::rows::key::KeyPart>::Read
    };
    (@read $($part:ty),+) => {
        ($(<$part as $crate::rows::key::KeyPart>::Read),+)
    };
    (@ranges $kind:ident app $($part:ident)*) => {
        /// The rows of one application.
        #[must_use]
        pub fn of_app(app: model::AppId) -> $crate::rows::KeyRange {
            $crate::rows::key::KeyWriter::new($crate::rows::KeyKind::$kind).part(app).prefix()
        }
    };
    (@ranges $kind:ident target $($part:ident)*) => {
        $crate::rows::key::key!(@ranges $kind app);

        /// The rows of one endpoint.
        #[must_use]
        pub fn of_endpoint(target: model::EndpointRef) -> $crate::rows::KeyRange {
            $crate::rows::key::KeyWriter::new($crate::rows::KeyKind::$kind).part(target).prefix()
        }
    };
    (@ranges $kind:ident $($part:ident)+) => {};
}
pub(crate) use key;
