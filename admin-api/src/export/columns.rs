//! The lists that can be exported, and the columns of each, as the OpenAPI document describes them.

use serde_json::Value;
use utoipa::openapi::OpenApi;

/// Schemas behind schemas that are followed.
const DEPTH_MAX: usize = 8;

/// The lists, found once when the API is made.
#[derive(Debug)]
pub(crate) struct Lists(Vec<List>);

/// One list.
#[derive(Debug)]
pub(super) struct List {
    /// The segments of its path; none for a parameter.
    path: Vec<Option<String>>,
    /// The fields of its items, the id first.
    pub(super) columns: Vec<String>,
}

impl Lists {
    /// Every `GET` that answers `{data, iterator, …}`.
    pub(crate) fn of(document: &OpenApi) -> Lists {
        let document = serde_json::to_value(document).unwrap_or_default();
        let paths = document["paths"].as_object().into_iter().flatten();
        Lists(paths.filter_map(|(path, item)| list_of(&document, path, item)).collect())
    }

    /// The list at a path.
    pub(super) fn at(&self, path: &str) -> Option<&List> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |(known, given): (&Option<String>, &&str)| known.as_ref().is_none_or(|known| known == given);
        self.0.iter().find(|list| list.path.len() == segments.len() && list.path.iter().zip(&segments).all(fits))
    }
}

fn list_of(document: &Value, path: &str, item: &Value) -> Option<List> {
    let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    let answer = resolved(document, schema)?;
    answer["properties"].get("iterator")?;
    let items = answer["properties"]["data"].get("items")?;
    let mut columns = Vec::new();
    add_columns(document, items, DEPTH_MAX, &mut columns);
    columns.sort_by_key(|column| column != "id");
    let segment = |segment: &str| (!segment.starts_with('{')).then(|| segment.to_owned());
    Some(List { path: path.split('/').map(segment).collect(), columns })
}

/// The properties of a schema, of those that it refers to and of those that it is made of.
fn add_columns(document: &Value, schema: &Value, depth: usize, columns: &mut Vec<String>) {
    let Some(schema) = resolved(document, schema).filter(|_| depth > 0) else { return };
    for part in schema["allOf"].as_array().into_iter().flatten() {
        add_columns(document, part, depth - 1, columns);
    }
    let names = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name);
    columns.extend(names.filter(|name| !columns.contains(name)).cloned().collect::<Vec<_>>());
}

/// The schema itself, or the one that it refers to.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    match schema["$ref"].as_str() {
        Some(name) => document.pointer(name.strip_prefix('#')?),
        None => Some(schema),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        Lists::of(&crate::routes::all().2)
    }

    #[test]
    fn every_list_is_found_with_the_fields_of_its_items() {
        let lists = lists();
        let columns = |path: &str| lists.at(path).map(|list| list.columns.clone()).unwrap_or_default();
        for (path, some) in [
            ("/api/v1/app", ["id", "uid", "name"]),
            ("/api/v1/app/acme/endpoint", ["id", "url", "version"]),
            ("/api/v1/app/acme/msg", ["id", "eventType", "payload"]),
            ("/api/v1/app/acme/attempt/endpoint/hook", ["id", "responseStatusCode", "details"]),
            ("/api/v1/app/acme/attempt/msg/msg_1", ["id", "msgId", "status"]),
            // Both a message and how its delivery stands.
            ("/api/v1/app/acme/endpoint/hook/msg", ["id", "eventType", "statusText"]),
            ("/api/v1/app/acme/endpoint/hook/dead-letter", ["msgId", "reason", "attempts"]),
            ("/api/v1/event-type", ["name", "description", "archived"]),
            ("/api/v1/background-task", ["id", "status", "task"]),
        ] {
            let columns = columns(path);
            assert!(some.iter().all(|name| columns.iter().any(|column| column == name)), "{path}: {columns:?}");
        }
        assert_eq!(columns("/api/v1/app/acme/msg")[0], "id");
    }

    #[test]
    fn what_is_no_list_is_not_found() {
        let lists = lists();
        for path in ["/api/v1/app/acme", "/api/v1/app/acme/usage", "/api/v1/health", "/api/v1/app/acme/msg/", ""] {
            assert!(lists.at(path).is_none(), "{path}");
        }
    }
}
