//! Request bodies, with the event's number at a fixed place of the payload.
//!
//! ```text
//! {"eventType":"load.test","payload":{"n":"000000000042","fill":"…"}}
//!                                    └ payload: the number is its bytes 6 to 18
//! ```
//! Text and no JSON library: a body is copied from a template and twelve digits are written into it.

use std::ops::Range;

/// Digits of a number.
const DIGITS: usize = 12;
/// Their place in the payload.
const NUMBER_AT: Range<usize> = 6..6 + DIGITS;
/// The text before the payload.
const BEFORE: &str = r#"{"eventType":"load.test","payload":"#;
/// The text of a payload around its filling.
const PAYLOAD_START: &str = r#"{"n":"000000000000","fill":""#;
const PAYLOAD_END: &str = r#""}"#;

/// One event as text, to be copied and numbered.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    text: Vec<u8>,
}

impl Template {
    /// With payloads of exactly `payload_len` bytes, at least 32.
    pub(crate) fn new(payload_len: usize) -> Template {
        let text = [BEFORE.as_bytes(), &payload(payload_len), b"}"].concat();
        Template { text }
    }

    /// Bytes of a body with `count` events.
    pub(crate) fn body_len(&self, count: usize, is_batch: bool) -> usize {
        self.text.len() * count + if is_batch { count + 1 } else { 0 }
    }

    /// Appends one event, or a batch of them.
    pub(crate) fn write(&self, numbers: Range<u64>, is_batch: bool, to: &mut Vec<u8>) {
        if !is_batch {
            return self.write_one(numbers.start, to);
        }
        let mut before = b'[';
        for number in numbers {
            to.push(before);
            self.write_one(number, to);
            before = b',';
        }
        to.push(b']');
    }

    fn write_one(&self, number: u64, to: &mut Vec<u8>) {
        let start = to.len() + BEFORE.len();
        to.extend_from_slice(&self.text);
        write_number(&mut to[start..], number);
    }
}

/// A payload of exactly `len` bytes with the number 0.
pub(crate) fn payload(len: usize) -> Vec<u8> {
    let mut payload = PAYLOAD_START.as_bytes().to_vec();
    let filling = len.saturating_sub(PAYLOAD_START.len() + PAYLOAD_END.len());
    payload.extend((0..filling).map(|index| b'a' + (index * 7 % 26) as u8));
    payload.extend_from_slice(PAYLOAD_END.as_bytes());
    payload
}

/// Writes a number into a payload.
pub(crate) fn write_number(payload: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in payload[NUMBER_AT].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Reads the number of a payload that arrived.
pub(crate) fn read_number(payload: &[u8]) -> Option<u64> {
    let digits = payload.get(NUMBER_AT)?;
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_number_survives_the_way() {
        let mut bytes = payload(1_024);
        assert_eq!(bytes.len(), 1_024);
        for number in [0, 1, 42, 999_999_999_999] {
            write_number(&mut bytes, number);
            assert_eq!(read_number(&bytes), Some(number));
        }
        assert_eq!(read_number(b"{}"), None);
        assert_eq!(read_number(&[b'x'; 40]), None);
    }

    #[test]
    fn bodies_are_json_of_the_announced_length() {
        let template = Template::new(100);
        for (numbers, is_batch) in [(7..8, false), (7..10, true)] {
            let (mut body, count) = (Vec::new(), numbers.clone().count());
            template.write(numbers, is_batch, &mut body);
            assert_eq!(body.len(), template.body_len(count, is_batch));
            let json: Value = serde_json::from_slice(&body).unwrap();
            let event = if is_batch { &json[0] } else { &json };
            assert_eq!(event["payload"]["n"], "000000000007");
            assert_eq!(event["payload"].to_string().len(), 100);
        }
    }
}
