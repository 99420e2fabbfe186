//! Commands on endpoints: create, replace, change, delete; their secrets and custom headers.
//!
//! A row is read once, and changed as it is by then.

mod failover;
mod fields;
mod headers;
mod imported;
mod secret;
mod signature_format;
mod snapshot;
mod trial;
mod user_info;
mod verification;

#[cfg(test)]
mod tests;

pub use failover::{FailoverFields, SwitchFailover};
pub use fields::EndpointFields;
pub use headers::{Headers, PatchHeaders, PutHeaders, open_headers};
pub use imported::{EndpointSecrets, open_secrets};
pub use secret::{RevealSecret, RotateSecret, SecretText, verification_key};
pub use trial::TryUrl;
pub use verification::VerifyEndpoint;

use self::failover::set_failover;
use self::headers::{check_all, check_names, seal_headers};
use self::secret::{first_secret, read_secret, seal_secret, set_secret};
use self::signature_format::{Set, check_together};
use self::user_info::seal_user_info;
use self::verification::challenge;
use super::job::purge;
use super::{At, Changed, Command, Reach, Repeatable, Thing, check_quota, fits, named};
use crate::checks::Checks;
use crate::error::Error;
use crate::find::{EndpointName, find_endpoint};
use crate::limits::Rules;
use crate::patch::Patch;
use crate::snapshot::Fields;
use model::id::IdKind;
use model::{AppId, Endpoint, EndpointId, EndpointRef, JobKind, PayloadMode};
use storage::Txn;
use storage::tables::{application, counter, deleted_endpoint, endpoint};

/// Creates an endpoint. It gets the messages that are pushed from then on.
pub struct CreateEndpoint {
    /// Its application.
    pub app: AppId,
    /// Its settings, the URL among them.
    pub fields: EndpointFields,
    /// Its signing secret; none to have one made.
    pub secret: Option<SecretText>,
    /// Its custom headers.
    pub headers: Option<Headers>,
}

/// Replaces an endpoint, or creates it under the uid that it is named by. Settings that are left alone are cleared; its
/// secret and headers, and whether it is paused, stay unless they are given.
pub struct PutEndpoint {
    /// Which one.
    pub endpoint: EndpointName,
    /// Its settings, the URL among them.
    pub fields: EndpointFields,
    /// Its signing secret, at once and without overlap.
    pub secret: Option<SecretText>,
    /// Its custom headers: all of them.
    pub headers: Option<Headers>,
}

/// Changes an endpoint.
pub struct PatchEndpoint {
    /// Which one.
    pub endpoint: EndpointName,
    /// The fields to change.
    pub fields: EndpointFields,
    /// A new signing secret, at once and without overlap.
    pub secret: Option<SecretText>,
}

/// Deletes an endpoint: messages that were not delivered to it yet never will be.
pub struct DeleteEndpoint {
    /// Which one.
    pub endpoint: EndpointName,
}

impl Thing for Endpoint {
    const KIND: &'static str = "endpoint";

    fn app(&self) -> Option<AppId> {
        Some(self.app)
    }

    fn id(&self) -> String {
        self.public_id()
    }

    fn fields(&self) -> Fields {
        snapshot::fields(self)
    }
}

// === impl CreateEndpoint ===

impl Command for CreateEndpoint {
    const NAME: &'static str = "endpoint.create";
    type Thing = Endpoint;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.app))
    }

    fn check(&mut self, rules: &Rules, checks: &mut Checks) {
        self.fields.check(rules, checks, true);
        self.headers.iter().for_each(|headers| {
            check_names(checks, headers.keys());
            check_all(checks, headers);
        });
        read_secret(checks, "secret", &mut self.secret);
    }

    fn apply(mut self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
        // Looked up in the transaction, where nothing can race: the application may be gone by now.
        application::get(txn, self.app)?.ok_or(Error::NotFound("application"))?;
        let (count, most) = (endpoint::count(txn, self.app)?, at.rules.quotas.endpoints);
        check_quota("endpoints", "endpoints of an application", count, most)?;
        let target = EndpointRef { app: self.app, endpoint: counter::next_endpoint_id(txn)? };
        let plain = Endpoint { salt: at.draw.salt, ..Endpoint::plain(target, at.now) };
        let failover = std::mem::take(&mut self.fields.failover);
        let mut row = self.fields.apply(plain, at.now)?;
        challenge(at, txn, None, &mut row)?;
        set_failover(txn, None, &mut row, failover)?;
        seal_user_info(at.seals, &mut row, None)?;
        let secret = self.secret.unwrap_or_else(|| first_secret(&row, at.rules.secret_kind, at.draw));
        row.secrets = vec![seal_secret(at.seals, target, &secret)?];
        row.sealed_headers = seal_headers(at.seals, target, &self.headers.unwrap_or_default())?;
        check_together(at.seals, &row, &Set::Format)?;
        save_endpoint(txn, None, row)
    }
}

impl Repeatable for CreateEndpoint {
    fn place(&self, _: &Txn<'_>) -> Result<(AppId, String), Error> {
        Ok((self.app, "endpoint".to_owned()))
    }

    fn number(changed: &Endpoint) -> u64 {
        changed.id.0.into()
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Endpoint>, Error> {
        again(self.app, number, txn)
    }
}

// === impl PutEndpoint ===

impl PutEndpoint {
    /// The command that creates the endpoint that this one would have replaced.
    fn into_create(self) -> Result<CreateEndpoint, Error> {
        let PutEndpoint { endpoint, mut fields, secret, headers } = self;
        fields.uid = named(IdKind::Endpoint, fields.uid, endpoint.text, "endpoint")?;
        Ok(CreateEndpoint { app: endpoint.app, fields, secret, headers })
    }
}

impl Command for PutEndpoint {
    const NAME: &'static str = "endpoint.put";
    type Thing = Endpoint;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn check(&mut self, rules: &Rules, checks: &mut Checks) {
        self.fields.check(rules, checks, true);
        self.headers.iter().for_each(|headers| {
            check_names(checks, headers.keys());
            check_all(checks, headers);
        });
        read_secret(checks, "secret", &mut self.secret);
    }

