//! Applications: `ApplicationIn`, `ApplicationPatch`, `ApplicationOut`.
//!
//! Storing is [`crate::routes::application`]'s.

use crate::dto::fields::{Metadata, Patch, bounded_metadata, given, given_metadata, metadata_of, metadata_text};
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::limits;
use crate::validate::{Checks, either};
use model::id::IdKind;
use model::{AppId, Application, UnixMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An application to create, or to replace by: what is left out is cleared.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApplicationIn {
    /// For people.
    #[schema(min_length = 1, max_length = 512)]
    pub(crate) name: String,
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
}

/// Changes to an application: what is left out stays.
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
}

impl ApplicationIn {
    /// Checks everything that can be checked without the store.
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(crate) fn validate(&self) -> Result<(), ApiError> {
        let mut checks = Checks::of("body");
        checks.text("name", &self.name, 1, limits::LABEL_BYTES_MAX);
        checks.path_name_if_any("uid", IdKind::Application, self.uid.as_set().map(String::as_str));
        self.metadata.iter().for_each(|metadata| checks.metadata(metadata));
        let rate = either(&mut checks, ("throttleRate", self.throttle_rate), ("rateLimit", self.rate_limit));
        rate.iter().for_each(|rate| checks.within("throttleRate", *rate, &(1..=limits::RATE_MAX)));
        checks.finish()
    }

    /// A new application.
    pub(crate) fn create(self, id: AppId, salt: u64, now: UnixMs) -> Result<Application, ApiError> {
        let metadata = metadata_text(&self.metadata.unwrap_or_default())?;
        Ok(Application {
            id,
            salt,
            uid: self.uid.apply(None),
            name: self.name,
            rate_limit: self.throttle_rate.or(self.rate_limit),
            metadata,
            created_at: now,
            updated_at: now,
        })
    }

    /// The row that replaces `current`: everything comes from this.
    pub(crate) fn replace(self, current: &Application, now: UnixMs) -> Result<Application, ApiError> {
        let created = self.create(current.id, current.salt, now)?;
        Ok(Application { created_at: current.created_at, ..created })
    }
}

impl ApplicationIn {
    /// True when it names the rate.
    pub(crate) fn names_rate(&self) -> bool {
        self.throttle_rate.is_some() || self.rate_limit.is_some()
    }

    /// True when it names the uid.
    pub(crate) fn names_uid(&self) -> bool {
        !matches!(self.uid, Patch::Keep)
    }
}

impl ApplicationPatch {
    /// As [`ApplicationIn::validate`].
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(crate) fn validate(&self) -> Result<(), ApiError> {
        let mut checks = Checks::of("body");
        self.name.iter().for_each(|name| checks.text("name", name, 1, limits::LABEL_BYTES_MAX));
        checks.path_name_if_any("uid", IdKind::Application, self.uid.as_set().map(String::as_str));
        self.metadata.iter().for_each(|metadata| checks.metadata(metadata));
        let (new, old) = (self.throttle_rate.as_set().copied(), self.rate_limit.as_set().copied());
        let rate = either(&mut checks, ("throttleRate", new), ("rateLimit", old));
        rate.iter().for_each(|rate| checks.within("throttleRate", *rate, &(1..=limits::RATE_MAX)));
        checks.finish()
    }

    /// The row that `current` becomes.
    pub(crate) fn apply(self, current: Application, now: UnixMs) -> Result<Application, ApiError> {
        let metadata = self.metadata.as_ref().map(metadata_text).transpose()?;
        Ok(Application {
            name: self.name.unwrap_or(current.name),
            uid: self.uid.apply(current.uid),
            rate_limit: self.throttle_rate.or(self.rate_limit).apply(current.rate_limit),
            metadata: metadata.unwrap_or(current.metadata),
            updated_at: now,
            ..current
        })
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> ApplicationIn {
        serde_json::from_str(body).unwrap()
    }

    fn existing() -> Application {
        read(r#"{"name":"old","uid":"u","rateLimit":7,"metadata":{"a":"b"}}"#).create(AppId(1), 9, UnixMs(5)).unwrap()
    }

    #[test]
    fn a_put_replaces_everything() {
        let after = read(r#"{"name":"new"}"#).replace(&existing(), UnixMs(6)).unwrap();
        assert_eq!((after.uid, after.rate_limit, after.metadata.as_str()), (None, None, "{}"));
        assert_eq!((after.created_at, after.updated_at), (UnixMs(5), UnixMs(6)));
        let kept = read(r#"{"name":"new","uid":"u"}"#).replace(&existing(), UnixMs(6)).unwrap();
        assert_eq!(kept.uid.as_deref(), Some("u"));
    }

    #[test]
    fn a_patch_leaves_what_is_not_named() {
        let patch: ApplicationPatch = serde_json::from_str(r#"{"uid":null,"name":"new"}"#).unwrap();
        let after = patch.apply(existing(), UnixMs(6)).unwrap();
        assert_eq!((after.uid, after.rate_limit, after.name.as_str()), (None, Some(7), "new"));
        assert_eq!(after.metadata, r#"{"a":"b"}"#);
    }

    #[test]
    fn wrong_input_names_every_field() {
        let error = read(r#"{"name":"","uid":"a b","rateLimit":0,"throttleRate":1}"#).validate().unwrap_err();
        let fields: Vec<String> = error.items().unwrap().iter().map(|item| item.loc.join(".")).collect();
        assert_eq!(fields, ["body.name", "body.uid", "body.rateLimit"]);
    }

    #[test]
    fn both_generations_find_the_rate_under_their_name() {
        let out = serde_json::to_value(ApplicationOut::from(&existing())).unwrap();
        assert_eq!((&out["rateLimit"], &out["throttleRate"]), (&7.into(), &7.into()));
        assert_eq!(out["createdAt"], "1970-01-01T00:00:00.005Z");
    }
}
