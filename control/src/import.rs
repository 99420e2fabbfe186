//! Import of configuration: event types, applications and endpoints as an export has them, put in place one by one.
//!
//! A thing is found by its uid (an event type by its name); without one by its id, which the server that it was exported
//! from knows; and else by a uid that is made of that id, `from-app_…`, under which it is created. So an import that is made
//! again finds what it made and changes nothing. Nothing is ever deleted.
//!
//! Each thing goes by the command that a request of its own would be, with its checks, its quota and its record in the audit
//! log. [`Control::import`](crate::Control::import) carries steps out in commits of a hundred;
//! [`Control::rehearse`](crate::Control::rehearse) carries them all out in a transaction that is dropped.
//! *When the process dies here:* the commits so far are there, and the import is made again.

use crate::audit::recorded;
use crate::caller::Caller;
use crate::checks::Checks;
use crate::command::application::PutApplication;
use crate::command::endpoint::PutEndpoint;
use crate::command::event_type::PutEventType;
use crate::command::{At, Changed, Command, Thing};
use crate::error::Error;
use crate::find::{find_application, find_endpoint};
use crate::limits::Rules;
use crate::patch::Patch;
use crate::reach::Reach;
use crate::snapshot::Fields;
use model::{AppId, Application, Endpoint, hex};
use storage::Txn;

/// Notes in the audit log that secrets were exported, sealed for the holder of a key.
pub struct NoteExport {
    /// The public key that they are sealed for.
    pub recipient: [u8; 32],
}

/// The whole configuration with its secrets, as somebody took it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretsTaken {
    recipient: [u8; 32],
}

impl Thing for SecretsTaken {
    const KIND: &'static str = "environment";

    fn app(&self) -> Option<AppId> {
        None
    }

    /// The public key, so that the log says who can read them.
    fn id(&self) -> String {
        hex(&self.recipient)
    }

    fn fields(&self) -> Fields {
        Fields::default()
    }
}

impl Command for NoteExport {
    const NAME: &'static str = "environment.export-secrets";
    type Thing = SecretsTaken;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn apply(self, _: &At<'_>, _: &mut Txn<'_>) -> Result<Changed<SecretsTaken>, Error> {
        Ok(Changed::Seen(SecretsTaken { recipient: self.recipient }))
    }
}

/// Things that one import may have.
pub const STEPS_MAX: usize = 10_000;

/// Steps of one commit.
pub(crate) const STEPS_PER_COMMIT: usize = 100;

/// The name of an application or endpoint in an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportedName {
    /// Its id on the server that it was exported from.
    pub id: Option<String>,
    /// Its uid.
    pub uid: Option<String>,
}

/// One thing to put in place. The commands need not name their thing: it is looked for by its exported name.
pub enum Step {
    /// An event type.
    EventType(PutEventType),
    /// An application.
    Application(ExportedName, PutApplication),
    /// An endpoint of an application that is there, or was put in place before.
    Endpoint(ExportedName, ExportedName, Box<PutEndpoint>),
}

/// A step, with the faults that were found while it was read.
pub struct Planned {
    /// The step.
    pub step: Step,
    /// The faults.
    pub checks: Checks,
}

/// The end of a thing of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Created,
    /// It was there, and is another by now.
    Updated,
    /// It was there as it is to be.
    Unchanged,
}

/// A thing that was put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its end.
    pub outcome: Outcome,
    /// Its id here; an event type's name.
    pub id: String,
    /// It is an endpoint that came without a signing secret, and has a new one.
    pub made_secret: bool,
}

impl Planned {
    /// The step, if there is nothing wrong with it that can be known without the store.
    pub(crate) fn checked(mut self, rules: &Rules) -> Result<Step, Error> {
        match &mut self.step {
            Step::EventType(put) => put.check(rules, &mut self.checks),
            Step::Application(_, put) => put.check(rules, &mut self.checks),
            Step::Endpoint(_, _, put) => put.check(rules, &mut self.checks),
        }
        self.checks.finish()?;
        Ok(self.step)
    }
}

