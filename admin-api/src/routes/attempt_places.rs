//! The text of the places that pages of attempts begin at.
//!
//! None is a secret: a forged one shows nothing but another page.

use control::query::attempt::{Cut, EndpointPlace, MessagePlace};
use model::id::{IdKind, IdParts};
use model::{EndpointId, Seq, UnixMs};

/// Hexadecimal digits of a number.
const DIGITS: usize = 16;

/// A cut through a history: 48 hexadecimal digits, lower case.
pub(super) fn text_of_cut(cut: &Cut) -> String {
    let (time, seq) = cut.later_before;
    format!("{:016x}{:016x}{:016x}", cut.first_below.0, time.0, seq.0)
}

/// Reads a text of [`text_of_cut`], or the id of an attempt at this endpoint.
pub(super) fn endpoint_place(endpoint: EndpointId) -> impl Fn(&str) -> Option<EndpointPlace> {
    move |text| {
        let attempt = || IdParts::from_text(IdKind::Attempt, text).filter(|parts| parts.number == endpoint.0);
        cut_of(text).map(EndpointPlace::Cut).or_else(|| attempt().map(EndpointPlace::Beside))
    }
}

fn cut_of(text: &str) -> Option<Cut> {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 3 * DIGITS || !text.bytes().all(lower_hex) {
        return None;
    }
    let number = |index: usize| u64::from_str_radix(&text[index * DIGITS..(index + 1) * DIGITS], 16).ok();
    Some(Cut { first_below: Seq(number(0)?), later_before: (UnixMs(number(1)?), Seq(number(2)?)) })
}

/// The id of an attempt; where it is not the only range: `from.upto.attempt`, where an unknown part is empty.
pub(super) fn text_of_message_place(place: &MessagePlace) -> String {
    let after = place.after.map(|after| after.to_text(IdKind::Attempt)).unwrap_or_default();
    match (place.from, place.upto) {
        (0, None) => after,
        (from, upto) => format!("{from}.{}.{after}", upto.map(|upto| upto.to_string()).unwrap_or_default()),
    }
}

/// Reads a text of [`text_of_message_place`].
pub(super) fn message_place(text: &str) -> Option<MessagePlace> {
    let attempt = |text: &str| IdParts::from_text(IdKind::Attempt, text);
    let number = |text: &str| text.parse::<u32>().ok();
    let Some((from, rest)) = text.split_once('.') else {
        return attempt(text).map(|after| MessagePlace { after: Some(after), ..MessagePlace::default() });
    };
    let (upto, after) = rest.split_once('.')?;
    Some(MessagePlace {
        from: number(from)?,
        upto: if upto.is_empty() { None } else { Some(number(upto)?) },
        after: if after.is_empty() { None } else { Some(attempt(after)?) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AFTER: IdParts = IdParts { at: UnixMs(5), number: 7, low: 9 };

    #[test]
    fn places_read_back_and_the_only_range_is_not_named() {
        let after = Some(AFTER);
        for (from, upto, after) in [(0, None, after), (0, Some(4), after), (4, None, None), (4, Some(8), after)] {
            let place = MessagePlace { from, upto, after };
            assert_eq!(message_place(&text_of_message_place(&place)), Some(place));
        }
        let only = MessagePlace { after, ..MessagePlace::default() };
        assert_eq!(text_of_message_place(&only), AFTER.to_text(IdKind::Attempt));
        for wrong in ["", "1", "1.2", "x..", "1.x.", "1.2.x", ".."] {
            assert_eq!(message_place(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_attempt_is_a_place_at_its_own_endpoint_and_a_cut_has_one_text() {
        let id = AFTER.to_text(IdKind::Attempt);
        assert_eq!(endpoint_place(EndpointId(7))(&id), Some(EndpointPlace::Beside(AFTER)));
        assert_eq!(endpoint_place(EndpointId(8))(&id), None);
        let text = text_of_cut(&Cut::NEWEST);
        let one_less = &text[1..];
        for wrong in [one_less, &text.to_uppercase(), &text.replacen('f', "+", 1), &"é".repeat(24)] {
            assert_eq!(cut_of(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_cut_reads_back(first: u64, time: u64, seq: u64) {
            let cut = Cut { first_below: Seq(first), later_before: (UnixMs(time), Seq(seq)) };
            prop_assert_eq!(cut_of(&text_of_cut(&cut)), Some(cut));
        }
    }
}
