//! Signing secrets: shown, given, and rotated with an overlap.
//!
//! Deliberately neither sealing nor storing. A secret leaves this crate in one answer only, to the holder of a key.

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
    /// `whsec_` and base64, or `whsk_` for ed25519.
    pub(crate) key: String,
}

impl fmt::Debug for EndpointSecretOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointSecretOut(hidden)")
    }
}

/// A rotation.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
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
    fn only_so_many_old_secrets_are_valid_at_once() {
        let mut secrets = vec![secret(0, None)];
        for round in 1..=10 {
            secrets = rotated(secrets, secret(round, None), 1_000, UnixMs(100)).unwrap();
        }
        assert_eq!(rotated(secrets, secret(11, None), 1_000, UnixMs(100)), Err(TooManySecrets));
    }
}