impl Step {
    /// Puts the thing in place.
    pub(crate) fn apply(self, by: &Caller, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Imported, Error> {
        match self {
            Step::EventType(put) => carry_out(put, by, at, txn).map(|(outcome, thing)| imported(outcome, &thing)),
            Step::Application(name, mut put) => {
                put.text = match found_application(txn, &name)? {
                    Some(text) => text,
                    None => name.new_uid()?,
                };
                put.fields.uid = name.kept_uid(&put.text);
                carry_out(put, by, at, txn).map(|(outcome, thing)| imported(outcome, &thing))
            }
            Step::Endpoint(app, name, put) => {
                let app = application(txn, &app)?;
                endpoint(app, name, *put, (by, at), txn)
            }
        }
    }
}

fn imported(outcome: Outcome, thing: &impl Thing) -> Imported {
    Imported { outcome, id: thing.id(), made_secret: false }
}

fn endpoint(
    app: Application,
    name: ExportedName,
    mut put: PutEndpoint,
    (by, at): (&Caller, &At<'_>),
    txn: &mut Txn<'_>,
) -> Result<Imported, Error> {
    put.endpoint.app = app.id;
    put.endpoint.text = match found_endpoint(txn, &app, &name)? {
        Some(text) => text,
        None => name.new_uid()?,
    };
    put.fields.uid = name.kept_uid(&put.endpoint.text);
    if let Patch::Set(failover) = &mut put.fields.failover
        && find_endpoint(txn, app.id, &failover.backup)?.is_none()
    {
        failover.backup = derived_uid(&failover.backup);
    }
    if let Some(old) = find_endpoint(txn, app.id, &put.endpoint.text)? {
        put.leave_out_what_is_there(at.seals, &old)?;
    }
    let brings_secret = put.secret.is_some();
    let (outcome, thing): (Outcome, Endpoint) = carry_out(put, by, at, txn)?;
    let made_secret = outcome == Outcome::Created && !brings_secret;
    Ok(Imported { made_secret, ..imported(outcome, &thing) })
}

/// Carries a command out in a transaction of its own, which is dropped when it would leave the thing as it was.
fn carry_out<C: Command>(
    command: C,
    by: &Caller,
    at: &At<'_>,
    txn: &mut Txn<'_>,
) -> Result<(Outcome, C::Thing), Error> {
    let mut own = txn.nested();
    let changed = recorded(command, by, at, &mut own, |command, at, txn| command.apply(at, txn))?;
    let outcome = match &changed {
        Changed::Created(_) => Outcome::Created,
        Changed::Updated { old, new } if old.fields() != new.fields() => Outcome::Updated,
        _ => Outcome::Unchanged,
    };
    let collected = own.into_parts();
    if outcome != Outcome::Unchanged {
        txn.merge(collected);
    }
    Ok((outcome, changed.into_thing()))
}

fn application(txn: &Txn<'_>, name: &ExportedName) -> Result<Application, Error> {
    let text = found_application(txn, name)?.ok_or(Error::NotFound("application"))?;
    find_application(txn, &text)?.ok_or(Error::NotFound("application"))
}

fn found_application(txn: &Txn<'_>, name: &ExportedName) -> Result<Option<String>, Error> {
    name.find(|text| Ok(find_application(txn, text)?.is_some()))
}

fn found_endpoint(txn: &Txn<'_>, app: &Application, name: &ExportedName) -> Result<Option<String>, Error> {
    name.find(|text| Ok(find_endpoint(txn, app.id, text)?.is_some()))
}

impl ExportedName {
    /// The text that finds the thing here, if there is one.
    fn find(&self, is_there: impl Fn(&str) -> Result<bool, Error>) -> Result<Option<String>, Error> {
        let texts = match (&self.uid, &self.id) {
            (Some(uid), _) => vec![uid.clone()],
            (None, Some(id)) => vec![id.clone(), derived_uid(id)],
            (None, None) => Vec::new(),
        };
        for text in texts {
            if is_there(&text)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The uid of a new thing.
    fn new_uid(&self) -> Result<String, Error> {
        let derived = || self.id.as_deref().map(derived_uid);
        let none = || Error::invalid(&["uid"], "must be given, or the id of the export", "value_error.missing");
        self.uid.clone().or_else(derived).ok_or_else(none)
    }

    /// The uid that a thing has here which `text` finds: none for one that was found by its id and had none.
    fn kept_uid(&self, text: &str) -> Patch<String> {
        match &self.uid {
            Some(uid) => Patch::Set(uid.clone()),
            None if self.id.as_deref() == Some(text) => Patch::Clear,
            None => Patch::Set(text.to_owned()),
        }
    }
}

/// The uid under which a thing is created that had none where it was exported. It looks like no id.
fn derived_uid(id: &str) -> String {
    format!("from-{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: Option<&str>, uid: Option<&str>) -> ExportedName {
        ExportedName { id: id.map(str::to_owned), uid: uid.map(str::to_owned) }
    }

    fn found(name: &ExportedName, there: &[&str]) -> Option<String> {
        name.find(|text| Ok(there.contains(&text))).unwrap()
    }

    #[test]
    fn a_thing_is_found_by_its_uid_or_else_by_its_id_or_the_uid_that_is_made_of_it() {
        let both = name(Some("app_1"), Some("acme"));
        assert_eq!(found(&both, &["acme", "app_1"]).as_deref(), Some("acme"));
        assert_eq!(found(&both, &["app_1"]), None, "another uid is another thing");
        let only_id = name(Some("app_1"), None);
        assert_eq!(found(&only_id, &["app_1", "from-app_1"]).as_deref(), Some("app_1"));
        assert_eq!(found(&only_id, &["from-app_1"]).as_deref(), Some("from-app_1"));
        assert_eq!(found(&name(None, None), &["app_1"]), None);
    }

    #[test]
    fn a_thing_keeps_its_uid_and_one_without_gets_one_elsewhere_only() {
        assert_eq!(name(Some("app_1"), Some("acme")).kept_uid("acme"), Patch::Set("acme".to_owned()));
        let only_id = name(Some("app_1"), None);
        assert_eq!(only_id.kept_uid("app_1"), Patch::Clear);
        assert_eq!(only_id.kept_uid("from-app_1"), Patch::Set("from-app_1".to_owned()));
        assert_eq!(only_id.new_uid().unwrap(), "from-app_1");
        assert!(name(None, None).new_uid().is_err());
    }
}
