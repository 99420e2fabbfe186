//! The configuration as a document: what an export writes and an import reads. Event types as Svix has them; applications
//! with their policies and endpoints are Pinion's own.
//!
//! An exported application or endpoint has the fields that creating it takes, and its id. What it shows beside them is left
//! out: [`APPLICATION_FIELDS`] and [`ENDPOINT_FIELDS`] name those that stay, and a test holds them to the request bodies.

use crate::dto::application::{ApplicationIn, ApplicationOut};
use crate::dto::endpoint::{EndpointIn, EndpointOut};
use crate::dto::event_type::{EventTypeIn, EventTypeOut};
use crate::dto::timestamp::Timestamp;
use crate::error::{ApiError, ErrorBody};
use crate::json::from_body;
use control::Checks;
use control::command::application::PutApplication;
use control::command::endpoint::PutEndpoint;
use control::command::event_type::PutEventType;
use control::find::EndpointName;
use control::import::{ExportedName, Imported, Outcome, Planned, STEPS_MAX, Step};
use model::{AppId, Application, Endpoint, EventType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// The version of the document.
pub(crate) const VERSION: u32 = 1;

/// Fields of an application that are exported.
const APPLICATION_FIELDS: [&str; 10] = [
    "id",
    "name",
    "uid",
    "metadata",
    "throttleRate",
    "paused",
    "policy",
    "maxInFlightTotal",
    "verification",
    "apiTier",
];

/// Fields of an endpoint that are exported.
const ENDPOINT_FIELDS: [&str; 24] = [
    "id",
    "url",
    "version",
    "description",
    "uid",
    "disabled",
    "eventTypes",
    "channels",
    "metadata",
    "throttleRate",
    "timeoutMs",
    "maxInFlight",
    "caPem",
    "retryPolicy",
    "onClientError",
    "order",
    "onGiveUp",
    "paused",
    "signatureFormat",
    "payloadMode",
    "disableAfterFailedDeliveries",
    "deadLetterRetentionDays",
    "burst",
    "filter",
];

/// The part of the configuration that is to be exported.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EnvironmentExportIn {
    /// Only these applications, by id or uid. Default: all.
    #[schema(max_items = 1000)]
    pub(crate) applications: Option<Vec<String>>,
    /// An X25519 public key in base64: signing secrets, custom headers, and user names and passwords of URLs are sealed for
    /// whoever has its private key. Without it they are left out.
    pub(crate) public_key: Option<String>,
}

/// The configuration.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvironmentOut {
    version: u32,
    created_at: Timestamp,
    event_types: Vec<EventTypeOut>,
    /// Null: Pinion has none.
    #[schema(value_type = Option<Object>)]
    settings: Option<Value>,
    /// Empty: Pinion has none.
    #[schema(value_type = Vec<Object>)]
    transformation_templates: Vec<Value>,
    /// Each with the fields that creating it takes, its `id`, and `endpoints` of the same form; `sealed` of an endpoint has its
    /// secrets.
    #[schema(value_type = Vec<Object>)]
    pub(crate) applications: Vec<Value>,
}

impl EnvironmentOut {
    /// One with nothing in it yet.
    pub(crate) fn new(created_at: Timestamp) -> EnvironmentOut {
        let (event_types, transformation_templates, applications) = (Vec::new(), Vec::new(), Vec::new());
        EnvironmentOut {
            version: VERSION,
            created_at,
            event_types,
            settings: None,
            transformation_templates,
            applications,
        }
    }

    /// Adds an event type; answers about how many bytes that was.
    pub(crate) fn add_event_type(&mut self, row: &EventType) -> usize {
        self.event_types.push(EventTypeOut::of(row, true));
        row.schemas.as_ref().map_or(0, String::len) + row.description.len() + row.name.len() + 300
    }

