//! The id of a request, in `X-Request-Id`: taken from the client, or else made, and answered with every answer.
//!
//! Log lines of a request carry it. Answers that hyper gives by itself to bytes that are no HTTP have none: there is no
//! request then. An id that is made is not put among the request's headers: to make room there costs each request more
//! than the id.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::atomic::{AtomicU32, Ordering};

/// The header, both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken, in bytes.
const BYTES_MAX: usize = 128;

/// `req_`, then 8 digits of the process, 8 of the connection, 8 of the request.
const MADE_BYTES: usize = 4 + 3 * 8;

/// Makes the ids of one connection's requests: a count of its own, as one that all requests share is slower.
#[derive(Debug)]
pub(super) struct RequestIds {
    /// A number of the process, drawn at its start.
    process: u32,
    /// A number of the connection.
    connection: u32,
    requests: AtomicU32,
}

// === impl RequestIds ===

impl RequestIds {
    /// For a connection of this number, in a process of this one.
    pub(super) fn new(process: u32, connection: u32) -> RequestIds {
        RequestIds { process, connection, requests: AtomicU32::new(0) }
    }

    /// The id of the next request: its client's, if that is usable, or else one that is made. A usable id is 1 to 128
    /// visible ASCII characters, given once.
    pub(super) fn take_or_make(&self, headers: &HeaderMap) -> HeaderValue {
        let mut given = headers.get_all(&X_REQUEST_ID).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if is_usable(id.as_bytes()) => id.clone(),
            _ => self.make(),
        }
    }

    fn make(&self) -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut text = *b"req_000000000000000000000000";
        let numbers = [self.process, self.connection, request];
        for (digits, number) in text[MADE_BYTES - 3 * 8..].chunks_exact_mut(8).zip(numbers) {
            for (nth, digit) in digits.iter_mut().rev().enumerate() {
                *digit = DIGITS[(number >> (4 * nth) & 0xf) as usize];
            }
        }
        // All of it is visible ASCII, which a value may hold.
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("req_"))
    }
}

fn is_usable(id: &[u8]) -> bool {
    (1..=BYTES_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(given: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for id in given {
            headers.append(X_REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        }
        RequestIds::new(0x1234_abcd, 7).take_or_make(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_usable_id_is_taken_and_any_other_is_replaced() {
        for id in ["a", "req-1/2:3", &"x".repeat(128)] {
            assert_eq!(taken(&[id]), id);
        }
        for given in [&[][..], &[""], &["a b"], &["ä"], &["a", "b"], &[&*"x".repeat(129)]] {
            assert_eq!(taken(given), "req_1234abcd0000000700000000", "{given:?}");
        }
    }

    #[test]
    fn no_two_requests_of_a_process_have_the_same() {
        let (one, other) = (RequestIds::new(1, 2), RequestIds::new(1, 3));
        let made: std::collections::HashSet<_> = [one.make(), one.make(), other.make(), other.make()].into();
        assert_eq!(made.len(), 4);
    }
}
