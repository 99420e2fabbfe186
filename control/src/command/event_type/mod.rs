//! Commands on the catalogue of event types: create, replace, change, archive, expunge.
//!
//! The catalogue has no effect on delivery. A message and a filter may name types that are not in it, and payloads are
//! not checked against schemas.

mod schema;

use self::schema::{Flaw, flaw_of};
use super::once::ALL_APPLICATIONS;
use super::{At, Changed, Command, Reach, Repeatable, Thing, check_quota, fits};
use crate::checks::Checks;
use crate::error::Error;
use crate::limits::{self, Rules};
use crate::patch::Patch;
use crate::snapshot::{Fields, words};
use model::{AppId, EventType, UnixMs};
use serde_json::{Map, Value};
use storage::Txn;
use storage::tables::event_type;

/// Settings; one that is left alone keeps the value that the row has before.
#[derive(Clone, Debug, Default)]
pub struct EventTypeFields {
    /// For people.
    pub description: Option<String>,
    /// It is hidden from lists.
    pub archived: Option<bool>,
    /// It is to be used no more.
    pub deprecated: Option<bool>,
    /// JSON Schemas by version, of draft 7 or 2020-12.
    pub schemas: Patch<Map<String, Value>>,
    /// The flag that it is shown for.
    pub feature_flag: Patch<String>,
    /// The group that it is shown in.
    pub group_name: Patch<String>,
}

/// Creates an event type. One that is archived is created anew.
pub struct CreateEventType {
    /// Its identity.
    pub name: String,
    /// Its settings.
    pub fields: EventTypeFields,
}

/// Replaces an event type, or creates it. Settings that are left alone are cleared.
pub struct PutEventType {
    /// Its identity.
    pub name: String,
    /// Its settings.
    pub fields: EventTypeFields,
}

/// Changes an event type.
pub struct PatchEventType {
    /// Its identity.
    pub name: String,
    /// The fields to change.
    pub fields: EventTypeFields,
}

/// Archives an event type.
pub struct ArchiveEventType {
    /// Its identity.
    pub name: String,
}

/// Removes an event type for good.
pub struct ExpungeEventType {
    /// Its identity.
    pub name: String,
}

impl Thing for EventType {
    const KIND: &'static str = "event-type";

    fn app(&self) -> Option<AppId> {
        None
    }

    fn id(&self) -> String {
        self.name.clone()
    }

    fn fields(&self) -> Fields {
        let EventType {
            name,
            description,
            archived,
            deprecated,
            feature_flag,
            schemas,
            created_at: _,
            updated_at: _,
            group_name,
        } = self;
        Fields::default()
            .with("name", name.clone())
            .with("description", description.clone())
            .with("archived", archived.then_some(true))
            .with("deprecated", deprecated.then_some(true))
            .with("featureFlag", feature_flag.clone())
            .with("schemas", schemas.as_deref().map(words::parsed))
            .with("groupName", group_name.clone())
    }
}

// === impl EventTypeFields ===

impl EventTypeFields {
    fn check(&self, checks: &mut Checks) {
        self.description.iter().for_each(|text| checks.text("description", text, 0, limits::DESCRIPTION_BYTES_MAX));
        checks.name_if_any("featureFlag", self.feature_flag.as_set().map(String::as_str));
        checks.name_if_any("groupName", self.group_name.as_set().map(String::as_str));
        check_schemas(checks, self.schemas.as_set());
    }

    fn apply(self, before: EventType, now: UnixMs) -> EventType {
        EventType {
            description: self.description.unwrap_or(before.description),
            archived: self.archived.unwrap_or(before.archived),
            deprecated: self.deprecated.unwrap_or(before.deprecated),
            schemas: self.schemas.map(|schemas| Value::Object(schemas).to_string()).apply(before.schemas),
            feature_flag: self.feature_flag.apply(before.feature_flag),
            group_name: self.group_name.apply(before.group_name),
            updated_at: now,
            ..before
        }
    }
}

/// One without settings.
fn plain(name: String, created_at: UnixMs) -> EventType {
    EventType {
        name,
        description: String::new(),
        archived: false,
        deprecated: false,
        feature_flag: None,
        schemas: None,
        created_at,
        updated_at: created_at,
        group_name: None,
    }
}

fn check_schemas(checks: &mut Checks, schemas: Option<&Map<String, Value>>) {
    // The first flaw alone: a request has room for a great many.
    let flaw = schemas.into_iter().flatten().find_map(|(version, schema)| match schema.as_object() {
        Some(schema) => flaw_of(schema).map(|flaw| (version, flaw)),
        None => Some((version, Flaw { path: Vec::new(), msg: "must be a JSON object" })),
    });
    if let Some((version, flaw)) = flaw {
        let path: Vec<&str> = ["schemas", version].into_iter().chain(flaw.path.iter().map(String::as_str)).collect();
        checks.wrong(&path, format!("is no JSON Schema: {}", flaw.msg), "value_error.schema");
    }
}

