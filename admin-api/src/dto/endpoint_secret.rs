//! Signing secrets: shown, given, and rotated with an overlap.
//!
//! Sealing and storing are [`crate::routes`]'. A secret leaves this crate in one answer only, to the holder of a key; of an
//! ed25519 one only the public half does.

use crate::limits::{GRACE_PERIOD_DEFAULT_S, GRACE_PERIOD_MAX_S, OLD_SECRETS_MAX};
use crate::validate::Checks;
use model::UnixMs;
use model::endpoint::EndpointSecret;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// The current secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndpointSecretOut {
    /// The key that receivers verify with: `whsec_` and base64, or of an ed25519 secret the public key, `whpk_` and base64.
    pub(crate) key: String,
}

impl fmt::Debug for EndpointSecretOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointSecretOut(hidden)")
    }
}

/// A rotation.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EndpointSecretRotateIn {
    /// The new secret; one is made when left out.
    pub(crate) key: Option<String>,
    /// How long the replaced secret goes on to sign, beside the new one. Default: a day.
    #[schema(minimum = 0, maximum = 604_800)]
    grace_period_seconds: Option<u64>,
}

impl EndpointSecretRotateIn {
    /// Notes what is wrong, but for the key, which the engine judges.
    pub(crate) fn check(&self, checks: &mut Checks) {
        self.grace_period_seconds
            .iter()
            .for_each(|seconds| checks.within("gracePeriodSeconds", *seconds, &(0..=GRACE_PERIOD_MAX_S)));
    }

    /// How long the replaced secret goes on to sign.
    pub(crate) fn grace_period_ms(&self) -> u64 {
        self.grace_period_seconds.unwrap_or(GRACE_PERIOD_DEFAULT_S) * 1_000
    }
}

/// True when a client expects 204 and nothing else after a rotation, as the contract said until it named the key.
/// Official clients name themselves `svix-libs/VERSION/LANGUAGE`; those before 1.59 fail on 200, and those of 2.x on 204.
pub(crate) fn wants_no_content(user_agent: Option<&str>) -> bool {
    const FIRST_WITH_BODY: (u32, u32) = (1, 59);
    let version = user_agent.and_then(|agent| agent.trim_start().strip_prefix("svix-libs/")).map(|rest| {
        let mut numbers = rest.split(['.', '/']).map(|part| part.parse::<u32>().ok());
        (numbers.next().flatten(), numbers.next().flatten())
    });
    matches!(version, Some((Some(major), Some(minor))) if (major, minor) < FIRST_WITH_BODY)
}

/// The secrets after `new` took over: those that expired are gone, the replaced one ends after the grace period.
///
/// # Errors
/// When more old secrets would be valid at once than may be.
pub(crate) fn rotated(
    current: Vec<EndpointSecret>,
    new: EndpointSecret,
    grace_period_ms: u64,
    now: UnixMs,
) -> Result<Vec<EndpointSecret>, TooManySecrets> {
    let until = now.plus_ms(grace_period_ms);
    let old = current
        .into_iter()
        .map(|secret| EndpointSecret { expires_at: Some(secret.expires_at.unwrap_or(until)), ..secret })
        .filter(|secret| secret.expires_at.is_some_and(|at| at > now));
    let secrets: Vec<EndpointSecret> = std::iter::once(new).chain(old).collect();
    if secrets.len() > OLD_SECRETS_MAX + 1 { Err(TooManySecrets) } else { Ok(secrets) }
}

/// More old secrets than may be valid at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManySecrets;

#[cfg(test)]
mod tests {
    use super::*;
    use model::SealedBytes;

    fn secret(byte: u8, expires_at: Option<u64>) -> EndpointSecret {
        EndpointSecret { sealed: SealedBytes(vec![byte]), expires_at: expires_at.map(UnixMs) }
    }

    #[test]
    fn the_replaced_secret_ends_after_its_grace_and_expired_ones_go() {
        let current = vec![secret(3, None), secret(2, Some(150)), secret(1, Some(90))];
        let after = rotated(current, secret(4, None), 1_000, UnixMs(100)).unwrap();
        assert_eq!(after, [secret(4, None), secret(3, Some(1_100)), secret(2, Some(150))]);
    }

    #[test]
    fn without_grace_the_replaced_secret_ends_at_once() {
        let after = rotated(vec![secret(1, None)], secret(2, None), 0, UnixMs(100)).unwrap();
        assert_eq!(after, [secret(2, None)]);
    }

    #[test]
    fn the_answer_to_a_rotation_is_what_the_client_takes() {
        for (agent, no_content) in [
            ("svix-libs/0.85.1/python", true),
            ("svix-libs/1.22.0/python", true),
            ("svix-libs/1.56.0/python", true),
            ("svix-libs/1.58.9/ruby", true),
            ("svix-libs/1.59.0/python", false),
            ("svix-libs/1.99.1/javascript", false),
            ("svix-libs/2.0.0/rust", false),
            ("svix-libs/2.9.1/python httpx/0.28", false),
            ("svix-libs/10.1.0/go", false),
            ("svix-libs/1.56", true),
            ("svix-libs/1", false),
            ("svix-libs/x.y/python", false),
            ("svix-libs/", false),
            ("curl/8.5.0", false),
            ("", false),
        ] {
            assert_eq!(wants_no_content(Some(agent)), no_content, "{agent}");
        }
        assert!(!wants_no_content(None));
    }

    #[test]
    fn only_so_many_old_secrets_are_valid_at_once() {
        let mut secrets = vec![secret(0, None)];
        for round in 1..=10 {
            secrets = rotated(secrets, secret(round, None), 1_000, UnixMs(100)).unwrap();
        }
        assert_eq!(rotated(secrets, secret(11, None), 1_000, UnixMs(100)), Err(TooManySecrets));
    }
}
