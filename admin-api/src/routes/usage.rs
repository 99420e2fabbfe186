//! The use of each quota by an application.

use super::params::AppPath;
use crate::dto::usage::UsageOut;
use crate::error::ApiError;
use crate::extract::InApp;
use crate::reader::Reader;
use axum::Json;

/// Gets how much of each quota an application uses.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/usage", tag = "Application", operation_id = "v1.application.get-usage",
    params(AppPath), responses((status = 200, body = UsageOut)))]
pub(crate) async fn get(state: Reader, InApp(app): InApp) -> Result<Json<UsageOut>, ApiError> {
    Ok(Json(state.read(move |state| Ok(state.control.usage(app.id)?)).await?.into()))
}