    /// Adds an application; answers how many bytes that was.
    pub(crate) fn add_application(&mut self, row: &Application) -> Result<usize, ApiError> {
        let mut shown = kept(&ApplicationOut::from(row), &APPLICATION_FIELDS)?;
        shown.insert("endpoints".to_owned(), json!([]));
        let bytes = Value::Object(shown.clone()).to_string().len();
        self.applications.push(Value::Object(shown));
        Ok(bytes)
    }

    /// Adds an endpoint to the last application; answers how many bytes that was.
    pub(crate) fn add_endpoint(
        &mut self,
        row: &Endpoint,
        backup: Option<&str>,
        sealed: Option<String>,
    ) -> Result<usize, ApiError> {
        let out = EndpointOut::from(row);
        let mut shown = kept(&out, &ENDPOINT_FIELDS)?;
        // Shown with their defaults where nobody has set them. Given, they would be set.
        for (field, is_set) in [("version", row.version.is_some()), ("payloadMode", row.payload_mode.is_some())] {
            if !is_set {
                shown.remove(field);
            }
        }
        if let (Some(backup), Ok(Value::Object(mut failover))) = (backup, serde_json::to_value(&out.failover)) {
            failover.insert("backupEndpointId".to_owned(), backup.into());
            shown.insert("failover".to_owned(), Value::Object(failover));
        }
        shown.extend(sealed.map(|sealed| ("sealed".to_owned(), sealed.into())));
        let shown = Value::Object(shown);
        let bytes = shown.to_string().len();
        let endpoints = self.applications.last_mut().and_then(|app| app["endpoints"].as_array_mut());
        endpoints.ok_or(ApiError::Internal)?.push(shown);
        Ok(bytes)
    }
}

/// The fields of a thing that are exported, without those that are null.
fn kept(shown: &impl Serialize, fields: &[&str]) -> Result<Map<String, Value>, ApiError> {
    let Ok(Value::Object(mut all)) = serde_json::to_value(shown) else { return Err(ApiError::Internal) };
    let fields = fields.iter().filter_map(|field| all.remove_entry(*field));
    Ok(fields.filter(|(_, value)| !value.is_null()).collect())
}

/// A configuration to put in place. Nothing is deleted. What an export has beside it is not looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EnvironmentIn {
    /// The version of the document: 1.
    version: Option<u32>,
    /// When it was exported.
    #[schema(value_type = Option<String>)]
    #[serde(rename = "createdAt")]
    _created_at: Option<String>,
    /// As `POST /event-type` takes them.
    #[schema(value_type = Option<Vec<Object>>)]
    event_types: Option<Vec<Map<String, Value>>>,
    /// Only null: Pinion has none.
    #[schema(value_type = Option<Object>)]
    settings: Option<Value>,
    /// Only none: Pinion has none.
    #[schema(value_type = Option<Vec<Object>>)]
    connectors: Option<Vec<Value>>,
    /// Only none: Pinion has none.
    #[schema(value_type = Option<Vec<Object>>)]
    transformation_templates: Option<Vec<Value>>,
    /// As `POST /app` takes them, with their `id` and their `endpoints`: as `POST …/endpoint` takes them, with their `id`.
    #[schema(value_type = Option<Vec<Object>>)]
    applications: Option<Vec<Map<String, Value>>>,
}

/// The results of an import, or of a dry run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvironmentImportOut {
    /// Nothing was changed: it is what would be done.
    pub(crate) dry_run: bool,
    created: usize,
    updated: usize,
    unchanged: usize,
    refused: usize,
    /// One for each thing that is not unchanged, in order: event types, then each application with its endpoints.
    data: Vec<ImportedOut>,
}

/// The result of one thing of an import.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImportedOut {
    /// `event-type`, `application` or `endpoint`.
    kind: &'static str,
    /// Its uid, id or name in the document.
    name: String,
    /// `created`, `updated` or `refused`.
    outcome: &'static str,
    /// Its id here; an event type's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The document has no signing secret of this endpoint, so a new one was made: its receiver must be told.
    new_secret: bool,
    /// Why it was refused: the body that a request of its own would have been answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

