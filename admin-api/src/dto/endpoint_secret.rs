//! Signing secrets: shown, given, and rotated with an overlap.
//!
//! A secret leaves this crate in one answer only, to the holder of a key; of an
//! ed25519 one only the public half does.

use control::command::endpoint::RotateSecret;
use control::find::EndpointName;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// The current secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct EndpointSecretOut {
    /// The key that receivers verify with: `whsec_` and base64, or of an ed25519 secret the public key, `whpk_` and
    /// base64.
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
    key: Option<String>,
    /// Seconds for which the replaced secret goes on to sign, beside the new one. Default: a day.
    #[schema(minimum = 0, maximum = 604_800)]
    grace_period_seconds: Option<u64>,
}

impl EndpointSecretRotateIn {
    /// The command.
    pub(crate) fn into_command(self, endpoint: EndpointName) -> RotateSecret {
        RotateSecret { endpoint, secret: self.key.map(Zeroizing::new), grace_period_s: self.grace_period_seconds }
    }
}

/// True when a client expects 204 and nothing else after a rotation, as the contract said until it named the key.
/// Official clients name themselves `svix-libs/VERSION/LANGUAGE`; those before 1.59 fail on 200, and those of 2.x on
/// 204.
pub(crate) fn wants_no_content(user_agent: Option<&str>) -> bool {
    const FIRST_WITH_BODY: (u32, u32) = (1, 59);
    let version = user_agent.and_then(|agent| agent.trim_start().strip_prefix("svix-libs/")).map(|rest| {
        let mut numbers = rest.split(['.', '/']).map(|part| part.parse::<u32>().ok());
        (numbers.next().flatten(), numbers.next().flatten())
    });
    matches!(version, Some((Some(major), Some(minor))) if (major, minor) < FIRST_WITH_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
