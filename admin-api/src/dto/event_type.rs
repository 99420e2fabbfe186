//! Event types of the catalogue: `EventTypeIn`, `EventTypeUpdate`, `EventTypePatch`, `EventTypeOut`.
//!
//! Payloads are not checked against the schemas: the catalogue documents.

use crate::dto::fields::{JsonText, Patch, given};
use crate::dto::json_schema::{Flaw, flaw_of};
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
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EventTypeIn {
    /// Its identity.
    #[schema(pattern = "^[a-zA-Z0-9\\-_.]+$", max_length = 256)]
    pub(crate) name: String,
    description: String,
    archived: Option<bool>,
    deprecated: Option<bool>,
    /// JSON Schemas by version, of draft 7 or 2020-12.
    #[schema(value_type = Option<Object>)]
    schemas: Option<Map<String, Value>>,
    feature_flag: Option<String>,
    /// The name of `featureFlag` in newer clients: at most one.
    feature_flags: Option<Vec<String>>,
    /// The group that it is shown in.
    #[schema(pattern = "^[a-zA-Z0-9\\-_.]+$", max_length = 256)]
    group_name: Option<String>,
}

/// The new state of an event type; it is created when it is not there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EventTypeUpdate {
    description: String,
    archived: Option<bool>,
    deprecated: Option<bool>,
    /// JSON Schemas by version.
    #[schema(value_type = Option<Object>)]
    schemas: Option<Map<String, Value>>,
    feature_flag: Option<String>,
    /// The name of `featureFlag` in newer clients: at most one.
    feature_flags: Option<Vec<String>>,
    /// The group that it is shown in.
    #[schema(pattern = "^[a-zA-Z0-9\\-_.]+$", max_length = 256)]
    group_name: Option<String>,
}

/// Changes to an event type: what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EventTypePatch {
    #[serde(default, deserialize_with = "given")]
    description: Option<String>,
    #[serde(default, deserialize_with = "given")]
    archived: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    deprecated: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    schemas: Patch<Map<String, Value>>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    feature_flag: Patch<String>,
    /// The name of `featureFlag` in newer clients: at most one.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    feature_flags: Patch<Vec<String>>,
    /// The group that it is shown in.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    group_name: Patch<String>,
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
    group_name: Option<String>,
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
            feature_flags: self.feature_flags,
            group_name: self.group_name,
        };
        update.check(&mut checks);
        checks.finish()?;
        Ok(update.build(self.name, now))
    }
}

impl EventTypeUpdate {
    fn check(&self, checks: &mut Checks) {
        checks.text("description", &self.description, 0, limits::DESCRIPTION_BYTES_MAX);
        check_flags(checks, self.feature_flag.as_ref(), self.feature_flags.as_ref());
        checks.name_if_any("groupName", self.group_name.as_deref());
        check_schemas(checks, self.schemas.as_ref());
    }

    fn build(self, name: String, now: UnixMs) -> EventType {
        EventType {
            name,
            description: self.description,
            archived: self.archived.unwrap_or(false),
            deprecated: self.deprecated.unwrap_or(false),
            feature_flag: self.feature_flag.or_else(|| self.feature_flags.and_then(first)),
            schemas: self.schemas.map(|schemas| Value::Object(schemas).to_string()),
            created_at: now,
            updated_at: now,
            group_name: self.group_name,
        }
    }

    /// The new row of the event type `name`; its creation time is the caller's to carry over.
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
        check_flags(&mut checks, self.feature_flag.as_set(), self.feature_flags.as_set());
        checks.name_if_any("groupName", self.group_name.as_set().map(String::as_str));
        check_schemas(&mut checks, self.schemas.as_set());
        checks.finish()
    }

    /// The row that `current` becomes.
    pub(crate) fn apply(self, current: EventType, now: UnixMs) -> EventType {
        let from_list = match self.feature_flags {
            Patch::Set(flags) => first(flags).map_or(Patch::Clear, Patch::Set),
            Patch::Clear => Patch::Clear,
            Patch::Keep => Patch::Keep,
        };
        let feature_flag = self.feature_flag.or(from_list).apply(current.feature_flag);
        EventType {
            description: self.description.unwrap_or(current.description),
            archived: self.archived.unwrap_or(current.archived),
            deprecated: self.deprecated.unwrap_or(current.deprecated),
            schemas: self.schemas.map(|schemas| Value::Object(schemas).to_string()).apply(current.schemas),
            feature_flag,
            group_name: self.group_name.apply(current.group_name),
            updated_at: now,
            ..current
        }
    }
}

fn first(flags: Vec<String>) -> Option<String> {
    flags.into_iter().next()
}

fn check_flags(checks: &mut Checks, flag: Option<&String>, flags: Option<&Vec<String>>) {
    checks.name_if_any("featureFlag", flag.map(String::as_str));
    match flags.map(Vec::as_slice) {
        None | Some([]) => {}
        Some([only]) if flag.is_none_or(|flag| flag == only) => checks.name("featureFlags", only),
        Some(_) => checks.wrong(&["featureFlags"], "must be at most one, as featureFlag", "value_error.list.length"),
    }
}

fn check_schemas(checks: &mut Checks, schemas: Option<&Map<String, Value>>) {
    // The first flaw alone: a body has room for a great many.
    let flaw = schemas.into_iter().flatten().find_map(|(version, schema)| match schema.as_object() {
        Some(schema) => flaw_of(schema).map(|flaw| (version, flaw)),
        None => Some((version, Flaw { path: Vec::new(), msg: "must be a JSON object" })),
    });
    if let Some((version, flaw)) = flaw {
        let path: Vec<&str> = ["schemas", version].into_iter().chain(flaw.path.iter().map(String::as_str)).collect();
        checks.wrong(&path, format!("is no JSON Schema: {}", flaw.msg), "value_error.schema");
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
            group_name: event_type.group_name.clone(),
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
    fn either_generation_names_the_flag() {
        let read = |body: &str| serde_json::from_str::<EventTypeIn>(body).unwrap().create(UnixMs(1));
        let event_type = read(r#"{"name":"a","description":"","featureFlags":["beta"]}"#).unwrap();
        let out = serde_json::to_value(EventTypeOut::of(&event_type, true)).unwrap();
        assert_eq!((&out["featureFlag"], &out["featureFlags"][0]), (&"beta".into(), &"beta".into()));
        assert!(read(r#"{"name":"a","description":"","featureFlags":["a","b"]}"#).is_err());
        let patch: EventTypePatch = serde_json::from_str(r#"{"featureFlags":[]}"#).unwrap();
        assert_eq!(patch.apply(event_type, UnixMs(2)).feature_flag, None);
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
