//! The backup of everything, as a stream that `pinion backup` writes to a folder.

use crate::auth::By;
use crate::error::{ApiError, HttpErrorOut};
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use std::convert::Infallible;

/// Marks an answer whose body may last for long: its connection is not idle meanwhile, for the server that accepts
/// connections.
#[derive(Clone, Copy, Debug)]
pub struct Lasting;

/// Takes a backup of everything, as a stream of frames (docs/FORMAT.md), while the server goes on. A stream whose last frame
/// does not say that it is whole is no backup. One at a time.
#[utoipa::path(post, path = "/api/v1/backup", tag = "Backup", operation_id = "v1.backup.take", responses(
    (status = 200, description = "The backup", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 409, description = "Another one is being taken", body = HttpErrorOut)))]
pub(crate) async fn take(State(state): State<ApiState>, By(caller): By) -> Result<Response, ApiError> {
    let backup = state.control.back_up(caller).await?;
    let frames = stream::unfold(backup, |mut backup| async move {
        let frame = backup.next().await?;
        Some((Ok::<Bytes, Infallible>(frame), backup))
    });
    let mut response = Response::new(Body::from_stream(frames));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response.extensions_mut().insert(Lasting);
    Ok(response)
}
