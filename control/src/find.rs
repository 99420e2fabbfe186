//! Finds the application, endpoint or message that a text names, by its id or by the tenant's own name for it.
//!
//! A text that is an id is never taken for a name. Else a tenant could choose another's id as a name, and get the
//! requests that are meant for the other.

use crate::error::Error;
use model::id::{IdKind, IdParts};
use model::{AppId, Application, Endpoint, EndpointId, EndpointRef, Event, Seq};
use storage::StoreError;
use storage::read::Read;
use storage::tables::{application, endpoint, event_uid, log};

/// An endpoint as a caller names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointName {
    /// Its application.
    pub app: AppId,
    /// Its id or uid.
    pub text: String,
}

/// A message as a caller names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageName {
    /// Its application.
    pub app: AppId,
    /// Its id or the tenant's event id.
    pub text: String,
}

impl EndpointName {
    /// The endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`], or any error of the store.
    pub fn find(&self, read: &(impl Read + ?Sized)) -> Result<Endpoint, Error> {
        find_endpoint(read, self.app, &self.text)?.ok_or(Error::NotFound("endpoint"))
    }
}

impl MessageName {
    /// The message, with its payload.
    ///
    /// # Errors
    /// [`Error::NotFound`], or any error of the store.
    pub fn find(&self, read: &(impl Read + ?Sized)) -> Result<Event, Error> {
        find_event(read, self.app, &self.text)?.ok_or(Error::NotFound("message"))
    }

    /// The position of the message, which need not be there any more.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn position(&self, read: &(impl Read + ?Sized)) -> Result<Option<Seq>, StoreError> {
        match IdParts::from_text(IdKind::Message, &self.text) {
            Some(parts) => Ok((parts.number == self.app.0).then_some(Seq(parts.low))),
            None => event_uid::get(read, self.app, &self.text),
        }
    }
}

/// The application of an id or a uid.
///
/// # Errors
/// Whatever the store reports.
pub fn find_application(read: &(impl Read + ?Sized), text: &str) -> Result<Option<Application>, StoreError> {
    if let Some(parts) = IdParts::from_text(IdKind::Application, text) {
        let found = application::get(read, AppId(parts.number))?;
        return Ok(found.filter(|found| found.public_id() == text));
    }
    match application::by_uid(read, text)? {
        Some(id) => application::get(read, id),
        None => Ok(None),
    }
}

/// The endpoint of an id or a uid.
///
/// # Errors
/// Whatever the store reports.
pub fn find_endpoint(read: &(impl Read + ?Sized), app: AppId, text: &str) -> Result<Option<Endpoint>, StoreError> {
    if let Some(parts) = IdParts::from_text(IdKind::Endpoint, text) {
        let found = endpoint::get(read, EndpointRef { app, endpoint: EndpointId(parts.number) })?;
        return Ok(found.filter(|found| found.public_id() == text));
    }
    match endpoint::by_uid(read, app, text)? {
        Some(endpoint) => endpoint::get(read, EndpointRef { app, endpoint }),
        None => Ok(None),
    }
}

/// The message of an id or of the tenant's event id, with its payload.
///
/// # Errors
/// Whatever the store reports.
pub fn find_event(read: &(impl Read + ?Sized), app: AppId, text: &str) -> Result<Option<Event>, StoreError> {
    if let Some(parts) = IdParts::from_text(IdKind::Message, text) {
        let found = if parts.number == app.0 { log::get(read, app, Seq(parts.low))? } else { None };
        return Ok(found.filter(|event| event.accepted_at == parts.at));
    }
    match event_uid::get(read, app, text)? {
        Some(seq) => log::get(read, app, seq),
        None => Ok(None),
    }
}
