//! Commands on applications: create, replace, change, delete.
//!
//! The events and histories of a deleted application outlive the command: a job removes them.

use super::job::purge;
use super::once::ALL_APPLICATIONS;
use super::policy::PolicyFields;
use super::{At, Changed, Command, Metadata, Reach, Repeatable, Thing, api_key, fits, metadata_text, named};
use crate::checks::Checks;
use crate::error::Error;
use crate::find::find_application;
use crate::limits::{self, Rules};
use crate::patch::Patch;
use crate::snapshot::{Fields, words};
use model::id::IdKind;
use model::{AppId, Application, EndpointId, EndpointRef, JobKind, UnixMs};
use storage::tables::{application, counter, endpoint};
use storage::{Change, Direction, Txn};

/// Endpoints removed in one step of a deletion.
const ENDPOINTS_PER_STEP: usize = 256;

/// Settings; one that is left alone keeps the value that the row has before.
#[derive(Clone, Debug, Default)]
pub struct ApplicationFields {
    /// For people.
    pub name: Option<String>,
    /// The tenant's own name for it, unique.
    pub uid: Patch<String>,
    /// The owner's notes.
    pub metadata: Option<Metadata>,
    /// Messages per second that are sent to all its endpoints together.
    pub rate_limit: Patch<u32>,
    /// Receivers must prove that they want deliveries.
    pub verification: Patch<bool>,
    /// True if deliveries to its endpoints wait.
    pub paused: Option<bool>,
    /// The settings that its endpoints inherit.
    pub policy: PolicyFields,
    /// Attempts at once over all its endpoints.
    pub max_in_flight: Patch<u32>,
    /// The tier by which its use of the API is limited.
    pub api_tier: Patch<String>,
}

/// Creates an application.
pub struct CreateApplication {
    /// Its settings, the name among them.
    pub fields: ApplicationFields,
    /// An existing application of this uid is the answer, and not a conflict.
    pub or_get: bool,
}

/// Gives the application of a name, and creates it if there is none: for messages that bring their application.
pub struct EnsureApplication {
    /// Its id or uid. A new one has it as its uid.
    pub text: String,
    /// The settings of a new one.
    pub fields: ApplicationFields,
}

/// Replaces an application, or creates it under the uid that it is named by. Settings that are left alone are cleared;
/// but those that a key for one application may not change stay then, where such a key asks.
pub struct PutApplication {
    /// Its id or uid.
    pub text: String,
    /// Its settings, the name among them.
    pub fields: ApplicationFields,
}

/// Changes an application.
pub struct PatchApplication {
    /// Its id or uid.
    pub text: String,
    /// The fields to change.
    pub fields: ApplicationFields,
}

/// Deletes an application with its endpoints and the API keys that were limited to it. Not with one of those keys.
pub struct DeleteApplication {
    /// Its id or uid.
    pub text: String,
}

impl Thing for Application {
    const KIND: &'static str = "application";

    fn app(&self) -> Option<AppId> {
        Some(self.id)
    }

    fn id(&self) -> String {
        self.public_id()
    }

    fn fields(&self) -> Fields {
        let Application {
            id: _,
            salt: _,
            uid,
            name,
            rate_limit,
            metadata,
            created_at: _,
            updated_at: _,
            paused_at,
            policy,
            max_in_flight,
            verification,
            api_tier,
        } = self;
        Fields::default()
            .with("uid", uid.clone())
            .with("name", name.clone())
            .with("throttleRate", *rate_limit)
            .with("metadata", words::parsed(metadata))
            .with("pausedAt", words::time(*paused_at))
            .with("policy", words::policy(policy))
            .with("maxInFlightTotal", *max_in_flight)
            .with("verification", verification.then_some("challenge"))
            .with("apiTier", api_tier.clone())
    }
}

// === impl ApplicationFields ===

