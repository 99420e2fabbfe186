//! Scheduled messages: list those whose time has not come, call one off.

use super::message::{message_of, text_of_message};
use super::params::{AppPath, MessagePath};
use crate::auth::By;
use crate::dto::fields::ListResponse;
use crate::dto::message_answer::MessageOut;
use crate::error::{ApiError, NO_CONTENT};
use crate::extract::{InApp, NamedMessage, QueryParams};
use crate::json::JsonBytes;
use crate::paging::PageQuery;
use crate::reader::Reader;
use crate::state::ApiState;
use axum::extract::State;
use control::command::message::CallOff;
use control::query::scheduled;
use http::StatusCode;

/// Lists the messages of an application whose time has not come, soonest first, without their payloads.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/scheduled-msg", tag = "Message",
    operation_id = "v1.message.list-scheduled", params(AppPath, PageQuery),
    responses((status = 200, body = ListResponse<MessageOut>)))]
pub(crate) async fn list(
    state: Reader,
    InApp(app): InApp,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<JsonBytes, ApiError> {
    let asked = query.page(message_of(app.id))?;
    let list = state.answer(move |state| {
        let listed = scheduled::list(state.view(), app.id, &asked.page)?;
        Ok(asked.respond(listed, text_of_message, |event| MessageOut::of(event, false)))
    });
    list.await
}

/// Calls a scheduled message off: nobody gets it. The message stays, and can be sent by hand. One whose time has come, or
/// is less than a second away, is answered with 409.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/msg/{msg_id}/schedule", tag = "Message",
    operation_id = "v1.message.call-off", params(MessagePath),
    responses((status = 204, description = "Called off")))]
pub(crate) async fn call_off(
    State(state): State<ApiState>,
    By(caller): By,
    NamedMessage(message): NamedMessage,
) -> Result<StatusCode, ApiError> {
    state.control.submit(caller, CallOff { message }).await?;
    Ok(NO_CONTENT)
}