/// A thing of the document: for the answer.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    kind: &'static str,
    name: String,
}

/// The things of a document in order: each a step, or why it cannot be read.
pub(crate) type Things = Vec<(Named, Result<Planned, ApiError>)>;

impl EnvironmentIn {
    /// The things of the document.
    ///
    /// # Errors
    /// 422 for parts that Pinion does not have, and for too many things.
    pub(crate) fn into_things(self) -> Result<Things, ApiError> {
        let refuse = |field, msg: &str| Err(ApiError::invalid(["body", field], msg, "value_error.unsupported"));
        if self.version.is_some_and(|version| version != VERSION) {
            return refuse("version", "is not 1");
        }
        if self.settings.is_some_and(|settings| !settings.is_null() && settings != json!({})) {
            return refuse("settings", "Pinion has no settings of an environment");
        }
        for (field, items) in
            [("connectors", self.connectors), ("transformationTemplates", self.transformation_templates)]
        {
            if items.is_some_and(|items| !items.is_empty()) {
                return refuse(field, "Pinion has none");
            }
        }
        let mut things = Things::new();
        for item in self.event_types.unwrap_or_default() {
            let name = item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            things.push((Named { kind: "event-type", name }, event_type(item)));
        }
        for mut app in self.applications.unwrap_or_default() {
            let endpoints = app.remove("endpoints").unwrap_or_default();
            let app_name = exported_name(&mut app);
            things.push((named("application", &app_name), application(app, app_name.clone())));
            let endpoints = match endpoints {
                Value::Null => Vec::new(),
                Value::Array(endpoints) => endpoints,
                other => vec![other],
            };
            for endpoint in endpoints {
                let Value::Object(mut fields) = endpoint else {
                    let error = ApiError::invalid(["body", "endpoints"], "must be a list of objects", "type_error");
                    things.push((named("endpoint", &ExportedName::default()), Err(error)));
                    continue;
                };
                let name = exported_name(&mut fields);
                things.push((named("endpoint", &name), read_endpoint(fields, app_name.clone(), name)));
            }
        }
        if things.len() > STEPS_MAX {
            let msg =
                format!("has more than {STEPS_MAX} event types, applications and endpoints: import them in parts");
            return Err(ApiError::invalid(["body"], msg, "value_error.list.length"));
        }
        Ok(things)
    }
}

/// The names that a thing was exported with; its id goes, as a request has none.
fn exported_name(fields: &mut Map<String, Value>) -> ExportedName {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    ExportedName { id: fields.remove("id").as_ref().and_then(text), uid: fields.get("uid").and_then(text) }
}

fn named(kind: &'static str, name: &ExportedName) -> Named {
    Named { kind, name: name.uid.clone().or_else(|| name.id.clone()).unwrap_or_default() }
}

fn read<T: serde::de::DeserializeOwned>(fields: Map<String, Value>) -> Result<T, ApiError> {
    from_body(Value::Object(fields).to_string().as_bytes())
}

fn event_type(mut fields: Map<String, Value>) -> Result<Planned, ApiError> {
    for shown in ["createdAt", "updatedAt"] {
        fields.remove(shown);
    }
    let mut checks = Checks::default();
    let create = read::<EventTypeIn>(fields)?.into_command(&mut checks);
    let step = Step::EventType(PutEventType { name: create.name, fields: create.fields });
    Ok(Planned { step, checks })
}

fn application(fields: Map<String, Value>, name: ExportedName) -> Result<Planned, ApiError> {
    let mut checks = Checks::default();
    let fields = read::<ApplicationIn>(fields)?.into_fields(&mut checks);
    Ok(Planned { step: Step::Application(name, PutApplication { text: String::new(), fields }), checks })
}