    fn apply(mut self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
        let Some(old) = find_endpoint(txn, self.endpoint.app, &self.endpoint.text)? else {
            return self.into_create()?.apply(at, txn);
        };
        let whole = Endpoint {
            salt: old.salt,
            active_from: old.active_from,
            disabled: old.disabled,
            paused: old.paused,
            backup_of: old.backup_of.clone(),
            secrets: old.secrets.clone(),
            sealed_headers: old.sealed_headers.clone(),
            verification: old.verification.clone(),
            ..Endpoint::plain(old.target(), old.created_at)
        };
        self.fields.disabled.get_or_insert(false);
        let failover = std::mem::take(&mut self.fields.failover).or(Patch::Clear);
        let mut row = self.fields.apply(whole, at.now)?;
        challenge(at, txn, Some(&old), &mut row)?;
        set_failover(txn, Some(&old), &mut row, failover)?;
        seal_user_info(at.seals, &mut row, Some(&old))?;
        set_secret(at.seals, &mut row, self.secret.as_ref())?;
        if let Some(headers) = self.headers {
            row.sealed_headers = seal_headers(at.seals, row.target(), &headers)?;
        }
        save_together(at, txn, old, row, &Set::Format)
    }
}

// === impl PatchEndpoint ===

impl Command for PatchEndpoint {
    const NAME: &'static str = "endpoint.patch";
    type Thing = Endpoint;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn check(&mut self, rules: &Rules, checks: &mut Checks) {
        self.fields.check(rules, checks, false);
        read_secret(checks, "secret", &mut self.secret);
    }

    fn apply(mut self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
        let old = self.endpoint.find(txn)?;
        // A change that leaves the form alone can only break it by the secret.
        let set = if self.fields.signature_format.as_set().is_some() { Set::Format } else { Set::Secret("secret") };
        let failover = std::mem::take(&mut self.fields.failover);
        let mut row = self.fields.apply(old.clone(), at.now)?;
        challenge(at, txn, Some(&old), &mut row)?;
        set_failover(txn, Some(&old), &mut row, failover)?;
        seal_user_info(at.seals, &mut row, Some(&old))?;
        set_secret(at.seals, &mut row, self.secret.as_ref())?;
        save_together(at, txn, old, row, &set)
    }
}

impl Repeatable for PatchEndpoint {
    fn place(&self, txn: &Txn<'_>) -> Result<(AppId, String), Error> {
        let target = self.endpoint.find(txn)?.target();
        Ok((target.app, format!("patch/{}", target.endpoint.0)))
    }

    fn number(changed: &Endpoint) -> u64 {
        changed.id.0.into()
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Endpoint>, Error> {
        again(self.endpoint.app, number, txn)
    }
}

// === impl DeleteEndpoint ===

impl Command for DeleteEndpoint {
    const NAME: &'static str = "endpoint.delete";
    type Thing = Endpoint;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    /// Leaves a job that removes its rows. Its attempts stay for as long as those of others. With them stay its fields
    /// that the history of its messages shows.
    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
        let old = self.endpoint.find(txn)?;
        deleted_endpoint::keep(txn, &old)?;
        endpoint::remove(txn, &old)?;
        purge(txn, old.target(), JobKind::PurgeEndpoint, at.now)?;
        Ok(Changed::Deleted(old))
    }
}

/// The endpoint that an earlier request with the same idempotency key made or changed.
fn again(app: AppId, number: u64, txn: &Txn<'_>) -> Result<Option<Endpoint>, Error> {
    let Ok(number) = u32::try_from(number) else { return Ok(None) };
    Ok(endpoint::get(txn, EndpointRef { app, endpoint: EndpointId(number) })?)
}

/// Stores a change of an endpoint whose form of signatures must go with its headers and its secret, of which one was set.
///
/// # Errors
/// As [`check_together`] and [`save_endpoint`].
fn save_together(
    at: &At<'_>,
    txn: &mut Txn<'_>,
    old: Endpoint,
    row: Endpoint,
    set: &Set<'_>,
) -> Result<Changed<Endpoint>, Error> {
    check_together(at.seals, &row, set)?;
    save_endpoint(txn, Some(old), row)
}

/// Stores an endpoint, new or in place of `old`, if its uid is free in its application.
///
/// # Errors
/// [`Error::Conflict`] for a uid that is taken, [`Error::Invalid`] for a row that does not fit.
pub(super) fn save_endpoint(
    txn: &mut Txn<'_>,
    old: Option<Endpoint>,
    mut row: Endpoint,
) -> Result<Changed<Endpoint>, Error> {
    if let Some(uid) = &row.uid
        && endpoint::by_uid(txn, row.app, uid)?.is_some_and(|holder| holder != row.id)
    {
        return Err(Error::Conflict("an endpoint with this uid exists".into()));
    }
    if let Some(PayloadMode::Reference { app }) = &mut row.payload_mode
        && app.is_empty()
    {
        *app = application::get(txn, row.app)?.ok_or(Error::NotFound("application"))?.public_id();
    }
    let new = fits(endpoint::put_over(txn, old.as_ref(), row))?;
    Ok(match old {
        Some(old) => Changed::Updated { old, new },
        None => Changed::Created(new),
    })
}
