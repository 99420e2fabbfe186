//! A content filter to try out: `FilterTryIn`, `FilterTryOut`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A filter, and the message to ask it about: one of the application's, or one that is given here.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FilterTryIn {
    /// An expression, as `filter` of an endpoint.
    #[schema(min_length = 1, max_length = 4096, example = "payload.amount > 100")]
    pub(crate) filter: String,
    /// The payload: any JSON.
    #[schema(value_type = Option<Object>)]
    pub(crate) payload: Option<Box<RawValue>>,
    /// A message of the application instead, by its id or event id.
    pub(crate) message_id: Option<String>,
    /// With `payload`. Default: empty.
    pub(crate) event_type: Option<String>,
    /// With `payload`. Default: null.
    pub(crate) event_id: Option<String>,
    /// With `payload`. Default: none.
    pub(crate) channels: Option<Vec<String>>,
    /// With `payload`. Default: none.
    pub(crate) tags: Option<Vec<String>>,
}

/// The answer of a filter.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilterTryOut {
    /// An endpoint with this filter gets such a message.
    pub(crate) matches: bool,
    /// The reason why the filter could not judge it, which counts as no match.
    pub(crate) error: Option<String>,
}