fn read_endpoint(fields: Map<String, Value>, app: ExportedName, name: ExportedName) -> Result<Planned, ApiError> {
    if fields.contains_key("sealed") {
        let msg = "is opened by `pinion import`, with the private key";
        return Err(ApiError::invalid(["body", "sealed"], msg, "value_error.unsupported"));
    }
    let mut checks = Checks::default();
    let (fields, secret, headers) = read::<EndpointIn>(fields)?.into_parts(&mut checks);
    let endpoint = EndpointName { app: AppId(0), text: String::new() };
    let put = PutEndpoint { endpoint, fields, secret, headers };
    Ok(Planned { step: Step::Endpoint(app, name, Box::new(put)), checks })
}

impl EnvironmentImportOut {
    /// Of the things of a document, with what became of each.
    pub(crate) fn of(dry_run: bool, results: Vec<(Named, Result<Imported, ApiError>)>) -> EnvironmentImportOut {
        let mut out =
            EnvironmentImportOut { dry_run, created: 0, updated: 0, unchanged: 0, refused: 0, data: Vec::new() };
        for (Named { kind, name }, result) in results {
            let (outcome, count) = match &result {
                Ok(Imported { outcome: Outcome::Created, .. }) => ("created", &mut out.created),
                Ok(Imported { outcome: Outcome::Updated, .. }) => ("updated", &mut out.updated),
                Ok(Imported { outcome: Outcome::Unchanged, .. }) => ("unchanged", &mut out.unchanged),
                Err(_) => ("refused", &mut out.refused),
            };
            *count += 1;
            let (id, new_secret, error) = match result {
                Ok(Imported { outcome: Outcome::Unchanged, .. }) => continue,
                Ok(done) => (Some(done.id).filter(|_| !dry_run), done.made_secret, None),
                Err(error) => (None, false, Some(error.body())),
            };
            out.data.push(ImportedOut { kind, name, outcome, id, new_secret, error });
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use utoipa::PartialSchema;

    /// The names of the fields of a request body.
    fn fields_of<T: PartialSchema>() -> BTreeSet<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    }

    fn names(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_field_that_can_be_given_is_exported_under_one_name() {
        // Under two names, sealed, or put in by itself.
        let elsewhere = names(&["filterTypes", "rateLimit", "secret", "headers", "failover"]);
        let given: BTreeSet<String> = fields_of::<EndpointIn>().difference(&elsewhere).cloned().collect();
        assert_eq!(&given | &names(&["id"]), names(&ENDPOINT_FIELDS));
        let given: BTreeSet<String> = fields_of::<ApplicationIn>().difference(&elsewhere).cloned().collect();
        assert_eq!(&given | &names(&["id"]), names(&APPLICATION_FIELDS));
    }

    #[test]
    fn a_document_is_read_thing_by_thing_in_its_order() {
        let document = json!({
            "version": 1, "createdAt": "2026-11-29T00:00:00.000Z", "settings": null, "transformationTemplates": [],
            "eventTypes": [{"name": "a", "description": "", "createdAt": "x", "updatedAt": "y"}],
            "applications": [{"id": "app_1", "name": "A", "endpoints": [{"id": "ep_1", "url": "http://a/"}, {"url": 7}, 5]}],
        });
        let things = serde_json::from_value::<EnvironmentIn>(document).unwrap().into_things().unwrap();
        let read: Vec<_> = things.iter().map(|(named, step)| (named.kind, named.name.as_str(), step.is_ok())).collect();
        let expected = [
            ("event-type", "a", true),
            ("application", "app_1", true),
            ("endpoint", "ep_1", true),
            ("endpoint", "", false),
            ("endpoint", "", false),
        ];
        assert_eq!(read, expected);
        let many = vec![json!({"name": "a", "description": ""}); STEPS_MAX + 1];
        let many: EnvironmentIn = serde_json::from_value(json!({"eventTypes": many})).unwrap();
        assert!(many.into_things().is_err());
    }
}
