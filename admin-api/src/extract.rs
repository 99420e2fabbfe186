//! Extractors for handlers: the application, endpoint and message that a path names, the query, the body.
//!
//! Each of them answers with our own error body when it fails. A path may name an application or endpoint by id or by
//! the tenant's uid, and a message by id or by the tenant's event id. No rights: [`crate::auth`] has
//! decided before anything here runs.

use crate::auth::Reaching;
use crate::body_room::{BodyTicket, Full};
use crate::edge::NO_ROOM_RETRY_AFTER_S;
use crate::error::ApiError;
use crate::json;
use crate::limits::{BODY_GRACE, IDEMPOTENCY_KEY_BYTES_MAX, SMALL_BODY_BYTES_MAX};
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::{Bytes, BytesMut};
use control::Error;
use control::find::{EndpointName, MessageName, find_application, find_endpoint, find_event};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http_body_util::BodyExt;
use model::{AppId, Application, Endpoint, Event};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::Instant;

/// The parameters of the path, decoded.
#[derive(Debug)]
pub(crate) struct PathTexts(Vec<(String, String)>);

impl PathTexts {
    /// One of them; the route says which there are.
    pub(crate) fn get(&self, name: &str) -> Result<&str, ApiError> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).ok_or(ApiError::NotFound("path"))
    }
}

impl FromRequestParts<ApiState> for PathTexts {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<PathTexts, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| ApiError::NotFound("path"))?;
        Ok(PathTexts(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

/// The application that the path names.
#[derive(Debug)]
pub(crate) struct InApp(pub(crate) Application);

impl FromRequestParts<ApiState> for InApp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<InApp, ApiError> {
        let path = PathTexts::from_request_parts(parts, state).await?;
        let found = find_application(state.view(), path.get("app_id")?).map_err(Error::from)?;
        // Its name may have gone over to another application since the key was looked at.
        let Reaching(reach) = Reaching::from_request_parts(parts, state).await?;
        found.filter(|found| reach.reaches(found.id)).map(InApp).ok_or(ApiError::NotFound("application"))
    }
}

/// The number of the application that the path names, for commands on things that belong to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfApp(pub(crate) AppId);

impl FromRequestParts<ApiState> for OfApp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<OfApp, ApiError> {
        let path = PathTexts::from_request_parts(parts, state).await?;
        let found = state.control.app_id(path.get("app_id")?)?;
        // Its name may have gone over to another application since the key was looked at.
        let Reaching(reach) = Reaching::from_request_parts(parts, state).await?;
        found.filter(|found| reach.reaches(*found)).map(OfApp).ok_or(ApiError::NotFound("application"))
    }
}

/// An endpoint as the path names it; the command looks for it.
#[derive(Debug)]
pub(crate) struct NamedEndpoint(pub(crate) EndpointName);

impl FromRequestParts<ApiState> for NamedEndpoint {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<NamedEndpoint, ApiError> {
        let OfApp(app) = OfApp::from_request_parts(parts, state).await?;
        let path = PathTexts::from_request_parts(parts, state).await?;
        Ok(NamedEndpoint(EndpointName { app, text: path.get("endpoint_id")?.to_owned() }))
    }
}

/// A message as the path names it; the command looks for it.
#[derive(Debug)]
pub(crate) struct NamedMessage(pub(crate) MessageName);

impl FromRequestParts<ApiState> for NamedMessage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<NamedMessage, ApiError> {
        let OfApp(app) = OfApp::from_request_parts(parts, state).await?;
        let path = PathTexts::from_request_parts(parts, state).await?;
        Ok(NamedMessage(MessageName { app, text: path.get("msg_id")?.to_owned() }))
    }
}

/// The endpoint that the path names.
#[derive(Debug)]
pub(crate) struct InEndpoint(pub(crate) Endpoint);

impl FromRequestParts<ApiState> for InEndpoint {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<InEndpoint, ApiError> {
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let path = PathTexts::from_request_parts(parts, state).await?;
        let found = find_endpoint(state.view(), app.id, path.get("endpoint_id")?).map_err(Error::from)?;
        found.map(InEndpoint).ok_or(ApiError::NotFound("endpoint"))
    }
}

/// The message that the path names.
#[derive(Debug)]
pub(crate) struct InMessage(pub(crate) Event);

impl FromRequestParts<ApiState> for InMessage {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<InMessage, ApiError> {
        let InApp(app) = InApp::from_request_parts(parts, state).await?;
        let path = PathTexts::from_request_parts(parts, state).await?;
        let found = find_event(state.view(), app.id, path.get("msg_id")?).map_err(Error::from)?;
        found.map(InMessage).ok_or(ApiError::NotFound("message"))
    }
}

/// The query string.
#[derive(Debug)]
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for QueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<QueryParams<T>, ApiError> {
        json::from_query(parts.uri.query()).map(QueryParams)
    }
}

