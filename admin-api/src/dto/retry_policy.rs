//! An endpoint's own retry policy in JSON, e.g. `{"type":"exponential","initialMs":1000,"maxAttempts":10}`.
//!
//! One flat object with optional fields and not one shape for each type, so that an error can name the field. The
//! engine computes the delays.

use control::Error;
use control::checks::Checks;
use control::limits::{ATTEMPTS_MAX, RETRY_DELAY_MS, RETRY_GAPS_MAX};
use model::{ClientErrorPolicy, Jitter, Multiplier, RetryPolicy, Spacing};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use utoipa::ToSchema;

/// No computed gap is longer, when the policy does not say: a day.
const MAX_DELAY_MS_DEFAULT: u64 = 86_400_000;

/// The factors of an exponential policy.
const MULTIPLIER: RangeInclusive<f64> = 1.0..=10.0;

/// When, how often and how evenly failures are tried again.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RetryPolicyBody {
    /// The kind of gaps.
    #[serde(rename = "type")]
    kind: SpacingKind,
    /// For `schedule`: the gap before each retry; the last one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    delays_ms: Option<Vec<u64>>,
    /// For `exponential`: the first gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    initial_ms: Option<u64>,
    /// For `exponential`: by how much each gap is longer than the one before, with two decimals at most. Default: 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10)]
    multiplier: Option<f64>,
    /// For `linear`: the growth of each gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_ms: Option<u64>,
    /// For `fixed`: every gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    /// Attempts in all, the first included. Left out of a `schedule`: one more than it has entries.
    #[schema(minimum = 1, maximum = 1000)]
    max_attempts: Option<u16>,
    /// No computed gap is longer; no gap that is given may be. Default: a day, or the longest gap that is given.
    max_delay_ms: Option<u64>,
    /// The spread of gaps. Default: `proportional`.
    jitter: Option<JitterKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SpacingKind {
    Schedule,
    Exponential,
    Linear,
    Fixed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum JitterKind {
    None,
    Proportional,
    Equal,
    Full,
    Additive,
}

/// The effect of a 4xx that has no meaning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnClientError {
    /// Retried like any failure.
    Retry,
    /// A dead letter at once.
    DeadLetter,
}

impl RetryPolicyBody {
    /// Notes the faults.
    pub(crate) fn check(&self, at: &[&str], checks: &mut Checks) {
        let path = |field| [at, &[field]].concat();
        let (field, given) = match self.kind {
            SpacingKind::Schedule => ("delaysMs", self.delays_ms.is_some()),
            SpacingKind::Exponential => ("initialMs", self.initial_ms.is_some()),
            SpacingKind::Linear => ("stepMs", self.step_ms.is_some()),
            SpacingKind::Fixed => ("delayMs", self.delay_ms.is_some()),
        };
        // Without a retry there is no gap.
        if !given && self.max_attempts != Some(1) {
            checks.wrong(&path(field), "field required", "value_error.missing");
        }
        if let Some(multiplier) = self.multiplier {
            self.check_multiplier(multiplier, &path("multiplier"), checks);
        }
        let single = [
            ("initialMs", self.initial_ms),
            ("stepMs", self.step_ms),
            ("delayMs", self.delay_ms),
            ("maxDelayMs", self.max_delay_ms),
        ];
        for (field, value) in single {
            value.iter().for_each(|value| self.check_delay(checks, &path(field), *value));
        }
        for (index, value) in self.delays_ms.iter().flatten().enumerate().take(RETRY_GAPS_MAX) {
            self.check_delay(checks, &[at, &["delaysMs", &index.to_string()]].concat(), *value);
        }
        let least = usize::from(self.max_attempts != Some(1));
        if self.delays_ms.as_ref().is_some_and(|delays| delays.len() < least || delays.len() > RETRY_GAPS_MAX) {
            let msg = format!("must have 1 to {RETRY_GAPS_MAX} entries");
            checks.wrong(&path("delaysMs"), msg, "value_error.list.length");
        }
        match self.max_attempts {
            Some(attempts) if attempts == 0 || attempts > ATTEMPTS_MAX => {
                let msg = format!("must be between 1 and {ATTEMPTS_MAX}");
                checks.wrong(&path("maxAttempts"), msg, "value_error.number.range");
            }
            None if self.kind != SpacingKind::Schedule => {
                checks.wrong(&path("maxAttempts"), "field required", "value_error.missing");
            }
            _ => {}
        }
    }