impl ApplicationFields {
    fn check(&self, rules: &Rules, checks: &mut Checks) {
        if let Some(tier) = self.api_tier.as_set().filter(|tier| !rules.tiers.has(tier)) {
            let names = rules.tiers.iter().map(|tier| tier.name.as_str()).collect::<Vec<_>>().join(", ");
            checks.wrong(&["apiTier"], format!("there is no tier `{tier}`, only: {names}"), "value_error.unknown");
        }
        self.name.iter().for_each(|name| checks.text("name", name, 1, limits::LABEL_BYTES_MAX));
        checks.path_name_if_any("uid", IdKind::Application, self.uid.as_set().map(String::as_str));
        self.metadata.iter().for_each(|metadata| checks.metadata(metadata));
        self.rate_limit.as_set().iter().for_each(|rate| checks.within("throttleRate", **rate, &(1..=limits::RATE_MAX)));
        self.policy.check(checks);
        let total = self.max_in_flight.as_set();
        total.iter().for_each(|n| checks.within("maxInFlightTotal", **n, &limits::MAX_IN_FLIGHT_TOTAL));
    }

    fn apply(self, before: Application, now: UnixMs) -> Result<Application, Error> {
        let metadata = self.metadata.as_ref().map(metadata_text).transpose()?;
        Ok(Application {
            name: self.name.unwrap_or(before.name),
            uid: self.uid.apply(before.uid),
            metadata: metadata.unwrap_or(before.metadata),
            rate_limit: self.rate_limit.apply(before.rate_limit),
            verification: self.verification.apply(Some(before.verification)).unwrap_or_default(),
            paused_at: self.paused.unwrap_or(before.paused_at.is_some()).then(|| before.paused_at.unwrap_or(now)),
            policy: self.policy.apply(before.policy),
            max_in_flight: self.max_in_flight.apply(before.max_in_flight),
            api_tier: self.api_tier.apply(before.api_tier),
            updated_at: now,
            ..before
        })
    }

