//! Fields that were added behind all others of a stored row.

use bincode::Decode;
use bincode::de::{Decoder, read::Reader};
use bincode::error::DecodeError;

/// Reads a field that was added behind all others: a row written before ends where it would begin, and has its default.
/// Holds for a value that is decoded from a slice of its own, as rows are.
pub(crate) fn appended<Context, D, T>(decoder: &mut D) -> Result<T, DecodeError>
where
    D: Decoder<Context = Context>,
    T: Decode<Context> + Default,
{
    if decoder.reader().peek_read(1).is_none() { Ok(T::default()) } else { T::decode(decoder) }
}
