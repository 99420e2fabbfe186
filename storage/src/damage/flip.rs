//! Which single bit of a checksummed message is another one than was written. Pure.
//!
//! A CRC is linear: what a wrong message's sum differs by from the stored one depends on which bits are wrong, not on
//! the rest. Both polynomials used here tell every single flipped bit of a message below 256 MiB from every other one,
//! and up to the lengths that are usual here (11 KB for CRC32, 256 MiB for CRC32C) also from any two flipped bits:
//! their Hamming distance is 4 there (Koopman, "32-Bit Cyclic Redundancy Codes for Internet Applications", 2002).
//! Damage of more bits looks like one flipped bit with a chance of one in 2^32 for each bit of the message; so a caller
//! that corrects a bit must check the outcome by all else it knows of it, and say that it did.
//!
//! No decision whether to correct, and none for damage of more than a bit.

/// CRC32 as sled uses it, reflected.
pub(crate) const CRC32: u32 = 0xEDB8_8320;

/// CRC32C as our own formats use it, reflected.
pub(crate) const CRC32C: u32 = 0x82F6_3B78;

/// One wrong bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flip {
    /// It is in the message: at this byte, the bit of this mask.
    Message(usize, u8),
    /// It is in the stored sum: the message is right.
    Sum,
}

/// The one bit that explains why a message of `message_bytes` has a sum that differs from the stored one by
/// `difference` (their exclusive or, not 0). `None` when no single bit does. Takes time in proportion to the bits.
pub(crate) fn find(polynomial: u32, difference: u32, message_bytes: usize) -> Option<Flip> {
    if difference.is_power_of_two() {
        return Some(Flip::Sum);
    }
    // From the last bit that went into the sum, the highest of the last byte, back to the first.
    let mut effect = polynomial;
    for byte in (0..message_bytes).rev() {
        for bit in (0..8).rev() {
            if effect == difference {
                return Some(Flip::Message(byte, 1 << bit));
            }
            effect = (effect >> 1) ^ if effect & 1 == 1 { polynomial } else { 0 };
        }
    }
    None
}

/// The one bit within the first `bytes` of `message` that makes `is_good` say so: for short messages, and for those
/// parts of longer ones that say how long they are. `message` is as it was when it returns.
pub(crate) fn search(message: &mut [u8], bytes: usize, mut is_good: impl FnMut(&[u8]) -> bool) -> Option<(usize, u8)> {
    for byte in 0..bytes.min(message.len()) {
        for bit in 0..8 {
            message[byte] ^= 1 << bit;
            let good = is_good(message);
            message[byte] ^= 1 << bit;
            if good {
                return Some((byte, 1 << bit));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_single_flipped_bit_is_found(
            message in proptest::collection::vec(any::<u8>(), 1..600), at: prop::sample::Index, bit in 0u8..8,
        ) {
            let byte = at.index(message.len());
            let mut wrong = message.clone();
            wrong[byte] ^= 1 << bit;
            let differ = crc32c::crc32c(&message) ^ crc32c::crc32c(&wrong);
            prop_assert_eq!(find(CRC32C, differ, message.len()), Some(Flip::Message(byte, 1 << bit)));
            let differ = crc32fast::hash(&message) ^ crc32fast::hash(&wrong);
            prop_assert_eq!(find(CRC32, differ, message.len()), Some(Flip::Message(byte, 1 << bit)));
            let sum = crc32c::crc32c(&message);
            prop_assert_eq!(
                search(&mut wrong, message.len(), |guess| crc32c::crc32c(guess) == sum),
                Some((byte, 1 << bit))
            );
        }

        #[test]
        fn two_flipped_bits_are_not_taken_for_one(
            message in proptest::collection::vec(any::<u8>(), 2..600),
            one: prop::sample::Index, other: prop::sample::Index, bit in 0u8..8,
        ) {
            prop_assume!(one.index(message.len()) != other.index(message.len()));
            let mut wrong = message.clone();
            wrong[one.index(message.len())] ^= 1 << bit;
            wrong[other.index(message.len())] ^= 1;
            let differ = crc32c::crc32c(&message) ^ crc32c::crc32c(&wrong);
            prop_assert_eq!(find(CRC32C, differ, message.len()), None);
            let differ = crc32fast::hash(&message) ^ crc32fast::hash(&wrong);
            prop_assert_eq!(find(CRC32, differ, message.len()), None);
        }
    }

    #[test]
    fn a_bit_of_the_sum_leaves_the_message_alone() {
        for bit in 0..32 {
            assert_eq!(find(CRC32C, 1 << bit, 100), Some(Flip::Sum));
        }
    }
}