/// The key that makes sending again harmless, if one was given.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl FromRequestParts<ApiState> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<IdempotencyKey, ApiError> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(IdempotencyKey(None)) };
        match value.to_str() {
            Ok(key) if !key.is_empty() && key.len() <= IDEMPOTENCY_KEY_BYTES_MAX => {
                Ok(IdempotencyKey(Some(key.to_owned())))
            }
            _ => {
                let msg = format!("must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters");
                Err(ApiError::invalid(["header", "idempotency-key"], msg, "value_error.str.regex"))
            }
        }
    }
}

/// A JSON body of ordinary size.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<ApiState> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<JsonBody<T>, ApiError> {
        let body = read_body(request, state, state.limits.body_bytes).await?;
        json::from_body(&body).map(JsonBody)
    }
}

/// The bytes of a body of ordinary size.
#[derive(Debug)]
pub(crate) struct RawBody(pub(crate) Bytes);

impl FromRequest<ApiState> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<RawBody, ApiError> {
        read_body(request, state, state.limits.body_bytes).await.map(RawBody)
    }
}

/// The bytes of a batch.
#[derive(Debug)]
pub(crate) struct BatchBody(pub(crate) Bytes);

impl FromRequest<ApiState> for BatchBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<BatchBody, ApiError> {
        read_body(request, state, state.limits.batch_body_bytes).await.map(BatchBody)
    }
}

/// Reads a body whole. One that says it is too large is refused before a byte of it is read. A small body takes no
/// room. The time of the whole request is limit enough for it: a timer for each would cost the most common request of
/// all.
async fn read_body(request: Request<Body>, state: &ApiState, limit_bytes: usize) -> Result<Bytes, ApiError> {
    if is_coded(request.headers()) {
        return Err(ApiError::UnsupportedCoding);
    }
    if announced_length(request.headers()).is_some_and(|length| length > limit_bytes as u64) {
        return Err(ApiError::BodyTooLarge { limit_bytes });
    }
    let (mut parts, mut body) = request.into_parts();
    if let Some(ticket) = parts.extensions.remove::<BodyTicket>() {
        // In a box: the future of every request has room for this one otherwise.
        return Box::pin(read_large(body, ticket, state.limits.body_bytes_per_s, limit_bytes)).await;
    }
    let mut whole = Whole { limit_bytes, ..Whole::default() };
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| ApiError::BodyBroken)?.into_data() {
            whole.add(data)?;
        }
    }
    Ok(whole.done())
}

/// Reads a body that may not be small, or whose length is not known. Its room is taken as it arrives, and held by the
/// [`BodyTicket`] of the request; one that comes too slowly is given up.
async fn read_large(
    mut body: Body,
    ticket: BodyTicket,
    bytes_per_s: usize,
    limit_bytes: usize,
) -> Result<Bytes, ApiError> {
    let started = Instant::now();
    let mut whole = Whole { limit_bytes, ..Whole::default() };
    loop {
        let deadline = started + BODY_GRACE + Duration::from_secs_f64(whole.total as f64 / bytes_per_s as f64);
        let frame = tokio::time::timeout_at(deadline, body.frame()).await;
        let Some(frame) = frame.map_err(|_| ApiError::BodyTooSlow { bytes_per_s })? else { return Ok(whole.done()) };
        if let Ok(data) = frame.map_err(|_| ApiError::BodyBroken)?.into_data() {
            whole.add(data)?;
        }
        if whole.total > SMALL_BODY_BYTES_MAX {
            ticket.grow_to(whole.total).map_err(|Full| ApiError::Busy { retry_after_s: NO_ROOM_RETRY_AFTER_S })?;
        }
    }
}

/// A body as far as it has come.
#[derive(Default)]
struct Whole {
    limit_bytes: usize,
    total: usize,
    first: Bytes,
    rest: BytesMut,
}

impl Whole {
    fn add(&mut self, data: Bytes) -> Result<(), ApiError> {
        self.total += data.len();
        if self.total > self.limit_bytes {
            return Err(ApiError::BodyTooLarge { limit_bytes: self.limit_bytes });
        }
        // Most bodies are one frame, and need no copy here.
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = data;
        } else {
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
            self.rest.extend_from_slice(&data);
        }
        Ok(())
    }

    fn done(self) -> Bytes {
        owned(if self.rest.is_empty() { self.first } else { self.rest.freeze() })
    }
}

/// The body in memory of its own, if it is small. A part of the connection's buffer would keep the whole buffer for as
/// long as the message waits to be delivered. The connection would need a new buffer for every request.
fn owned(body: Bytes) -> Bytes {
    if body.len() <= SMALL_BODY_BYTES_MAX { Bytes::copy_from_slice(&body) } else { body }
}

/// True if the body has a content coding, of which we read none.
fn is_coded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.into_iter().any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

pub(crate) fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
