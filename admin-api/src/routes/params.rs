//! The parameters of paths, for the OpenAPI document. Reading them is [`crate::extract`]'s.
//!
//! Types without values.
#![expect(dead_code, reason = "these only describe")]

use utoipa::IntoParams;

/// `/app/{app_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AppPath {
    /// The application's id or uid.
    app_id: String,
}

/// `/app/{app_id}/…/{endpoint_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct EndpointPath {
    /// The application's id or uid.
    app_id: String,
    /// The endpoint's id or uid.
    endpoint_id: String,
}

/// `/app/{app_id}/…/{msg_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct MessagePath {
    /// The application's id or uid.
    app_id: String,
    /// The message's id or event id.
    msg_id: String,
}

/// `/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AttemptPath {
    /// The application's id or uid.
    app_id: String,
    /// The message's id or event id.
    msg_id: String,
    /// The attempt's id.
    attempt_id: String,
}

/// Both a message and an endpoint.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DeliveryPath {
    /// The application's id or uid.
    app_id: String,
    /// The message's id or event id.
    msg_id: String,
    /// The endpoint's id or uid.
    endpoint_id: String,
}

/// `/event-type/{event_type_name}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct EventTypePath {
    /// The event type's name.
    event_type_name: String,
}

/// `/api-key/{key_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ApiKeyPath {
    /// The key's id, as the list shows it: not the key.
    key_id: String,
}

/// `/background-task/{task_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TaskPath {
    /// The job's id.
    task_id: String,
}
