//! The attempts of a message under the two paths that clients used before `…/attempt/msg/{msg_id}`. They are
//! deprecated, and show the same.

use super::attempt::{ListQuery, list_of_message};
use super::params::{DeliveryPath, MessagePath};
use crate::dto::attempt::MessageAttemptOut;
use crate::dto::fields::ListResponse;
use crate::error::ApiError;
use crate::extract::{InEndpoint, InMessage, QueryParams};
use crate::json::JsonBytes;
use crate::reader::Reader;

/// Deprecated: lists the attempts of a message at all endpoints, as `…/attempt/msg/{msg_id}` does.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}/attempt", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-by-msg-deprecated", params(MessagePath, ListQuery),
    responses((status = 200, body = ListResponse<MessageAttemptOut>)))]
pub(crate) async fn by_message(
    state: Reader,
    InMessage(event): InMessage,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    list_of_message(state, event, query).await
}

/// Deprecated: lists the attempts of a message at one endpoint, as `…/attempt/msg/{msg_id}?endpoint_id=…` does.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-by-endpoint-deprecated", params(DeliveryPath, ListQuery),
    responses((status = 200, body = ListResponse<MessageAttemptOut>)))]
pub(crate) async fn by_endpoint(
    state: Reader,
    InMessage(event): InMessage,
    InEndpoint(row): InEndpoint,
    QueryParams(mut query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    if query.endpoint_id.replace(row.public_id()).is_some() {
        let msg = "is named by the path";
        return Err(ApiError::invalid(["query", "endpoint_id"], msg, "value_error.extra"));
    }
    list_of_message(state, event, query).await
}
