//! The judgement on an answer to a challenge, and when the next attempt is due.
//!
//! The receiver proves that its owner wants the deliveries: it answers 2xx with a JSON object that has the challenge. A
//! stranger's server, which answers 200 to everything, does not.
//! Pure.

use model::{OutcomeClass, UnixMs, Verification};
use serde_json::Value;

/// Bytes of an answer that are looked at.
pub const ANSWER_LEN_MAX: usize = 4 * 1024;

/// Gaps between the attempts that Pinion makes by itself: receivers are often deployed a little after their endpoint.
const GAPS_MS: [u64; 3] = [60_000, 300_000, 1_800_000];

/// Milliseconds after which an attempt is tried again that was not made, for this process lacked something.
const LACK_PAUSE_MS: u64 = 10_000;

/// Bytes of a problem in words.
const PROBLEM_LEN_MAX: usize = 200;

/// The part of an attempt's result that counts here.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// False when this process lacked something, and there was no attempt.
    pub made: bool,
    /// Its class.
    pub outcome: OutcomeClass,
    /// The status; 0 when there was none.
    pub status: u16,
    /// The start of the answer's body, or the error in words.
    pub response: &'a [u8],
}

/// The state after an attempt with this result, of an endpoint that was not verified before it.
#[must_use]
pub fn after(before: &Verification, result: Shown<'_>, now: UnixMs) -> Verification {
    if !result.made {
        return Verification { next_at: Some(now.plus_ms(LACK_PAUSE_MS)), ..before.clone() };
    }
    let attempts = before.attempts.saturating_add(1);
    match problem(result, &before.challenge) {
        None => {
            Verification { attempts, next_at: None, verified_at: Some(now), problem: String::new(), ..before.clone() }
        }
        Some(problem) => {
            let gap = GAPS_MS.get(before.attempts as usize);
            Verification { attempts, next_at: gap.map(|gap| now.plus_ms(*gap)), problem, ..before.clone() }
        }
    }
}

/// The reason why a result proves nothing; none for a proof.
fn problem(result: Shown<'_>, challenge: &str) -> Option<String> {
    if result.status == 0 {
        let words = String::from_utf8_lossy(result.response);
        let words: String = words.chars().filter(|c| !c.is_control()).collect();
        return Some(cut(format!("{}: {words}", result.outcome.as_str())));
    }
    if result.outcome != OutcomeClass::Success {
        return Some(format!("the receiver answered {}", result.status));
    }
    let answer = &result.response[..result.response.len().min(ANSWER_LEN_MAX)];
    match serde_json::from_slice::<Value>(answer) {
        Err(_) => Some(format!("the answer is not JSON of at most {ANSWER_LEN_MAX} bytes")),
        Ok(answer) => match answer.get("challenge").and_then(Value::as_str) {
            None => Some("the answer has no challenge".to_owned()),
            Some(text) if !is_same(text.as_bytes(), challenge.as_bytes()) => {
                Some("the answer has another challenge".to_owned())
            }
            Some(_) => None,
        },
    }
}

fn cut(mut text: String) -> String {
    let end = text.floor_char_boundary(PROBLEM_LEN_MAX);
    text.truncate(end);
    text
}

/// Compares all bytes, wherever the first difference is: the time tells nothing of the challenge.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differ) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::classify::outcome_of_status;

    const NOW: UnixMs = UnixMs(1_000);

    fn fresh() -> Verification {
        Verification::new("ab".repeat(32), NOW)
    }

    fn answer(status: u16, body: &str) -> Shown<'_> {
        Shown { made: true, outcome: outcome_of_status(status), status, response: body.as_bytes() }
    }

    #[test]
    fn only_a_2xx_whose_json_carries_the_challenge_back_proves_anything() {
        let right = format!(r#"{{"other":1,"challenge":"{}"}}"#, fresh().challenge);
        for status in [200, 204, 299] {
            let verified = after(&fresh(), answer(status, &right), NOW);
            assert_eq!((verified.verified_at, verified.next_at, verified.attempts), (Some(NOW), None, 1));
        }
        let short = format!(r#"{{"challenge":"{}"}}"#, &fresh().challenge[1..]);
        let upper = right.to_uppercase().replace("CHALLENGE", "challenge");
        let long = format!("{}{right}", " ".repeat(ANSWER_LEN_MAX));
        for (status, body, words) in [
            (200, "", "not JSON"),
            (200, "ok", "not JSON"),
            (200, "[]", "no challenge"),
            (200, r#"{"challenge":1}"#, "no challenge"),
            (200, r#"{"challenge":""}"#, "another challenge"),
            (200, &short, "another challenge"),
            (200, &upper, "another challenge"),
            (200, &long, "not JSON"),
            (404, &right, "answered 404"),
            (302, &right, "answered 302"),
        ] {
            let after = after(&fresh(), answer(status, body), NOW);
            assert_eq!((after.verified_at, after.attempts), (None, 1), "{status} {body}");
            assert!(after.problem.contains(words), "{status} {body}: {}", after.problem);
        }
        let words = format!("not\nallowed {}", "é".repeat(200));
        let refused = Shown { outcome: OutcomeClass::Refused, status: 0, ..answer(0, &words) };
        let problem = after(&fresh(), refused, NOW).problem;
        assert!(problem.contains("notallowed") && problem.len() <= PROBLEM_LEN_MAX, "{problem}");
    }

    #[test]
    fn attempts_are_made_at_1_5_and_30_minutes_and_then_only_by_hand() {
        let (mut state, mut now) = (fresh(), NOW);
        for minutes in [1, 5, 30] {
            state = after(&state, answer(500, ""), now);
            assert_eq!(state.next_at, Some(now.plus_ms(minutes * 60_000)));
            now = now.plus_ms(minutes * 60_000);
        }
        state = after(&state, answer(500, ""), now);
        assert_eq!((state.next_at, state.attempts), (None, 4));
        assert_eq!(after(&state, answer(500, ""), now).next_at, None, "by hand");
    }

    #[test]
    fn an_attempt_that_this_process_could_not_make_counts_as_none() {
        let after = after(&fresh(), Shown { made: false, ..answer(0, "") }, NOW);
        assert_eq!((after.attempts, after.next_at), (0, Some(NOW.plus_ms(LACK_PAUSE_MS))));
    }
}
