//! Event types of the catalogue: `EventTypeIn`, `EventTypeUpdate`, `EventTypePatch`, `EventTypeOut`.

use crate::dto::fields::{JsonText, given};
use crate::dto::timestamp::Timestamp;
use bytes::Bytes;
use control::command::event_type::{CreateEventType, EventTypeFields};
use control::{Checks, Patch};
use model::EventType;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An event type to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EventTypeIn {
    /// Its identity.
    #[schema(pattern = "^[a-zA-Z0-9\\-_.]+$", max_length = 256)]
    name: String,
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

/// Changes to an event type: a field that is left out stays.
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
    /// The fields of a command, each value under one name. Notes the names that do not agree.
    pub(crate) fn into_command(self, checks: &mut Checks) -> CreateEventType {
        let update = EventTypeUpdate {
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            schemas: self.schemas,
            feature_flag: self.feature_flag,
            feature_flags: self.feature_flags,
            group_name: self.group_name,
        };
        CreateEventType { name: self.name, fields: update.into_fields(checks) }
    }
}

impl EventTypeUpdate {
    /// As [`EventTypeIn::into_command`].
    pub(crate) fn into_fields(self, checks: &mut Checks) -> EventTypeFields {
        EventTypeFields {
            description: Some(self.description),
            archived: self.archived,
            deprecated: self.deprecated,
            schemas: self.schemas.into(),
            feature_flag: either_flag(checks, self.feature_flag.into(), self.feature_flags.into()),
            group_name: self.group_name.into(),
        }
    }
}

impl EventTypePatch {
    /// As [`EventTypeIn::into_command`].
    pub(crate) fn into_fields(self, checks: &mut Checks) -> EventTypeFields {
        EventTypeFields {
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            schemas: self.schemas,
            feature_flag: either_flag(checks, self.feature_flag, self.feature_flags),
            group_name: self.group_name,
        }
    }
}

/// The flag under either of its names: the list of newer clients has it alone, or nothing.
fn either_flag(checks: &mut Checks, flag: Patch<String>, flags: Patch<Vec<String>>) -> Patch<String> {
    match flags.as_set().map(Vec::as_slice) {
        None | Some([]) => {}
        Some([only]) if flag.as_set().is_none_or(|flag| flag == only) => {}
        Some(_) => checks.wrong(&["featureFlags"], "must be at most one, as featureFlag", "value_error.list.length"),
    }
    let from_list = match flags {
        Patch::Set(flags) => flags.into_iter().next().map_or(Patch::Clear, Patch::Set),
        Patch::Clear => Patch::Clear,
        Patch::Keep => Patch::Keep,
    };
    flag.or(from_list)
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
    use model::UnixMs;

    #[test]
    fn either_generation_names_the_flag() {
        let read = |body: &str| {
            let mut checks = Checks::default();
            let fields = serde_json::from_str::<EventTypePatch>(body).unwrap().into_fields(&mut checks);
            checks.finish().map(|()| fields.feature_flag)
        };
        assert_eq!(read(r#"{"featureFlags":["beta"]}"#).unwrap(), Patch::Set("beta".to_owned()));
        assert_eq!(read(r#"{"featureFlags":["beta"],"featureFlag":"beta"}"#).unwrap(), Patch::Set("beta".to_owned()));
        assert_eq!(read(r#"{"featureFlags":[]}"#).unwrap(), Patch::Clear);
        assert!(read(r#"{"featureFlags":["a","b"]}"#).is_err());
        assert!(read(r#"{"featureFlags":["a"],"featureFlag":"b"}"#).is_err());
    }

    #[test]
    fn schemas_are_left_out_without_content() {
        let event_type = EventType {
            name: "a.b".to_owned(),
            description: "d".to_owned(),
            archived: false,
            deprecated: false,
            feature_flag: Some("beta".to_owned()),
            schemas: Some(r#"{"1":{"type":"object"}}"#.to_owned()),
            created_at: UnixMs(1),
            updated_at: UnixMs(1),
            group_name: None,
        };
        let with = serde_json::to_value(EventTypeOut::of(&event_type, true)).unwrap();
        assert_eq!(with["schemas"]["1"]["type"], "object");
        assert_eq!((&with["featureFlag"], &with["featureFlags"][0]), (&"beta".into(), &"beta".into()));
        assert!(serde_json::to_value(EventTypeOut::of(&event_type, false)).unwrap()["schemas"].is_null());
    }

    #[test]
    fn the_example_comes_from_the_newest_schema() {
        let schemas = r#"{"9":{"examples":[{"v":9}]},"10":{"examples":[{"v":10},{"v":11}]}}"#;
        assert_eq!(example_of(schemas, 1).unwrap()["v"], 11);
        assert_eq!(example_of(schemas, 2), None);
    }
}
