//! Many endpoints in one request: create or change them, one durable commit, one result for each.
//!
//! One that is refused does not hold up the others, so the request is not all or nothing. An `Idempotency-Key` counts
//! for each by its place and its own text, so that the request can be sent again whole. Each leaves its audit record.

use super::params::AppPath;
use crate::auth::By;
use crate::dto::bulk::{BulkItemOut, BulkOut, EndpointBulkPatch, created, items, patched};
use crate::dto::endpoint::EndpointIn;
use crate::error::{ApiError, CREATED, OK};
use crate::extract::{BatchBody, IdempotencyKey, OfApp};
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use control::command::endpoint::{CreateEndpoint, PatchEndpoint};
use control::find::EndpointName;
use control::{Caller, Checks, Entry, Once, Repeatable};
use http::StatusCode;
use model::Endpoint;

/// Creates up to 100 endpoints.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/bulk", tag = "Endpoint",
    operation_id = "v1.endpoint.create-bulk", params(AppPath, ("idempotency-key" = Option<String>, Header,
        description = "Counts for each endpoint by its place: makes sending the request again harmless")),
    request_body = Vec<EndpointIn>,
    responses((status = 200, description = "One result for each endpoint; those with status 201 are on the disk",
        body = BulkOut)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    By(caller): By,
    OfApp(app): OfApp,
    IdempotencyKey(key): IdempotencyKey,
    BatchBody(body): BatchBody,
) -> Result<Json<BulkOut>, ApiError> {
    let read = |item: &[u8]| {
        let mut checks = Checks::default();
        let (fields, secret, headers) = created(item)?.into_parts(&mut checks);
        Ok((CreateEndpoint { app, fields, secret, headers }, checks))
    };
    each(&state, caller, (key, body), CREATED, read).await
}

/// Changes up to 100 endpoints, each named by its id or uid.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/endpoint/bulk", tag = "Endpoint",
    operation_id = "v1.endpoint.patch-bulk", params(AppPath, ("idempotency-key" = Option<String>, Header,
        description = "Counts for each endpoint by its place: makes sending the request again harmless")),
    request_body = Vec<EndpointBulkPatch>,
    responses((status = 200, description = "One result for each endpoint; those with status 200 are on the disk",
        body = BulkOut)))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    By(caller): By,
    OfApp(app): OfApp,
    IdempotencyKey(key): IdempotencyKey,
    BatchBody(body): BatchBody,
) -> Result<Json<BulkOut>, ApiError> {
    let read = |item: &[u8]| {
        let mut checks = Checks::default();
        let (text, patch) = patched(item)?;
        let (fields, secret) = patch.into_parts(&mut checks);
        Ok((PatchEndpoint { endpoint: EndpointName { app, text }, fields, secret }, checks))
    };
    each(&state, caller, (key, body), OK, read).await
}

/// Reads each item, carries out those that could be read, and answers in their order.
async fn each<C: Repeatable<Thing = Endpoint>>(
    state: &ApiState,
    caller: Caller,
    (key, body): (Option<String>, Bytes),
    done: StatusCode,
    read: impl Fn(&[u8]) -> Result<(C, Checks), ApiError>,
) -> Result<Json<BulkOut>, ApiError> {
    let items = items(&body)?;
    let (mut results, mut entries, mut places) = (Vec::with_capacity(items.len()), Vec::new(), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        if item.len() > state.limits.body_bytes {
            let limit_bytes = state.limits.body_bytes;
            results.push(Some(BulkItemOut::refused(index, &ApiError::BodyTooLarge { limit_bytes })));
            continue;
        }
        match read(item) {
            Ok((command, checks)) => {
                let once = key.as_ref().map(|key| Once::new(format!("{key}#{index}"), item));
                entries.push(Entry { command, checks, once });
                places.push(index);
                results.push(None);
            }
            Err(error) => results.push(Some(BulkItemOut::refused(index, &error))),
        }
    }
    let changed = if entries.is_empty() { Vec::new() } else { state.control.submit_each(caller, entries).await? };
    for (index, result) in places.into_iter().zip(changed) {
        results[index] = Some(match result {
            Ok(changed) => BulkItemOut::done(index, done.as_u16(), &changed.into_thing()),
            Err(error) => BulkItemOut::refused(index, &error.into()),
        });
    }
    Ok(Json(results.into_iter().flatten().collect::<Vec<_>>().into()))
}
