//! Erase by subject: the content of every message that has a tag, or an id of the tenant's own, by a job that goes through
//! the log.
//!
//! The same goes as by `DELETE …/msg/{msg_id}/content` of one message, with the same promises. Answers of receivers are
//! kept with the attempts, and erased there.

use super::once::Keyed;
use super::params::AppPath;
use crate::auth::By;
use crate::dto::job::{BackgroundTaskOut, EraseIn};
use crate::error::{ACCEPTED, ApiError};
use crate::extract::OfApp;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::Checks;
use control::command::job::StartAppJob;
use http::StatusCode;
use model::JobKind;

/// Erases the content of the messages that have a tag, or an id of your own.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/erase", tag = "Message", operation_id = "v1.message.erase",
    params(AppPath, ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = EraseIn, responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn erase(
    State(state): State<ApiState>,
    By(caller): By,
    OfApp(app): OfApp,
    request: Keyed<EraseIn>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let manner = request.body.into_manner(state.now());
    let command = StartAppJob { app, kind: JobKind::Erase, endpoint: None, manner };
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok((ACCEPTED, Json((&changed.into_thing()).into())))
}
