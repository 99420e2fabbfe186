//! Event types of the catalogue: `EventTypeIn`, `EventTypeUpdate`, `EventTypePatch`, `EventTypeOut`.
//!
//! Deliberately no check of payloads against the schemas: the catalogue documents.

use crate::dto::fields::{JsonText, Patch};
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::limits;
use crate::validate::Checks;
use bytes::Bytes;
use model::{EventType, UnixMs};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An event type to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeIn {
    /// Its identity.
    #[schema(pattern = "^[a-zA-Z0-9\\-_.]+$", max_length = 256)]
    pub(crate) name: String,
    description: String,
    archived: Option<bool>,
    deprecated: Option<bool>,
    /// JSON Schemas by version.
    #[schema(value_type = Option<Object>)]
    schemas: Option<Map<String, Value>>,
    feature_flag: Option<String>,
}

/// What an event type becomes; created when it is not there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeUpdate {
    description: String,
    archived: Option<bool>,
    deprecated: Option<bool>,
    /// JSON Schemas by version.
    #[schema(value_type = Option<Object>)]
    schemas: Option<Map<String, Value>>,
    feature_flag: Option<String>,
}

/// Changes to an event type: what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypePatch {
    description: Option<String>,
    archived: Option<bool>,
    deprecated: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    schemas: Patch<Map<String, Value>>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    feature_flag: Patch<String>,
}

/// An event type.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventTypeOut {
    name: String,
    description: String,
    archived: bool,
    deprecated: bool,
    /// Null when lists leave content out.
    #[schema(value_type = Option<Object>)]
    schemas: Option<JsonText>,
    feature_flag: Option<String>,
    feature_flags: Option<Vec<String>>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl EventTypeIn {
    /// A new event type.
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(crate) fn create(self, now: UnixMs) -> Result<EventType, ApiError> {
        let mut checks = Checks::of("body");
        checks.name("name", &self.name);
        let update = EventTypeUpdate {
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            schemas: self.schemas,
            feature_flag: self.feature_flag,
        };
        update.check(&mut checks);
        checks.finish()?;
        Ok(update.build(self.name, now))
    }
}

impl EventTypeUpdate {
    fn check(&self, checks: &mut Checks) {
        checks.text("description", &self.description, 0, limits::DESCRIPTION_BYTES_MAX);
        checks.name_if_any("featureFlag", self.feature_flag.as_deref());
        check_schemas(checks, self.schemas.as_ref());
    }

    fn build(self, name: String, now: UnixMs) -> EventType {
        EventType {
            name,
            description: self.description,
            archived: self.archived.unwrap_or(false),
            deprecated: self.deprecated.unwrap_or(false),
            feature_flag: self.feature_flag,
            schemas: self.schemas.map(|schemas| Value::Object(schemas).to_string()),
            created_at: now,
            updated_at: now,
        }
    }

    /// What the event type `name` becomes; its creation time is the caller's to carry over.
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(crate) fn replace(self, name: String, now: UnixMs) -> Result<EventType, ApiError> {
        let mut checks = Checks::of("body");
        self.check(&mut checks);
        checks.finish()?;
        let mut checks = Checks::of("path");
        checks.name("event_type_name", &name);
        checks.finish()?;
        Ok(self.build(name, now))
    }
}

impl EventTypePatch {
    /// Checks everything that can be checked without the store.
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(crate) fn validate(&self) -> Result<(), ApiError> {
        let mut checks = Checks::of("body");
        self.description.iter().for_each(|text| checks.text("description", text, 0, limits::DESCRIPTION_BYTES_MAX));
        checks.name_if_any("featureFlag", self.feature_flag.as_set().map(String::as_str));
        check_schemas(&mut checks, self.schemas.as_set());
        checks.finish()
    }

    /// What `current` becomes.
    pub(crate) fn apply(self, current: EventType, now: UnixMs) -> EventType {
        EventType {
            description: self.description.unwrap_or(current.description),
            archived: self.archived.unwrap_or(current.archived),
            deprecated: self.deprecated.unwrap_or(current.deprecated),
            schemas: self.schemas.map(|schemas| Value::Object(schemas).to_string()).apply(current.schemas),
            feature_flag: self.feature_flag.apply(current.feature_flag),
            updated_at: now,
            ..current
        }
    }
}

fn check_schemas(checks: &mut Checks, schemas: Option<&Map<String, Value>>) {
    let wrong = schemas.into_iter().flatten().find(|(_, schema)| !schema.is_object());
    if let Some((version, _)) = wrong {
        checks.wrong(&["schemas", version], "must be a JSON object", "type_error.dict");
    }
}

impl EventTypeOut {
    /// With its schemas, or without them.
    pub(crate) fn of(event_type: &EventType, with_content: bool) -> EventTypeOut {
        let schemas = event_type.schemas.as_ref().filter(|_| with_content);
        EventTypeOut {
            name: event_type.name.clone(),
            description: event_type.description.clone(),
            archived: event_type.archived,
            deprecated: event_type.deprecated,
            schemas: schemas.map(|text| JsonText(Bytes::copy_from_slice(text.as_bytes()))),
            feature_flag: event_type.feature_flag.clone(),
            feature_flags: event_type.feature_flag.clone().map(|flag| vec![flag]),
            created_at: Timestamp(event_type.created_at),
            updated_at: Timestamp(event_type.updated_at),
        }
    }
}

/// An example payload from the schemas of an event type: the `index`-th of the newest version's `examples`.
pub(crate) fn example_of(schemas: &str, index: usize) -> Option<Map<String, Value>> {
    let schemas: Map<String, Value> = serde_json::from_str(schemas).ok()?;
    let newest = schemas.iter().max_by_key(|(version, _)| version.parse::<u64>().unwrap_or(0))?.1;
    match newest.get("examples")?.get(index)? {
        Value::Object(example) => Some(example.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_must_be_an_object_and_a_name_a_name() {
        let body = r#"{"name":"a b","description":"","schemas":{"1":[]}}"#;
        let error = serde_json::from_str::<EventTypeIn>(body).unwrap().create(UnixMs(1)).unwrap_err();
        let fields: Vec<String> = error.items().unwrap().iter().map(|item| item.loc.join(".")).collect();
        assert_eq!(fields, ["body.name", "body.schemas.1"]);
    }

    #[test]
    fn schemas_are_left_out_without_content() {
        let body = r#"{"name":"a.b","description":"d","schemas":{"1":{"type":"object"}}}"#;
        let event_type = serde_json::from_str::<EventTypeIn>(body).unwrap().create(UnixMs(1)).unwrap();
        let with = serde_json::to_value(EventTypeOut::of(&event_type, true)).unwrap();
        assert_eq!(with["schemas"]["1"]["type"], "object");
        assert!(serde_json::to_value(EventTypeOut::of(&event_type, false)).unwrap()["schemas"].is_null());
    }

    #[test]
    fn the_example_comes_from_the_newest_schema() {
        let schemas = r#"{"9":{"examples":[{"v":9}]},"10":{"examples":[{"v":10},{"v":11}]}}"#;
        assert_eq!(example_of(schemas, 1).unwrap()["v"], 11);
        assert_eq!(example_of(schemas, 2), None);
    }
}
