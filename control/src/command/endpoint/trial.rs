//! Tests: a URL that is tried before it is saved, checked as an endpoint's, signed with a secret that is made for it, and
//! forgotten; and an example that is sent to an endpoint. Both are in the audit log.

use super::fields::EndpointFields;
use super::headers::{Headers, check_all, check_names, seal_headers};
use super::secret::{first_secret, seal_secret};
use super::user_info::seal_user_info;
use crate::caller::Caller;
use crate::checks::Checks;
use crate::command::Draw;
use crate::command::message::{PushMessages, accepted};
use crate::control::Control;
use crate::error::Error;
use crate::snapshot::{Fields, changes};
use engine::dispatch::AttemptResult;
use model::{AppId, AuditEntry, Endpoint, EndpointId, EndpointRef, Event, Seq};
use std::sync::Arc;
use storage::tables::audit;
use storage::writer::NewMessage;

/// Seconds to wait when the shard has no room for one more.
const BUSY_RETRY_AFTER_S: u64 = 1;

/// The number of no endpoint: they count from 1.
const NONE: EndpointId = EndpointId(0);

/// A URL to try.
pub struct TryUrl {
    /// For this application.
    pub app: AppId,
    /// With user name and password, if it has some.
    pub fields: EndpointFields,
    /// Custom headers.
    pub headers: Headers,
    /// The type of the event that is sent.
    pub event_type: String,
    /// The event.
    pub payload: String,
}

impl Control {
    /// Makes one attempt. Nothing is stored of it but the record that it was made.
    ///
    /// # Errors
    /// As [`Error`] lists: [`Error::QuotaExceeded`] when the application tries too often.
    pub async fn try_url(&self, by: Caller, asked: TryUrl, mut checks: Checks) -> Result<AttemptResult, Error> {
        let TryUrl { app, fields, headers, event_type, payload } = asked;
        if !by.reach().reaches(app) {
            return Err(Error::NotFound("application"));
        }
        fields.check(self.rules(), &mut checks, true);
        check_names(&mut checks, headers.keys());
        check_all(&mut checks, &headers);
        checks.name("eventType", &event_type);
        checks.finish()?;
        let (engine, now) = (self.engine(), self.engine().now());
        let _permit = self.trials().take(app, now)?;
        let target = EndpointRef { app, endpoint: NONE };
        let mut row = fields.apply(Endpoint::plain(target, now), now)?;
        seal_user_info(self.seals(), &mut row, None)?;
        let secret = first_secret(&row, self.rules().secret_kind, &Draw::fresh()?);
        row.secrets = vec![seal_secret(self.seals(), target, &secret)?];
        row.sealed_headers = seal_headers(self.seals(), target, &headers)?;
        let entry =
            self.entry_of_test(&by, app, "endpoint.test", "endpoint", Fields::default().with("url", row.url.clone()))?;
        self.engine()
            .change(move |txn| -> Result<(), Error> {
                txn.audit(entry);
                Ok(())
            })
            .await?;
        let event = Event {
            app,
            seq: Seq::ZERO,
            accepted_at: now,
            event_type: Arc::from(event_type),
            event_id: None,
            channels: Vec::new(),
            only_for: Some(NONE),
            more: None,
            payload: payload.into(),
        };
        let result = engine.try_out(&row, event).await;
        let made = result.filter(|result| result.lack.is_none());
        made.ok_or(Error::Busy { retry_after_s: BUSY_RETRY_AFTER_S })
    }

    /// Takes an example for one endpoint, as a message that says nothing about it.
    ///
    /// # Errors
    /// As [`Control::push`], and the reasons for which a message is not taken.
    pub async fn send_example(&self, by: Caller, to: &Endpoint, message: NewMessage) -> Result<Event, Error> {
        let fields = Fields::default().with("endpointId", to.public_id()).with("eventType", message.event_type.clone());
        let entry = self.entry_of_test(&by, to.app, "endpoint.send-example", "message", fields)?;
        let mut more = message.more.unwrap_or_default();
        more.audit = Some(entry);
        let message = NewMessage { only_for: Some(to.id), more: Some(more), ..message };
        let mut outcomes = self.push(by.reach(), PushMessages { app: to.app, messages: vec![message] }).await?;
        accepted(outcomes.pop().ok_or(Error::Internal)?)
    }

    fn entry_of_test(
        &self,
        by: &Caller,
        app: AppId,
        action: &str,
        kind: &str,
        fields: Fields,
    ) -> Result<AuditEntry, Error> {
        Ok(AuditEntry {
            actor: by.actor().clone(),
            action: action.to_owned(),
            kind: kind.to_owned(),
            id: String::new(),
            app: audit::app_name(&**self.store(), app)?,
            changes: changes(&Fields::default(), &fields),
        })
    }
}
