//! Where a list of attempts goes on, in a form that an API can hand out.

use model::{Seq, UnixMs};

/// A cut through an endpoint's history, between attempts: what lies below it and what lies above it are two lists, and
/// together they hold each attempt once. So one position serves both ways: the older attempts follow it newest first,
/// the newer ones follow it oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPosition {
    /// First attempts at positions below this one lie below the cut.
    pub first_below: Seq,
    /// Further attempts that started before this, or then and at a position below this one, lie below the cut.
    pub later_before: (UnixMs, Seq),
}

/// Hexadecimal digits of a number in the text form.
const DIGITS: usize = 16;

impl HistoryPosition {
    /// Below every attempt.
    pub const OLDEST: HistoryPosition = HistoryPosition { first_below: Seq(0), later_before: (UnixMs(0), Seq(0)) };

    /// Above every attempt.
    pub const NEWEST: HistoryPosition =
        HistoryPosition { first_below: Seq(u64::MAX), later_before: (UnixMs(u64::MAX), Seq(u64::MAX)) };

    /// The text form: 48 hexadecimal digits, lower case. No secret: a forged one shows nothing but another page.
    #[must_use]
    pub fn to_text(self) -> String {
        let (time, seq) = self.later_before;
        format!("{:016x}{:016x}{:016x}", self.first_below.0, time.0, seq.0)
    }

    /// Reads the text form back. `None` for anything that [`HistoryPosition::to_text`] would not have written.
    #[must_use]
    pub fn from_text(text: &str) -> Option<HistoryPosition> {
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 3 * DIGITS || !text.bytes().all(lower_hex) {
            return None;
        }
        let number = |index: usize| u64::from_str_radix(&text[index * DIGITS..(index + 1) * DIGITS], 16).ok();
        Some(HistoryPosition { first_below: Seq(number(0)?), later_before: (UnixMs(number(1)?), Seq(number(2)?)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_texts_are_refused() {
        let text = HistoryPosition::NEWEST.to_text();
        assert!(HistoryPosition::from_text(&text[1..]).is_none());
        assert!(HistoryPosition::from_text(&text.to_uppercase()).is_none());
        assert!(HistoryPosition::from_text(&text.replacen('f', "+", 1)).is_none());
        assert!(HistoryPosition::from_text(&"é".repeat(24)).is_none());
    }

    proptest! {
        #[test]
        fn the_text_form_reads_back(first: u64, time: u64, seq: u64) {
            let position = HistoryPosition { first_below: Seq(first), later_before: (UnixMs(time), Seq(seq)) };
            prop_assert_eq!(HistoryPosition::from_text(&position.to_text()), Some(position));
        }
    }
}
