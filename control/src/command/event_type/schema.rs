//! Checks that a JSON value is a JSON Schema: every keyword has a value of its kind, as the meta-schemas of draft 7 and
//! of 2020-12 say.
//!
//! A value that one of the two allows is taken; a schema that names draft 4 may have its boolean `exclusiveMinimum`.
//! Keywords that are in neither are annotations and are not looked at. References and patterns are not followed or
//! compiled: payloads are not checked against schemas. By hand, as that is one table: the crate `jsonschema` brings a
//! regular-expression engine, big numbers and dozens of crates that are not needed.

use serde_json::{Map, Value};

/// The type that a keyword's value must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Flag,
    Number,
    /// A number above 0.
    Positive,
    /// A whole number of 0 or more.
    Count,
    List,
    /// Distinct texts.
    Names,
    /// A name of a type, or a list of distinct ones.
    Types,
    Schema,
    /// At least one schema.
    Schemas,
    /// A schema, or a list of schemas as draft 7 has it.
    SchemaOrSchemas,
    /// Schemas by name.
    SchemasByName,
    /// Lists of names by name.
    NamesByName,
    /// Schemas or lists of names, by name.
    Dependencies,
    /// A number, or a flag in a schema of draft 4.
    Bound,
}

/// The kind of each keyword.
fn kind_of(keyword: &str) -> Option<Kind> {
    Some(match keyword {
        "$id" | "$schema" | "$ref" | "$anchor" | "$dynamicRef" | "$dynamicAnchor" | "$comment" | "title"
        | "description" | "format" | "pattern" | "contentMediaType" | "contentEncoding" => Kind::Text,
        "readOnly" | "writeOnly" | "deprecated" | "uniqueItems" => Kind::Flag,
        "minimum" | "maximum" => Kind::Number,
        "exclusiveMinimum" | "exclusiveMaximum" => Kind::Bound,
        "multipleOf" => Kind::Positive,
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minContains" | "maxContains" | "minProperties"
        | "maxProperties" => Kind::Count,
        "enum" | "examples" => Kind::List,
        "required" => Kind::Names,
        "type" => Kind::Types,
        "not"
        | "if"
        | "then"
        | "else"
        | "additionalProperties"
        | "additionalItems"
        | "propertyNames"
        | "contains"
        | "contentSchema"
        | "unevaluatedItems"
        | "unevaluatedProperties" => Kind::Schema,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Kind::Schemas,
        "items" => Kind::SchemaOrSchemas,
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => Kind::SchemasByName,
        "dependentRequired" => Kind::NamesByName,
        "dependencies" => Kind::Dependencies,
        _ => return None,
    })
}

/// The types that there are.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// The first fault of a value that is no schema, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// Keywords, names and indexes that lead there.
    pub(super) path: Vec<String>,
    /// The message: the value that must be there.
    pub(super) msg: &'static str,
}

/// Finds where a value is no schema. How deep it goes is bounded by the reader of JSON.
pub(super) fn flaw_of(schema: &Map<String, Value>) -> Option<Flaw> {
    let draft = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let mut search = Search { is_draft_4: draft.contains("draft-04"), path: Vec::new() };
    search.object(schema).err().map(|msg| Flaw { path: search.path, msg })
}

/// Walks a schema; `path` is where it stands, and stays there when it found a flaw.
struct Search {
    is_draft_4: bool,
    path: Vec<String>,
}

