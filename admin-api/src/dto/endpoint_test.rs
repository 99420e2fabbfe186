//! The test of a URL that is not saved.

use crate::dto::attempt_details::AttemptDetailsOut;
use crate::dto::signature_format::SignatureFormatBody;
use control::command::endpoint::{EndpointFields, Headers};
use engine::dispatch::AttemptResult;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A URL to try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EndpointTestIn {
    /// `http` or `https`.
    url: String,
    /// Custom headers to send.
    pub(crate) headers: Option<Headers>,
    /// The type of the event that is sent. Default: `svix.ping`.
    pub(crate) event_type: Option<String>,
    /// The event that is sent. Default: `{"success": true}`.
    #[schema(value_type = Option<Object>)]
    pub(crate) payload: Option<Map<String, Value>>,
    /// The deadline of the attempt.
    #[schema(minimum = 100, maximum = 120_000)]
    timeout_ms: Option<u32>,
    /// The format of the signature, as of an endpoint.
    signature_format: Option<SignatureFormatBody>,
}

impl EndpointTestIn {
    /// The settings that an endpoint has as well.
    pub(crate) fn fields(&mut self) -> EndpointFields {
        EndpointFields {
            url: Some(self.url.clone()),
            timeout_ms: self.timeout_ms.into(),
            signature_format: self.signature_format.take().map(SignatureFormatBody::into_model).into(),
            ..EndpointFields::default()
        }
    }
}

/// The result of a trial.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointTestOut {
    /// The HTTP status; 0 when there was no answer.
    status: u16,
    /// The outcome of the attempt, in our words.
    outcome: &'static str,
    duration_ms: u32,
    /// The start of the body.
    response: String,
    /// Why there was no answer; null when there was one.
    error: Option<String>,
    details: Option<AttemptDetailsOut>,
}

impl From<AttemptResult> for EndpointTestOut {
    fn from(result: AttemptResult) -> EndpointTestOut {
        let words = String::from_utf8_lossy(&result.response).into_owned();
        let (response, error) = if result.status == 0 { (String::new(), Some(words)) } else { (words, None) };
        EndpointTestOut {
            status: result.status,
            outcome: result.outcome.as_str(),
            duration_ms: result.duration_ms,
            response,
            error,
            details: result.details.map(|details| AttemptDetailsOut::of(&details, true)),
        }
    }
}
