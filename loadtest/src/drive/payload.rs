//! Request bodies, with the event's number at a fixed place of the payload.
//!
//! ```text
//! {"eventType":"load.test","payload":{"n":"000000000042","fill":"…"}}
//!                                    └ payload: the number is its bytes 6 to 18
//! ```
//! Text and no JSON library: a body is copied from a template and twelve digits are written into it. An ordering key
//! and the time of a scheduled event have fixed places before the payload.

use super::{Due, Streams};
use std::ops::Range;

/// Digits of a number.
const DIGITS: usize = 12;
/// Their place in the payload.
const NUMBER_AT: Range<usize> = 6..6 + DIGITS;
/// The text before the payload, and between.
const EVENT_TYPE: &str = r#"{"eventType":"load.test""#;
const BEFORE_KEY: &str = r#","orderingKey":""#;
const BEFORE_DUE: &str = r#","deliverAt":""#;
const BEFORE_PAYLOAD: &str = r#","payload":"#;
/// The text of a payload around its filling.
const PAYLOAD_START: &str = r#"{"n":"000000000000","fill":""#;
const PAYLOAD_END: &str = r#""}"#;

/// One event as text, to be copied and numbered.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    text: Vec<u8>,
    payload_at: usize,
    key_at: Option<usize>,
    /// The place of the time, and the times.
    due: Option<(usize, Due)>,
}

impl Template {
    /// With payloads of exactly `payload_len` bytes, at least 32.
    pub(crate) fn new(payload_len: usize, has_key: bool, due: Option<Due>) -> Template {
        let mut text = EVENT_TYPE.as_bytes().to_vec();
        let mut place = |before: &str, len: usize| {
            text.extend_from_slice(before.as_bytes());
            let at = text.len();
            text.resize(at + len, b'0');
            text.push(b'"');
            at
        };
        let key_at = has_key.then(|| place(BEFORE_KEY, DIGITS));
        let due = due.map(|due| (place(BEFORE_DUE, Due::TEXT_LEN), due));
        text.extend_from_slice(BEFORE_PAYLOAD.as_bytes());
        let payload_at = text.len();
        text.extend_from_slice(&payload(payload_len));
        text.push(b'}');
        Template { text, payload_at, key_at, due }
    }

    /// When an event is due, in µs of the run's clock; `None` for one that is not scheduled.
    pub(crate) fn due_us(&self, number: u64) -> Option<u64> {
        self.due.map(|(_, due)| due.at_us(number))
    }

    /// Bytes of a body with `count` events.
    pub(crate) fn body_len(&self, count: usize, is_batch: bool) -> usize {
        self.text.len() * count + if is_batch { count + 1 } else { 0 }
    }

    /// Appends one event, or a batch of them.
    pub(crate) fn write(&self, numbers: Range<u64>, is_batch: bool, streams: &Streams, to: &mut Vec<u8>) {
        if !is_batch {
            return self.write_one(numbers.start, streams, to);
        }
        let mut before = b'[';
        for number in numbers {
            to.push(before);
            self.write_one(number, streams, to);
            before = b',';
        }
        to.push(b']');
    }

    fn write_one(&self, number: u64, streams: &Streams, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(&self.text);
        let text = &mut to[start..];
        write_number(&mut text[self.payload_at..], number);
        if let Some(at) = self.key_at {
            write_digits(&mut text[at..at + DIGITS], streams.key(number).into());
        }
        if let Some((at, due)) = self.due {
            text[at..at + Due::TEXT_LEN].copy_from_slice(due.text(number).as_bytes());
        }
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
    write_digits(&mut payload[NUMBER_AT], number);
}

fn write_digits(place: &mut [u8], number: u64) {
    let mut rest = number;
    for digit in place.iter_mut().rev() {
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
    use crate::measure::Clock;
    use serde_json::Value;
    use std::time::Duration;

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
        let template = Template::new(100, false, None);
        let streams = Streams::one(1);
        for (numbers, is_batch) in [(7..8, false), (7..10, true)] {
            let (mut body, count) = (Vec::new(), numbers.clone().count());
            template.write(numbers, is_batch, &streams, &mut body);
            assert_eq!(body.len(), template.body_len(count, is_batch));
            let json: Value = serde_json::from_slice(&body).unwrap();
            let event = if is_batch { &json[0] } else { &json };
            assert_eq!(event["payload"]["n"], "000000000007");
            assert_eq!(event["payload"].to_string().len(), 100);
        }
    }

    #[test]
    fn a_key_and_a_time_are_fields_of_an_event() {
        let streams = Streams::one(1).with_keys(5);
        let due = Due::new(Clock::start(), Duration::from_secs(60), Duration::from_millis(5), 7);
        let template = Template::new(100, true, Some(due));
        let mut body = Vec::new();
        template.write(9..10, false, &streams, &mut body);
        assert_eq!(body.len(), template.body_len(1, false));
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event["orderingKey"], format!("{:012}", streams.key(9)));
        assert_eq!(event["deliverAt"], due.text(9));
        assert_eq!(event["payload"]["n"], "000000000009");
        assert_eq!(template.due_us(9), Some(due.at_us(9)));
    }
}
