//! The bytes that the map holds for a row. Pure.
//!
//! ```text
//! 0, value      the value
//! 1, pointer    the value is in a value file: number of the file u32 | where its entry begins u32 | its bytes u32
//! 2, anything   a row of the map's own
//! ```
//!
//! So every row says by itself what it is, whatever happened to the pages around it.

use crate::disk::values::Pointer;

const INLINE: u8 = 0;
const SEPARATED: u8 = 1;
const OWN: u8 = 2;

/// The meaning of the bytes that the map holds for a row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held<'a> {
    /// The value.
    Inline(&'a [u8]),
    /// The place of the value.
    Separated(Pointer),
    /// A row of the map's own.
    Own(&'a [u8]),
}

impl<'a> Held<'a> {
    /// The bytes of it, put into `buffer` in place of its content.
    pub(crate) fn encode<'b>(&self, buffer: &'b mut Vec<u8>) -> &'b [u8] {
        buffer.clear();
        match self {
            Self::Inline(value) => {
                buffer.push(INLINE);
                buffer.extend_from_slice(value);
            }
            Self::Separated(pointer) => {
                buffer.push(SEPARATED);
                buffer.extend_from_slice(&pointer.encode());
            }
            Self::Own(value) => {
                buffer.push(OWN);
                buffer.extend_from_slice(value);
            }
        }
        buffer
    }

    /// `None` when it is none of these.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        match *tag {
            INLINE => Some(Self::Inline(rest)),
            SEPARATED => Pointer::decode(rest).map(Self::Separated),
            OWN => Some(Self::Own(rest)),
            _ => None,
        }
    }

    /// The number of a commit that the map noted; `None` when the bytes are no such note.
    pub(crate) fn commit(bytes: &[u8]) -> Option<u64> {
        match Held::decode(bytes)? {
            Held::Own(commit) => commit.try_into().ok().map(u64::from_be_bytes),
            Held::Inline(_) | Held::Separated(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_the_map_holds_is_read_back(
            file in any::<u32>(),
            offset in any::<u32>(),
            value_bytes in any::<u32>(),
            value in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let pointer = Pointer { file, offset, value_bytes };
            for held in [Held::Inline(&value), Held::Separated(pointer), Held::Own(&value)] {
                let mut bytes = vec![7];
                held.encode(&mut bytes);
                prop_assert_eq!(Held::decode(&bytes), Some(held));
            }
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let pointer = Pointer { file: 0x0102, offset: 0x0304, value_bytes: 0x0506 };
        assert_eq!(Held::Separated(pointer).encode(&mut Vec::new()), [1, 2, 1, 0, 0, 4, 3, 0, 0, 6, 5, 0, 0]);
        assert_eq!(Held::commit(Held::Own(&7u64.to_be_bytes()).encode(&mut Vec::new())), Some(7));
        for bad in [&[][..], &[1, 2], &[3]] {
            assert_eq!(Held::decode(bad), None);
        }
    }
}
