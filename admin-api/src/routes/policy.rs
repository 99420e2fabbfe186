//! The policies in force for an endpoint, and the preview of a retry policy.

use super::params::{AppPath, EndpointPath};
use crate::dto::fields::EmptyIn;
use crate::dto::policy::{EffectivePolicyOut, RetryPreviewOut};
use crate::dto::retry_policy::RetryPolicyBody;
use crate::error::ApiError;
use crate::extract::{InApp, InEndpoint, RawBody};
use crate::json;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::Checks;
use engine::prepare::effective::effective;
use model::Policy;

/// Gets the settings that are in force for an endpoint: its own, else its application's, else the server's, each field by
/// itself.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/policy", tag = "Endpoint",
    operation_id = "v1.endpoint.get-policy", params(EndpointPath),
    responses((status = 200, body = EffectivePolicyOut)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    InApp(app): InApp,
    InEndpoint(row): InEndpoint,
) -> Json<EffectivePolicyOut> {
    let own = row.policy();
    let found = effective(&own, &app.policy, state.defaults());
    Json(EffectivePolicyOut::of(&found, &row, &app))
}

/// Shows when a retry policy makes its attempts, and when it gives up: the policy of the body, or with an empty body the one
/// that endpoints of the application have unless they set their own. Nothing is stored.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/retry-policy/preview", tag = "Application",
    operation_id = "v1.application.preview-retry-policy", params(AppPath), request_body = Option<RetryPolicyBody>,
    responses((status = 200, body = RetryPreviewOut)))]
pub(crate) async fn preview(
    State(state): State<ApiState>,
    InApp(app): InApp,
    RawBody(body): RawBody,
) -> Result<Json<RetryPreviewOut>, ApiError> {
    if json::from_body::<EmptyIn>(&body).is_ok() {
        let own = Policy::default();
        let found = effective(&own, &app.policy, state.defaults());
        return Ok(Json(RetryPreviewOut::of(found.retry_policy.value)));
    }
    let policy: RetryPolicyBody = json::from_body(&body)?;
    let mut checks = Checks::default();
    policy.check(&[], &mut checks);
    checks.finish()?;
    Ok(Json(RetryPreviewOut::of(&policy.to_model())))
}