    /// The policy; only meaningful after [`RetryPolicyBody::check`] found nothing.
    pub(crate) fn to_model(&self) -> RetryPolicy {
        let delays_ms = self.delays_ms.clone().unwrap_or_default();
        let gap_ms = match self.kind {
            SpacingKind::Schedule => delays_ms.iter().copied().max(),
            SpacingKind::Exponential => self.initial_ms,
            SpacingKind::Linear => self.step_ms,
            SpacingKind::Fixed => self.delay_ms,
        };
        let longest_ms = gap_ms.unwrap_or_default();
        let from_schedule = u16::try_from(delays_ms.len() + 1).unwrap_or(ATTEMPTS_MAX);
        RetryPolicy {
            max_attempts: self.max_attempts.unwrap_or(from_schedule).clamp(1, ATTEMPTS_MAX),
            spacing: match self.kind {
                SpacingKind::Schedule => Spacing::Schedule { delays_ms },
                _ if gap_ms.is_none() => Spacing::Schedule { delays_ms: Vec::new() },
                SpacingKind::Exponential => Spacing::Exponential {
                    initial_ms: self.initial_ms.unwrap_or_default(),
                    multiplier: self.multiplier.map_or_else(Multiplier::default, rounded),
                },
                SpacingKind::Linear => Spacing::Linear { step_ms: self.step_ms.unwrap_or_default() },
                SpacingKind::Fixed => Spacing::Fixed { delay_ms: self.delay_ms.unwrap_or_default() },
            },
            max_delay_ms: self.max_delay_ms.unwrap_or(longest_ms.max(MAX_DELAY_MS_DEFAULT)),
            jitter: match self.jitter.unwrap_or(JitterKind::Proportional) {
                JitterKind::None => Jitter::None,
                JitterKind::Proportional => Jitter::Proportional,
                JitterKind::Equal => Jitter::Equal,
                JitterKind::Full => Jitter::Full,
                JitterKind::Additive => Jitter::Additive,
            },
        }
    }

    fn check_multiplier(&self, multiplier: f64, path: &[&str], checks: &mut Checks) {
        if self.kind != SpacingKind::Exponential {
            checks.wrong(path, "is for exponential only", "value_error.conflict");
        } else if !MULTIPLIER.contains(&multiplier) {
            checks.wrong(path, "must be between 1 and 10", "value_error.number.range");
        } else if multiplier != shown(rounded(multiplier)) {
            checks.wrong(path, "must have two decimals at most", "value_error.number.decimals");
        }
    }

    fn check_delay(&self, checks: &mut Checks, path: &[&str], delay_ms: u64) {
        if !RETRY_DELAY_MS.contains(&delay_ms) {
            let msg = format!("must be between {} and {}", RETRY_DELAY_MS.start(), RETRY_DELAY_MS.end());
            checks.wrong(path, msg, "value_error.number.range");
        } else if self.max_delay_ms.is_some_and(|cap_ms| delay_ms > cap_ms) {
            checks.wrong(path, "must not be above maxDelayMs", "value_error.number.range");
        }
    }
}

/// Reads a retry policy as the API takes it.
///
/// # Errors
/// Everything that is wrong, in words, each with its field.
pub fn retry_policy_of(json: &[u8]) -> Result<RetryPolicy, String> {
    let body: RetryPolicyBody = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let mut checks = Checks::default();
    body.check(&[], &mut checks);
    match checks.finish() {
        Ok(()) => Ok(body.to_model()),
        Err(Error::Invalid(wrong)) => {
            let words = wrong.iter().map(|wrong| format!("{} {}", wrong.at.join("."), wrong.msg));
            Err(words.collect::<Vec<_>>().join(", "))
        }
        Err(other) => Err(other.to_string()),
    }
}