// === impl commands ===

impl Command for CreateEventType {
    const NAME: &'static str = "event-type.create";
    type Thing = EventType;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        checks.name("name", &self.name);
        self.fields.check(checks);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<EventType>, Error> {
        let old = event_type::get(txn, &self.name)?;
        if old.as_ref().is_some_and(|old| !old.archived) {
            return Err(Error::Conflict("an event type of this name exists".into()));
        }
        let new = self.fields.apply(plain(self.name, at.now), at.now);
        save_event_type(txn, old, new, at.rules)
    }
}

impl Repeatable for CreateEventType {
    fn place(&self, _: &Txn<'_>) -> Result<(AppId, String), Error> {
        Ok((ALL_APPLICATIONS, "event-type".to_owned()))
    }

    /// Its name, which the command has, is all that tells it from others.
    fn number(_: &EventType) -> u64 {
        0
    }

    fn again(&self, _: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<EventType>, Error> {
        Ok(event_type::get(txn, &self.name)?.filter(|existing| !existing.archived))
    }
}

impl Command for PutEventType {
    const NAME: &'static str = "event-type.put";
    type Thing = EventType;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        checks.name("name", &self.name);
        self.fields.check(checks);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<EventType>, Error> {
        let old = event_type::get(txn, &self.name)?;
        let created_at = old.as_ref().map_or(at.now, |old| old.created_at);
        let new = self.fields.apply(plain(self.name, created_at), at.now);
        save_event_type(txn, old, new, at.rules)
    }
}

impl Command for PatchEventType {
    const NAME: &'static str = "event-type.patch";
    type Thing = EventType;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        self.fields.check(checks);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<EventType>, Error> {
        let old = existing(txn, &self.name)?;
        let new = self.fields.apply(old.clone(), at.now);
        save_event_type(txn, Some(old), new, at.rules)
    }
}

impl Command for ArchiveEventType {
    const NAME: &'static str = "event-type.archive";
    type Thing = EventType;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<EventType>, Error> {
        let old = existing(txn, &self.name)?;
        let new = EventType { archived: true, updated_at: at.now, ..old.clone() };
        save_event_type(txn, Some(old), new, at.rules)
    }
}

impl Command for ExpungeEventType {
    const NAME: &'static str = "event-type.expunge";
    type Thing = EventType;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn apply(self, _: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<EventType>, Error> {
        let old = existing(txn, &self.name)?;
        event_type::remove(txn, &old.name)?;
        Ok(Changed::Deleted(old))
    }
}

fn existing(txn: &Txn<'_>, name: &str) -> Result<EventType, Error> {
    event_type::get(txn, name)?.ok_or(Error::NotFound("event type"))
}

/// Stores an event type, in place of `old` or a new one if there may be one more.
///
/// # Errors
/// [`Error::Invalid`] for a row that does not fit, [`Error::QuotaExceeded`] for one too many.
fn save_event_type(
    txn: &mut Txn<'_>,
    old: Option<EventType>,
    new: EventType,
    rules: &Rules,
) -> Result<Changed<EventType>, Error> {
    if old.is_none() {
        check_quota("event_types", "event types", event_type::count(txn)?, rules.quotas.event_types)?;
    }
    fits(event_type::put(txn, &new))?;
    Ok(match old {
        Some(old) => Changed::Updated { old, new },
        None => Changed::Created(new),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_must_be_an_object_and_a_name_a_name() {
        let schemas = Patch::Set(Map::from_iter([("1".to_owned(), Value::Array(Vec::new()))]));
        let fields = EventTypeFields { schemas, ..EventTypeFields::default() };
        let (mut checks, rules) = (Checks::default(), Rules::default());
        CreateEventType { name: "a b".to_owned(), fields }.check(&rules, &mut checks);
        let Err(Error::Invalid(wrong)) = checks.finish() else { panic!("nothing was wrong") };
        let fields: Vec<String> = wrong.iter().map(|wrong| wrong.at.join(".")).collect();
        assert_eq!(fields, ["name", "schemas.1"]);
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name_and_clears_what_it_names_empty() {
        let before = EventType { feature_flag: Some("beta".to_owned()), ..plain("a".to_owned(), UnixMs(1)) };
        let fields = EventTypeFields { description: Some("d".to_owned()), ..EventTypeFields::default() };
        let after = fields.apply(before, UnixMs(2));
        assert_eq!((after.description.as_str(), after.feature_flag.as_deref()), ("d", Some("beta")));
        let cleared = EventTypeFields { feature_flag: Patch::Clear, ..EventTypeFields::default() };
        assert_eq!(cleared.apply(after, UnixMs(3)).feature_flag, None);
    }
}
