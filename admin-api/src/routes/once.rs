//! A JSON body with the `Idempotency-Key` of its request: for requests that create, send or rotate.

use crate::error::ApiError;
use crate::extract::{IdempotencyKey, RawBody};
use crate::json::from_body;
use crate::state::ApiState;
use axum::extract::{FromRequest, FromRequestParts, Request};
use control::Once;
use serde::de::DeserializeOwned;

/// A JSON body, with the key of its request.
#[derive(Debug)]
pub(crate) struct Keyed<T> {
    /// The body of the request.
    pub(super) body: T,
    /// The key, if one was given, for this very body.
    pub(super) once: Option<Once>,
}

impl<T: DeserializeOwned> FromRequest<ApiState> for Keyed<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Keyed<T>, ApiError> {
        let (mut parts, body) = request.into_parts();
        let IdempotencyKey(key) = IdempotencyKey::from_request_parts(&mut parts, state).await?;
        let RawBody(bytes) = RawBody::from_request(Request::from_parts(parts, body), state).await?;
        Ok(Keyed { body: from_body(&bytes)?, once: key.map(|key| Once::new(key, &bytes)) })
    }
}
