//! Applications: `ApplicationIn`, `ApplicationPatch`, `ApplicationOut`.

use crate::dto::fields::{bounded_metadata, given, given_metadata, metadata_of};
use crate::dto::policy::{PolicyIn, PolicyOut, PolicyPatch};
use crate::dto::timestamp::Timestamp;
use control::checks::either;
use control::command::Metadata;
use control::command::application::ApplicationFields;
use control::command::policy::PolicyFields;
use control::{Checks, Patch};
use model::Application;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An application to create, or to replace by: a field that is left out is cleared.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApplicationIn {
    /// For people.
    #[schema(min_length = 1, max_length = 512)]
    name: String,
    /// Your own identifier for it, unique. A PUT without it clears it.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[a-zA-Z0-9\\-_.]+$", min_length = 1, max_length = 256)]
    pub(crate) uid: Patch<String>,
    /// Your own notes.
    #[serde(default, deserialize_with = "bounded_metadata")]
    metadata: Option<Metadata>,
    /// Messages per second that are sent to all its endpoints together, retries included.
    #[schema(minimum = 1)]
    throttle_rate: Option<u32>,
    /// The same as `throttleRate`.
    #[schema(minimum = 1)]
    rate_limit: Option<u32>,
    /// True if deliveries to its endpoints wait. Left out in a PUT, it stays as it is.
    paused: Option<bool>,
    /// The settings that its endpoints inherit.
    policy: Option<PolicyIn>,
    /// Attempts at once over all its endpoints.
    #[schema(minimum = 1, maximum = 100_000)]
    max_in_flight_total: Option<u32>,
    /// `challenge`: the receiver of each new endpoint, and of each new origin, must prove that it wants deliveries before it
    /// gets any. Default: `off`.
    verification: Option<VerificationMode>,
    /// The tier by which its use of the API is limited, one of the server's. Left out: the default one, if there is one.
    api_tier: Option<String>,
}

/// Changes to an application: a field that is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApplicationPatch {
    #[serde(default, deserialize_with = "given")]
    name: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) uid: Patch<String>,
    #[serde(default, deserialize_with = "given_metadata")]
    metadata: Option<Metadata>,
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    throttle_rate: Patch<u32>,
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    rate_limit: Patch<u32>,
    #[serde(default, deserialize_with = "given")]
    paused: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<PolicyPatch>)]
    policy: Patch<PolicyPatch>,
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 100_000)]
    max_in_flight_total: Patch<u32>,
    #[serde(default)]
    #[schema(value_type = Option<VerificationMode>)]
    verification: Patch<VerificationMode>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    api_tier: Patch<String>,
}

/// An application.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationOut {
    id: String,
    name: String,
    uid: Option<String>,
    metadata: Metadata,
    throttle_rate: Option<u32>,
    rate_limit: Option<u32>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// True if deliveries to its endpoints wait.
    paused: bool,
    paused_at: Option<Timestamp>,
    policy: PolicyOut,
    max_in_flight_total: Option<u32>,
    verification: VerificationMode,
    /// The tier by which its use of the API is limited; null for the default one.
    api_tier: Option<String>,
}

/// The proof that receivers must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum VerificationMode {
    /// None.
    Off,
    /// To send a challenge back.
    Challenge,
}

impl From<VerificationMode> for bool {
    fn from(mode: VerificationMode) -> bool {
        mode == VerificationMode::Challenge
    }
}

impl ApplicationIn {
    /// The fields of a command, each value under one name. Notes the names that do not agree.
    pub(crate) fn into_fields(self, checks: &mut Checks) -> ApplicationFields {
        let rate = either(checks, ("throttleRate", self.throttle_rate), ("rateLimit", self.rate_limit));
        ApplicationFields {
            name: Some(self.name),
            uid: self.uid,
            metadata: self.metadata,
            rate_limit: rate.into(),
            paused: self.paused,
            policy: self.policy.unwrap_or_default().into_fields(checks),
            max_in_flight: self.max_in_flight_total.into(),
            verification: self.verification.map(Into::into).into(),
            api_tier: self.api_tier.into(),
        }
    }
}

impl ApplicationPatch {
    /// As [`ApplicationIn::into_fields`].
    pub(crate) fn into_fields(self, checks: &mut Checks) -> ApplicationFields {
        let (new, old) = (self.throttle_rate.as_set(), self.rate_limit.as_set());
        either(checks, ("throttleRate", new), ("rateLimit", old));
        let policy = match self.policy {
            Patch::Keep => PolicyFields::default(),
            Patch::Clear => PolicyFields::cleared(),
            Patch::Set(policy) => policy.into_fields(checks),
        };
        ApplicationFields {
            name: self.name,
            uid: self.uid,
            metadata: self.metadata,
            rate_limit: self.throttle_rate.or(self.rate_limit),
            verification: self.verification.map(Into::into),
            paused: self.paused,
            policy,
            max_in_flight: self.max_in_flight_total,
            api_tier: self.api_tier,
        }
    }
}

impl From<&Application> for ApplicationOut {
    fn from(application: &Application) -> ApplicationOut {
        ApplicationOut {
            id: application.public_id(),
            name: application.name.clone(),
            uid: application.uid.clone(),
            metadata: metadata_of(&application.metadata),
            throttle_rate: application.rate_limit,
            rate_limit: application.rate_limit,
            created_at: Timestamp(application.created_at),
            updated_at: Timestamp(application.updated_at),
            paused: application.paused_at.is_some(),
            paused_at: application.paused_at.map(Timestamp),
            policy: (&application.policy).into(),
            max_in_flight_total: application.max_in_flight,
            api_tier: application.api_tier.clone(),
            verification: if application.verification { VerificationMode::Challenge } else { VerificationMode::Off },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppId, UnixMs};

    #[test]
    fn both_generations_name_the_rate_and_find_it_under_their_name() {
        let row = Application {
            salt: 9,
            name: "a".to_owned(),
            rate_limit: Some(7),
            ..Application::plain(AppId(1), UnixMs(5))
        };
        let out = serde_json::to_value(ApplicationOut::from(&row)).unwrap();
        assert_eq!((&out["rateLimit"], &out["throttleRate"]), (&7.into(), &7.into()));
        assert_eq!(out["createdAt"], "1970-01-01T00:00:00.005Z");
        let mut checks = Checks::default();
        let body: ApplicationIn = serde_json::from_str(r#"{"name":"a","rateLimit":1,"throttleRate":2}"#).unwrap();
        body.into_fields(&mut checks);
        assert!(checks.finish().is_err());
    }
}
