//! Pause and resume, of an endpoint and of an application: what is for it waits on disk meanwhile, and nothing is lost.
//!
//! Each may be asked for twice: the second time changes nothing. A key for one application may pause and resume it.

use super::application::save_application;
use super::endpoint::save_endpoint;
use super::{At, Changed, Command, Reach, Repeatable};
use crate::error::Error;
use crate::find::EndpointName;
use model::{AppId, Application, Endpoint, EndpointId, EndpointRef, Paused, PausedReason, UnixMs};
use storage::Txn;
use storage::tables::{application, endpoint};

/// Pauses an endpoint. An attempt in flight goes on.
pub struct PauseEndpoint {
    /// Which one.
    pub endpoint: EndpointName,
}

/// Sends to an endpoint again, whoever paused it.
pub struct ResumeEndpoint {
    /// Which one.
    pub endpoint: EndpointName,
}

/// Pauses an application with all its endpoints.
pub struct PauseApplication {
    /// Which one.
    pub app: AppId,
}

/// Sends to an application's endpoints again, but for those that are paused by themselves.
pub struct ResumeApplication {
    /// Which one.
    pub app: AppId,
}

/// By hand, from `now` on; a pause that there is stays as it is.
pub(super) fn paused(wanted: bool, before: Option<Paused>, now: UnixMs) -> Option<Paused> {
    wanted.then(|| before.unwrap_or(Paused { at: now, reason: PausedReason::Operator }))
}

fn set_endpoint(name: &EndpointName, wanted: bool, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
    let old = name.find(txn)?;
    if old.paused.is_some() == wanted {
        return Ok(Changed::Nothing(old));
    }
    let row = Endpoint { paused: paused(wanted, old.paused, at.now), updated_at: at.now, ..old.clone() };
    save_endpoint(txn, Some(old), row)
}

fn set_application(app: AppId, wanted: bool, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Application>, Error> {
    let old = application::get(txn, app)?.ok_or(Error::NotFound("application"))?;
    if old.paused_at.is_some() == wanted {
        return Ok(Changed::Nothing(old));
    }
    let row = Application { paused_at: wanted.then_some(at.now), updated_at: at.now, ..old.clone() };
    save_application(txn, Some(old), row)
}

/// One command on an endpoint: its name, its kind of idempotency key, and whether the endpoint is paused then.
macro_rules! of_endpoint {
    ($type:ident, $name:literal, $kind:literal, $wanted:literal) => {
        impl Command for $type {
            const NAME: &'static str = $name;
            type Thing = Endpoint;

            fn reach(&self) -> Option<Reach> {
                Some(Reach::Application(self.endpoint.app))
            }

            fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
                set_endpoint(&self.endpoint, $wanted, at, txn)
            }
        }

        impl Repeatable for $type {
            fn place(&self, txn: &Txn<'_>) -> Result<(AppId, String), Error> {
                let target = self.endpoint.find(txn)?.target();
                Ok((target.app, format!(concat!($kind, "/{}"), target.endpoint.0)))
            }

            fn number(changed: &Endpoint) -> u64 {
                changed.id.0.into()
            }

            fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Endpoint>, Error> {
                let Ok(number) = u32::try_from(number) else { return Ok(None) };
                let target = EndpointRef { app: self.endpoint.app, endpoint: EndpointId(number) };
                Ok(endpoint::get(txn, target)?)
            }
        }
    };
}
of_endpoint!(PauseEndpoint, "endpoint.pause", "pause", true);
of_endpoint!(ResumeEndpoint, "endpoint.resume", "resume", false);

/// The same of an application.
macro_rules! of_application {
    ($type:ident, $name:literal, $kind:literal, $wanted:literal) => {
        impl Command for $type {
            const NAME: &'static str = $name;
            type Thing = Application;

            fn reach(&self) -> Option<Reach> {
                Some(Reach::Application(self.app))
            }

            fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Application>, Error> {
                set_application(self.app, $wanted, at, txn)
            }
        }

        impl Repeatable for $type {
            fn place(&self, _: &Txn<'_>) -> Result<(AppId, String), Error> {
                Ok((self.app, $kind.to_owned()))
            }

            fn number(changed: &Application) -> u64 {
                changed.id.0.into()
            }

            fn again(&self, _: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Application>, Error> {
                Ok(application::get(txn, self.app)?)
            }
        }
    };
}
of_application!(PauseApplication, "application.pause", "pause", true);
of_application!(ResumeApplication, "application.resume", "resume", false);