    fn insert(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Application>, Error> {
        let row = self.apply(plain(counter::next_app_id(txn)?, at.draw.salt, at.now), at.now)?;
        save_application(txn, None, row)
    }

    /// A new application, whose uid is the text that its caller named it by.
    fn insert_named(mut self, text: String, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Application>, Error> {
        self.uid = named(IdKind::Application, self.uid, text, "application")?;
        self.insert(at, txn)
    }
}

/// One without settings.
fn plain(id: AppId, salt: u64, created_at: UnixMs) -> Application {
    Application { salt, ..Application::plain(id, created_at) }
}

// === impl commands ===

impl Command for CreateApplication {
    const NAME: &'static str = "application.create";
    type Thing = Application;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn check(&mut self, rules: &Rules, checks: &mut Checks) {
        self.fields.check(rules, checks);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Application>, Error> {
        if self.or_get
            && let Some(uid) = self.fields.uid.as_set()
            && let Some(id) = application::by_uid(txn, uid)?
            && let Some(existing) = application::get(txn, id)?
        {
            return Ok(Changed::Nothing(existing));
        }
        self.fields.insert(at, txn)
    }
}

impl Repeatable for CreateApplication {
    fn place(&self, _: &Txn<'_>) -> Result<(AppId, String), Error> {
        Ok((ALL_APPLICATIONS, "application".to_owned()))
    }

    fn number(changed: &Application) -> u64 {
        changed.id.0.into()
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Application>, Error> {
        let Ok(number) = u32::try_from(number) else { return Ok(None) };
        Ok(application::get(txn, AppId(number))?)
    }
}

impl Command for EnsureApplication {
    const NAME: &'static str = "application.ensure";
    type Thing = Application;

    fn reach(&self) -> Option<Reach> {
        None
    }

    fn check(&mut self, rules: &Rules, checks: &mut Checks) {
        self.fields.check(rules, checks);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Application>, Error> {
        check_may_create(at.by)?;
        if let Some(existing) = find_application(txn, &self.text)? {
            return Ok(Changed::Nothing(existing));
        }
        self.fields.insert_named(self.text, at, txn)
    }
}

impl Command for PutApplication {
    const NAME: &'static str = "application.put";
    type Thing = Application;

    fn reach(&self) -> Option<Reach> {
        None
    }

    fn check(&mut self, rules: &Rules, checks: &mut Checks) {
        self.fields.check(rules, checks);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Application>, Error> {
        let Some(old) = find_application(txn, &self.text)? else {
            check_may_create(at.by)?;
            return self.fields.insert_named(self.text, at, txn);
        };
        let mut whole = plain(old.id, old.salt, old.created_at);
        whole.paused_at = old.paused_at;
        if at.by != Reach::Everything {
            (whole.uid, whole.rate_limit) = (old.uid.clone(), old.rate_limit);
            whole.max_in_flight = old.max_in_flight;
            whole.verification = old.verification;
            whole.api_tier = old.api_tier.clone();
        }
        let row = self.fields.apply(whole, at.now)?;
        check_reach(at.by, &old, &row)?;
        save_application(txn, Some(old), row)
    }
}

impl Command for PatchApplication {
    const NAME: &'static str = "application.patch";
    type Thing = Application;

    fn reach(&self) -> Option<Reach> {
        None
    }

    fn check(&mut self, rules: &Rules, checks: &mut Checks) {
        self.fields.check(rules, checks);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Application>, Error> {
        let old = find_application(txn, &self.text)?.ok_or(Error::NotFound("application"))?;
        let row = self.fields.apply(old.clone(), at.now)?;
        check_reach(at.by, &old, &row)?;
        save_application(txn, Some(old), row)
    }
}

impl Command for DeleteApplication {
    const NAME: &'static str = "application.delete";
    type Thing = Application;

    fn reach(&self) -> Option<Reach> {
        None
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Application>, Error> {
        let found = find_application(txn, &self.text)?.filter(|found| at.by.reaches(found.id));
        let old = found.ok_or(Error::NotFound("application"))?;
        if at.by != Reach::Everything {
            return Err(Error::Forbidden("a key for one application may not delete it"));
        }
        let mut after = None;
        loop {
            let rows = endpoint::list(txn, old.id, after, ENDPOINTS_PER_STEP, Direction::Forward)?;
            after = rows.last().map(|row| row.id);
            for row in &rows {
                endpoint::remove(txn, row)?;
            }
            if rows.len() < ENDPOINTS_PER_STEP {
                break;
            }
        }
        application::remove(txn, &old)?;
        api_key::revoke_all_of(txn, old.id, at.now)?;
        txn.tell(Change::ApplicationDeleted(old.id));
        let target = EndpointRef { app: old.id, endpoint: EndpointId(0) };
        purge(txn, target, JobKind::PurgeApplication, at.now)?;
        Ok(Changed::Deleted(old))
    }
}

/// A key for one application may change neither the name that others call it by nor its rate: the operator sets these.
/// Checked before anything that depends on other applications is looked at.
fn check_reach(by: Reach, old: &Application, new: &Application) -> Result<(), Error> {
    if !by.reaches(old.id) {
        return Err(Error::NotFound("application"));
    }
    if matches!(by, Reach::Application(_)) {
        if old.uid != new.uid {
            return Err(Error::Forbidden("a key for one application may not change its uid"));
        }
        if old.rate_limit != new.rate_limit {
            return Err(Error::Forbidden("a key for one application may not change its rateLimit or throttleRate"));
        }
        if old.max_in_flight != new.max_in_flight {
            return Err(Error::Forbidden("a key for one application may not change its maxInFlightTotal"));
        }
        if old.verification != new.verification {
            return Err(Error::Forbidden("a key for one application may not change its verification"));
        }
        if old.api_tier != new.api_tier {
            return Err(Error::Forbidden("a key for one application may not change its apiTier"));
        }
    }
    Ok(())
}

/// Refuses a key for one application where there is none of that name: it makes no new ones.
fn check_may_create(by: Reach) -> Result<(), Error> {
    if by == Reach::Everything { Ok(()) } else { Err(Error::NotFound("application")) }
}

/// Stores an application, new or in place of `old`, if its uid is free.
///
/// # Errors
/// [`Error::Conflict`] for a uid that is taken, [`Error::Invalid`] for a row that does not fit.
pub(super) fn save_application(
    txn: &mut Txn<'_>,
    old: Option<Application>,
    new: Application,
) -> Result<Changed<Application>, Error> {
    if let Some(uid) = &new.uid
        && application::by_uid(txn, uid)?.is_some_and(|holder| holder != new.id)
    {
        return Err(Error::Conflict("an application with this uid exists".into()));
    }
    fits(application::put(txn, &new))?;
    Ok(match old {
        Some(old) => Changed::Updated { old, new },
        None => Changed::Created(new),
    })
}