impl Search {
    fn object(&mut self, schema: &Map<String, Value>) -> Result<(), &'static str> {
        for (keyword, value) in schema {
            if let Some(kind) = kind_of(keyword) {
                self.at(keyword, |search| search.check(kind, value))?;
            }
        }
        Ok(())
    }

    fn at(
        &mut self,
        name: &str,
        check: impl FnOnce(&mut Search) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        self.path.push(name.to_owned());
        check(self)?;
        self.path.pop();
        Ok(())
    }

    fn check(&mut self, kind: Kind, value: &Value) -> Result<(), &'static str> {
        match kind {
            Kind::Text => must(value.is_string(), "must be a text"),
            Kind::Flag => must(value.is_boolean(), "must be true or false"),
            Kind::Number => must(value.is_number(), "must be a number"),
            Kind::Bound => must(value.is_number() || self.is_draft_4 && value.is_boolean(), "must be a number"),
            Kind::Positive => must(value.as_f64().is_some_and(|number| number > 0.0), "must be a number above 0"),
            Kind::Count => must(is_count(value), "must be a whole number of 0 or more"),
            Kind::List => must(value.is_array(), "must be a list"),
            Kind::Names => must(is_names(value), "must be a list of distinct names"),
            Kind::Types => must(is_types(value), "must be a type, or a list of distinct types"),
            Kind::Schema => self.schema(value),
            Kind::Schemas => match value.as_array().filter(|list| !list.is_empty()) {
                Some(list) => self.each(list),
                None => Err("must be a list of at least one schema"),
            },
            Kind::SchemaOrSchemas => match value.as_array() {
                Some(list) => self.each(list),
                None => self.schema(value),
            },
            Kind::SchemasByName => self.by_name(value, Search::schema),
            Kind::NamesByName => {
                self.by_name(value, |_, value| must(is_names(value), "must be a list of distinct names"))
            }
            Kind::Dependencies => {
                self.by_name(value, |search, value| if is_names(value) { Ok(()) } else { search.schema(value) })
            }
        }
    }

    fn schema(&mut self, value: &Value) -> Result<(), &'static str> {
        match value {
            Value::Bool(_) => Ok(()),
            Value::Object(schema) => self.object(schema),
            _ => Err("must be a schema: an object, true or false"),
        }
    }

    fn each(&mut self, list: &[Value]) -> Result<(), &'static str> {
        list.iter()
            .enumerate()
            .try_for_each(|(index, value)| self.at(&index.to_string(), |search| search.schema(value)))
    }

    fn by_name(
        &mut self,
        value: &Value,
        check: impl Fn(&mut Search, &Value) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let map = value.as_object().ok_or("must be an object")?;
        map.iter().try_for_each(|(name, value)| self.at(name, |search| check(search, value)))
    }
}

fn must(holds: bool, msg: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(msg) }
}

/// JSON Schema counts 2.0 as a whole number.
fn is_count(value: &Value) -> bool {
    value.as_u64().is_some() || value.as_f64().is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
}

fn is_names(value: &Value) -> bool {
    let Some(list) = value.as_array() else { return false };
    let mut names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    names.len() == list.len() && names.windows(2).all(|pair| pair[0] != pair[1])
}

fn is_types(value: &Value) -> bool {
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    match value {
        Value::Array(list) => !list.is_empty() && list.iter().all(is_type) && is_names(value),
        one => is_type(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flaw(schema: &Value) -> Option<String> {
        flaw_of(schema.as_object().unwrap()).map(|flaw| flaw.path.join("."))
    }

    #[test]
    fn what_people_write_is_a_schema() {
        for schema in [
            json!({}),
            json!({"type": "object", "properties": {"a": {"type": ["string", "null"], "minLength": 1.0}, "b": true},
                "required": ["a"], "additionalProperties": false, "examples": [{"a": "x"}], "title": "t"}),
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://x/y", "$defs": {"x": {}},
                "prefixItems": [{"$ref": "#/$defs/x"}], "items": false, "unevaluatedProperties": {"const": 1}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"enum": [1, null]}], "definitions": {},
                "dependencies": {"a": ["b"], "c": {"minProperties": 2}}, "if": {}, "then": true, "multipleOf": 0.01}),
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 0, "exclusiveMinimum": true}),
            json!({"type": "string", "example": "x", "nullable": true, "x-own": 5, "default": [], "format": "date"}),
        ] {
            assert_eq!(flaw(&schema), None, "{schema}");
        }
    }

    #[test]
    fn what_is_no_schema_is_named_where_it_stands() {
        for (schema, path) in [
            (json!({"readOnly": 15}), "readOnly"),
            (json!({"type": "objekt"}), "type"),
            (json!({"type": []}), "type"),
            (json!({"type": ["string", "string"]}), "type"),
            (json!({"properties": {"a": {"type": 7}}}), "properties.a.type"),
            (json!({"properties": []}), "properties"),
            (json!({"properties": {"a": "string"}}), "properties.a"),
            (json!({"required": "a"}), "required"),
            (json!({"required": ["a", "a"]}), "required"),
            (json!({"anyOf": []}), "anyOf"),
            (json!({"allOf": [{}, {"minLength": -1}]}), "allOf.1.minLength"),
            (json!({"items": {"maxItems": 1.5}}), "items.maxItems"),
            (json!({"items": [1]}), "items.0"),
            (json!({"multipleOf": 0}), "multipleOf"),
            (json!({"exclusiveMinimum": true}), "exclusiveMinimum"),
            (json!({"enum": "a"}), "enum"),
            (json!({"examples": {"a": 1}}), "examples"),
            (json!({"$defs": {"x": {"not": null}}}), "$defs.x.not"),
            (json!({"dependentRequired": {"a": {}}}), "dependentRequired.a"),
            (json!({"dependencies": {"a": 1}}), "dependencies.a"),
            (json!({"title": 1}), "title"),
        ] {
            assert_eq!(flaw(&schema).as_deref(), Some(path), "{schema}");
        }
    }
}
