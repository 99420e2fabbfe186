//! The test of a URL before it is saved.

use super::params::AppPath;
use crate::auth::By;
use crate::dto::endpoint_test::{EndpointTestIn, EndpointTestOut};
use crate::error::ApiError;
use crate::extract::{InApp, JsonBody};
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::Checks;
use control::command::endpoint::TryUrl;
use serde_json::Value;

/// The type of the event that is sent when the caller names none.
const PING: &str = "svix.ping";
const PING_PAYLOAD: &str = r#"{"success":true}"#;

/// Sends one signed request to a URL, behind the guard of addresses, and answers with what came back. Nothing is stored, and
/// nothing is tried again. An application may have five at once and one a second.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint-test", tag = "Endpoint", operation_id = "v1.endpoint.test",
    params(AppPath), request_body = EndpointTestIn, responses((status = 200, body = EndpointTestOut)))]
pub(crate) async fn run(
    State(state): State<ApiState>,
    By(caller): By,
    InApp(app): InApp,
    JsonBody(mut body): JsonBody<EndpointTestIn>,
) -> Result<Json<EndpointTestOut>, ApiError> {
    let payload = body.payload.take().map(|payload| Value::Object(payload).to_string());
    let asked = TryUrl {
        app: app.id,
        fields: body.fields(),
        headers: body.headers.unwrap_or_default(),
        event_type: body.event_type.unwrap_or_else(|| PING.to_owned()),
        payload: payload.unwrap_or_else(|| PING_PAYLOAD.to_owned()),
    };
    Ok(Json(state.control.try_url(caller, asked, Checks::default()).await?.into()))
}