/// The nearest factor in hundredths.
fn rounded(multiplier: f64) -> Multiplier {
    Multiplier { hundredths: (multiplier * 100.0).round() as u16 }
}

fn shown(multiplier: Multiplier) -> f64 {
    f64::from(multiplier.hundredths) / 100.0
}

impl From<&RetryPolicy> for RetryPolicyBody {
    fn from(policy: &RetryPolicy) -> RetryPolicyBody {
        let mut body = RetryPolicyBody {
            kind: SpacingKind::Schedule,
            delays_ms: None,
            initial_ms: None,
            multiplier: None,
            step_ms: None,
            delay_ms: None,
            max_attempts: Some(policy.max_attempts),
            max_delay_ms: Some(policy.max_delay_ms),
            jitter: Some(match policy.jitter {
                Jitter::None => JitterKind::None,
                Jitter::Proportional => JitterKind::Proportional,
                Jitter::Equal => JitterKind::Equal,
                Jitter::Full => JitterKind::Full,
                Jitter::Additive => JitterKind::Additive,
            }),
        };
        match &policy.spacing {
            Spacing::Schedule { delays_ms } => body.delays_ms = Some(delays_ms.clone()),
            Spacing::Exponential { initial_ms, multiplier } => {
                (body.kind, body.initial_ms) = (SpacingKind::Exponential, Some(*initial_ms));
                body.multiplier = Some(shown(*multiplier));
            }
            Spacing::Linear { step_ms } => (body.kind, body.step_ms) = (SpacingKind::Linear, Some(*step_ms)),
            Spacing::Fixed { delay_ms } => (body.kind, body.delay_ms) = (SpacingKind::Fixed, Some(*delay_ms)),
        }
        body
    }
}

impl From<OnClientError> for ClientErrorPolicy {
    fn from(body: OnClientError) -> ClientErrorPolicy {
        match body {
            OnClientError::Retry => ClientErrorPolicy::Retry,
            OnClientError::DeadLetter => ClientErrorPolicy::DeadLetter,
        }
    }
}

