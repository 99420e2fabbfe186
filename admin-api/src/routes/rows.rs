//! Numbers in text ids, as keys of pages.

use model::id::{IdKind, IdParts};

/// The number in a text id, as a key of pages: whether the thing still exists does not matter.
pub(crate) fn number_of(kind: IdKind, text: &str) -> Option<u32> {
    IdParts::from_text(kind, text).map(|parts| parts.number)
}