impl From<ClientErrorPolicy> for OnClientError {
    fn from(policy: ClientErrorPolicy) -> OnClientError {
        match policy {
            ClientErrorPolicy::Retry => OnClientError::Retry,
            ClientErrorPolicy::DeadLetter => OnClientError::DeadLetter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(body: &str) -> Vec<String> {
        let mut checks = Checks::default();
        serde_json::from_str::<RetryPolicyBody>(body).unwrap().check(&["retryPolicy"], &mut checks);
        match checks.finish() {
            Err(Error::Invalid(wrong)) => wrong.iter().map(|wrong| wrong.at.join(".")).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn every_policy_comes_back_as_it_went_in() {
        let spacings = [
            RetryPolicy::standard().spacing,
            Spacing::Exponential { initial_ms: 7, multiplier: Multiplier { hundredths: 129 } },
            Spacing::Linear { step_ms: 8 },
            Spacing::Fixed { delay_ms: 9 },
        ];
        for (spacing, jitter) in
            spacings.into_iter().zip([Jitter::None, Jitter::Equal, Jitter::Full, Jitter::Proportional])
        {
            let policy = RetryPolicy { spacing, jitter, max_attempts: 5, max_delay_ms: 86_400_000 };
            let text = serde_json::to_string(&RetryPolicyBody::from(&policy)).unwrap();
            assert!(wrong(&text).is_empty());
            assert_eq!(serde_json::from_str::<RetryPolicyBody>(&text).unwrap().to_model(), policy);
        }
    }

    #[test]
    fn a_schedule_counts_its_own_attempts() {
        let body: RetryPolicyBody = serde_json::from_str(r#"{"type":"schedule","delaysMs":[1,2]}"#).unwrap();
        assert_eq!(body.to_model().max_attempts, 3);
    }

    #[test]
    fn what_the_type_needs_must_be_there_and_within_bounds() {
        assert_eq!(wrong(r#"{"type":"fixed","initialMs":3}"#), ["retryPolicy.delayMs", "retryPolicy.maxAttempts"]);
        assert_eq!(wrong(r#"{"type":"schedule","delaysMs":[]}"#), ["retryPolicy.delaysMs"]);
        assert_eq!(wrong(r#"{"type":"schedule","delaysMs":[1,0]}"#), ["retryPolicy.delaysMs.1"]);
        for delay in ["0", "999999999"] {
            let body = format!(r#"{{"type":"fixed","delayMs":{delay},"maxAttempts":1}}"#);
            assert_eq!(wrong(&body), ["retryPolicy.delayMs"]);
        }
        assert_eq!(wrong(r#"{"type":"fixed","delayMs":1,"maxAttempts":1001}"#), ["retryPolicy.maxAttempts"]);
    }

    #[test]
    fn no_retries_can_be_said_with_any_type() {
        for kind in ["schedule", "exponential", "linear", "fixed"] {
            let body = format!(r#"{{"type":"{kind}","maxAttempts":1}}"#);
            assert!(wrong(&body).is_empty(), "{body}");
            let policy = serde_json::from_str::<RetryPolicyBody>(&body).unwrap().to_model();
            assert_eq!(engine::retry::schedule::validate(&policy), Ok(()));
            let shown = serde_json::to_string(&RetryPolicyBody::from(&policy)).unwrap();
            assert!(wrong(&shown).is_empty(), "{shown} can be put back");
        }
    }

    #[test]
    fn a_multiplier_has_bounds_and_two_decimals_and_no_gap_is_above_the_cap() {
        let exponential = |multiplier: &str| {
            wrong(&format!(r#"{{"type":"exponential","initialMs":1,"maxAttempts":2,"multiplier":{multiplier}}}"#))
        };
        for good in ["1", "1.5", "2.25", "3.33", "9.99", "10"] {
            assert!(exponential(good).is_empty(), "{good}");
        }
        for bad in ["0.99", "10.01", "-2", "1.234", "1e300"] {
            assert_eq!(exponential(bad), ["retryPolicy.multiplier"], "{bad}");
        }
        let fixed = r#"{"type":"fixed","delayMs":9,"maxAttempts":2,"multiplier":2}"#;
        assert_eq!(wrong(fixed), ["retryPolicy.multiplier"]);
        let above = r#"{"type":"schedule","delaysMs":[5,9],"maxDelayMs":8}"#;
        assert_eq!(wrong(above), ["retryPolicy.delaysMs.1"]);
        let long = r#"{"type":"fixed","delayMs":172800000,"maxAttempts":2}"#;
        let policy = serde_json::from_str::<RetryPolicyBody>(long).unwrap().to_model();
        assert_eq!(policy.max_delay_ms, 172_800_000, "honoured, though the default is a day");
    }

    #[test]
    fn what_passes_here_passes_the_engine() {
        for body in [
            r#"{"type":"fixed","delayMs":1,"maxAttempts":50,"maxDelayMs":1}"#,
            r#"{"type":"linear","stepMs":604800000,"maxAttempts":1}"#,
            r#"{"type":"exponential","initialMs":604800000,"maxAttempts":50,"maxDelayMs":604800000}"#,
            &format!(r#"{{"type":"schedule","delaysMs":{:?}}}"#, [1; 50]),
        ] {
            assert!(wrong(body).is_empty(), "{body}");
            let policy = serde_json::from_str::<RetryPolicyBody>(body).unwrap().to_model();
            assert_eq!(engine::retry::schedule::validate(&policy), Ok(()), "{body}");
        }
    }
}
