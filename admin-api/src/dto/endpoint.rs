//! Endpoints: `EndpointIn`, `EndpointPatch`, `EndpointOut`.
//!
//! `filterTypes`, `rateLimit` and `version` are the names of the first generation of clients for `eventTypes` and
//! `throttleRate`; `timeoutMs`, `maxInFlight`, `caPem`, `retryPolicy`, `onClientError`, `filter` and `disabledReason` are ours.
//! Secrets and custom headers come with an endpoint but never go out with one. Checks of values are the command's.

use crate::dto::failover::FailoverBody;
use crate::dto::fields::{bounded_metadata, given, given_metadata, metadata_of};
use crate::dto::order::{OnGiveUpKind, OrderKind};
use crate::dto::retry_policy::{OnClientError, RetryPolicyBody};
use crate::dto::signature_format::{PayloadModeName, SignatureFormatBody};
use crate::dto::timestamp::Timestamp;
use control::checks::either;
use control::command::Metadata;
use control::command::endpoint::{EndpointFields, Headers, SecretText};
use control::limits::ENDPOINT_EVENT_TYPES_MAX;
use control::{Checks, Patch};
use engine::dispatch::masked;
use model::Endpoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// An endpoint to create, or to replace by. A field that is left out is cleared; the secret and the headers stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EndpointIn {
    /// `http` or `https`, at most 8,192 bytes. A user name and password in it are sent as `Authorization: Basic`, kept
    /// encrypted, and shown as `***`: `https://***@host/`. A PUT with the URL exactly as it was read keeps them; `***`
    /// with anything else changed is refused.
    #[schema(max_length = 8192)]
    url: String,
    description: Option<String>,
    /// Your own identifier for it, unique in the application. A PUT without it clears it.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[a-zA-Z0-9\\-_.]+$", min_length = 1, max_length = 256)]
    pub(crate) uid: Patch<String>,
    pub(crate) disabled: Option<bool>,
    /// Event types it gets; `prefix.*` stands for a family. Left out: all.
    event_types: Option<Vec<String>>,
    /// The same as `eventTypes`.
    filter_types: Option<Vec<String>>,
    /// Channels it gets. Left out: all.
    channels: Option<Vec<String>>,
    #[serde(default, deserialize_with = "bounded_metadata")]
    metadata: Option<Metadata>,
    /// Deliveries per second.
    throttle_rate: Option<u32>,
    /// The same as `throttleRate`.
    rate_limit: Option<u32>,
    /// Deadline of one attempt in milliseconds.
    timeout_ms: Option<u32>,
    /// Attempts at once.
    max_in_flight: Option<u16>,
    /// Root certificates in PEM that the receiver's certificate may lead to, besides those that everyone's may: for
    /// receivers with a private authority. At most 64 KiB.
    #[schema(max_length = 65536)]
    ca_pem: Option<String>,
    retry_policy: Option<RetryPolicyBody>,
    on_client_error: Option<OnClientError>,
    /// A number of your own, shown again and of no effect. Default: 1.
    #[schema(minimum = 1)]
    version: Option<u16>,
    /// It is disabled when so many deliveries in a row used up their attempts. Left out: as its application's policy says.
    #[schema(minimum = 1, maximum = 1000)]
    disable_after_failed_deliveries: Option<u16>,
    /// Days that its dead letters are kept. Left out: as its application's policy says.
    #[schema(minimum = 1, maximum = 90)]
    dead_letter_retention_days: Option<u16>,
    /// Deliveries that `throttleRate` may save up while nothing is sent, and that then go at once. Left out: one, and those of a
    /// tenth of a second.
    #[schema(minimum = 1, maximum = 10_000)]
    burst: Option<u32>,
    /// The signing secret; one is made for a new endpoint when it is left out. In a PUT of another secret than the
    /// present one it takes over at once and without overlap.
    pub(crate) secret: Option<String>,
    /// Custom headers: all of them.
    pub(crate) headers: Option<BTreeMap<String, String>>,
    /// In which order messages are sent. Default: `none`.
    order: Option<OrderKind>,
    /// The effect of a delivery that is given up. Default: `skip`.
    on_give_up: Option<OnGiveUpKind>,
    /// True if deliveries to it wait. Left out in a PUT, it stays as it is.
    paused: Option<bool>,
    /// For a receiver that knows no Standard Webhooks.
    signature_format: Option<SignatureFormatBody>,
    /// The body of its requests. Default: `full`.
    payload_mode: Option<PayloadModeName>,
    /// The endpoint that gets its deliveries while it fails.
    failover: Option<FailoverBody>,
    /// An expression in CEL over `payload`, `eventType`, `eventId`, `channels` and `tags`: the endpoint gets the
    /// messages for which it is true. Left out: all. An error counts as false.
    #[schema(min_length = 1, max_length = 4096, example = "payload.amount > 100")]
    filter: Option<String>,
}

/// Changes to an endpoint: a field that is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EndpointPatch {
    /// A new URL. One that is exactly as it was read keeps the user name and password behind its `***`.
    #[serde(default, deserialize_with = "given")]
    #[schema(max_length = 8192)]
    pub(crate) url: Option<String>,
    #[serde(default, deserialize_with = "given")]
    description: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) uid: Patch<String>,
    #[serde(default, deserialize_with = "given")]
    pub(crate) disabled: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    event_types: Patch<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    filter_types: Patch<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    channels: Patch<Vec<String>>,
    #[serde(default, deserialize_with = "given_metadata")]
    metadata: Option<Metadata>,
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    throttle_rate: Patch<u32>,
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    rate_limit: Patch<u32>,
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    timeout_ms: Patch<u32>,
    #[serde(default)]
    #[schema(value_type = Option<u16>)]
    max_in_flight: Patch<u16>,
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 65536)]
    ca_pem: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<RetryPolicyBody>)]
    retry_policy: Patch<RetryPolicyBody>,
    #[serde(default)]
    #[schema(value_type = Option<OnClientError>)]
    on_client_error: Patch<OnClientError>,
    #[schema(minimum = 1)]
    version: Option<u16>,
    #[serde(default)]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 1000)]
    disable_after_failed_deliveries: Patch<u16>,
    #[serde(default)]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 90)]
    dead_letter_retention_days: Patch<u16>,
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000)]
    burst: Patch<u32>,
    /// A new signing secret, at once and without overlap.
    #[serde(default, deserialize_with = "given")]
    pub(crate) secret: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<OrderKind>)]
    order: Patch<OrderKind>,
    #[serde(default)]
    #[schema(value_type = Option<OnGiveUpKind>)]
    on_give_up: Patch<OnGiveUpKind>,
    #[serde(default, deserialize_with = "given")]
    paused: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<SignatureFormatBody>)]
    signature_format: Patch<SignatureFormatBody>,
    #[serde(default)]
    #[schema(value_type = Option<PayloadModeName>)]
    payload_mode: Patch<PayloadModeName>,
    #[schema(value_type = Option<FailoverBody>)]
    failover: Patch<FailoverBody>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 4096)]
    filter: Patch<String>,
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointOut {
    pub(crate) id: String,
    /// As it was sent, but for user name and password, which are shown as `***`.
    pub(crate) url: String,
    /// As it was given, or 1; clients of the first generation require it.
    version: u16,
    description: String,
    uid: Option<String>,
    disabled: bool,
    /// `operator`, `gone` (it answered 410), `failing` (nothing but failures for too long) or `exhausted` (too many deliveries in a row
    /// used up their attempts).
    disabled_reason: Option<&'static str>,
    disabled_at: Option<Timestamp>,
    event_types: Option<Vec<String>>,
    filter_types: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    metadata: Metadata,
    throttle_rate: Option<u32>,
    rate_limit: Option<u32>,
    timeout_ms: Option<u32>,
    max_in_flight: Option<u16>,
    ca_pem: Option<String>,
    retry_policy: Option<RetryPolicyBody>,
    on_client_error: Option<OnClientError>,
    created_at: Timestamp,
    updated_at: Timestamp,
    order: OrderKind,
    on_give_up: OnGiveUpKind,
    /// True if deliveries to it wait on disk, to be sent later.
    paused: bool,
    /// `operator`, or `gave_up` (a delivery that others must not overtake was given up).
    paused_reason: Option<&'static str>,
    paused_at: Option<Timestamp>,
    /// Null for Standard Webhooks alone.
    signature_format: Option<SignatureFormatBody>,
    payload_mode: PayloadModeName,
    disable_after_failed_deliveries: Option<u16>,
    dead_letter_retention_days: Option<u16>,
    burst: Option<u32>,
    /// False while its messages wait for the proof that its receiver wants them: see its `state`.
    verified: bool,
    pub(crate) failover: Option<FailoverBody>,
    filter: Option<String>,
}

impl EndpointIn {
    /// The parts of a command, each value under one name. Notes the names that do not agree, and policies without
    /// shape.
    pub(crate) fn into_parts(self, checks: &mut Checks) -> (EndpointFields, Option<SecretText>, Option<Headers>) {
        let rate = either(checks, ("throttleRate", self.throttle_rate), ("rateLimit", self.rate_limit));
        self.retry_policy.iter().for_each(|policy| policy.check(&["retryPolicy"], checks));
        let fields = EndpointFields {
            url: Some(self.url),
            description: self.description,
            uid: self.uid,
            disabled: self.disabled,
            event_types: either_filter(checks, self.event_types.into(), self.filter_types.into()),
            channels: self.channels.into(),
            metadata: self.metadata,
            rate_limit: rate.into(),
            timeout_ms: self.timeout_ms.into(),
            max_in_flight: self.max_in_flight.into(),
            ca_pem: self.ca_pem.into(),
            retry_policy: self.retry_policy.map(|policy| policy.to_model()).into(),
            on_client_error: self.on_client_error.map(Into::into).into(),
            version: self.version,
            order: self.order.map(Into::into).into(),
            on_give_up: self.on_give_up.map(Into::into).into(),
            paused: self.paused,
            signature_format: self.signature_format.map(SignatureFormatBody::into_model).into(),
            payload_mode: self.payload_mode.map(Into::into).into(),
            disable_after_failed_deliveries: self.disable_after_failed_deliveries.into(),
            dead_letter_retention_days: self.dead_letter_retention_days.into(),
            burst: self.burst.into(),
            failover: self.failover.map(Into::into).into(),
            filter: self.filter.into(),
        };
        (fields, self.secret.map(Zeroizing::new), self.headers)
    }
}

impl EndpointPatch {
    /// As [`EndpointIn::into_parts`].
    pub(crate) fn into_parts(self, checks: &mut Checks) -> (EndpointFields, Option<SecretText>) {
        let (new, old) = (self.throttle_rate.as_set(), self.rate_limit.as_set());
        either(checks, ("throttleRate", new), ("rateLimit", old));
        self.retry_policy.as_set().iter().for_each(|policy| policy.check(&["retryPolicy"], checks));
        let fields = EndpointFields {
            url: self.url,
            description: self.description,
            uid: self.uid,
            disabled: self.disabled,
            event_types: either_filter(checks, self.event_types, self.filter_types),
            channels: self.channels,
            metadata: self.metadata,
            rate_limit: self.throttle_rate.or(self.rate_limit),
            timeout_ms: self.timeout_ms,
            max_in_flight: self.max_in_flight,
            ca_pem: self.ca_pem,
            retry_policy: self.retry_policy.map(|policy| policy.to_model()),
            on_client_error: self.on_client_error.map(Into::into),
            version: self.version,
            order: self.order.map(Into::into),
            on_give_up: self.on_give_up.map(Into::into),
            paused: self.paused,
            signature_format: self.signature_format.map(SignatureFormatBody::into_model),
            payload_mode: self.payload_mode.map(Into::into),
            disable_after_failed_deliveries: self.disable_after_failed_deliveries,
            dead_letter_retention_days: self.dead_letter_retention_days,
            burst: self.burst,
            failover: self.failover.map(Into::into),
            filter: self.filter,
        };
        (fields, self.secret.map(Zeroizing::new))
    }
}

/// The filter under either of its names, whose order says nothing. Lists that are too long are not sorted: the command
/// refuses them.
fn either_filter(checks: &mut Checks, new: Patch<Vec<String>>, old: Patch<Vec<String>>) -> Patch<Vec<String>> {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names
    };
    if let (Some(new), Some(old)) = (new.as_set(), old.as_set())
        && (new.len() != old.len() || new.len() <= ENDPOINT_EVENT_TYPES_MAX && sorted(new) != sorted(old))
    {
        checks.wrong(&["filterTypes"], "differs from eventTypes", "value_error.conflict");
    }
    new.or(old)
}

/// An empty filter goes out as null, which is how clients write "all".
fn all_as_null(names: &[String]) -> Option<Vec<String>> {
    (!names.is_empty()).then(|| names.to_vec())
}

impl From<&Endpoint> for EndpointOut {
    fn from(endpoint: &Endpoint) -> EndpointOut {
        EndpointOut {
            id: endpoint.public_id(),
            url: masked(&endpoint.url).into_owned(),
            version: endpoint.version.unwrap_or(1),
            description: endpoint.description.clone(),
            uid: endpoint.uid.clone(),
            disabled: endpoint.disabled.is_some(),
            disabled_reason: endpoint.disabled.map(|disabled| disabled.reason.as_str()),
            disabled_at: endpoint.disabled.map(|disabled| Timestamp(disabled.at)),
            event_types: all_as_null(&endpoint.event_types),
            filter_types: all_as_null(&endpoint.event_types),
            channels: all_as_null(&endpoint.channels),
            metadata: metadata_of(&endpoint.metadata),
            throttle_rate: endpoint.rate_limit,
            rate_limit: endpoint.rate_limit,
            timeout_ms: endpoint.timeout_ms,
            max_in_flight: endpoint.max_in_flight,
            ca_pem: (!endpoint.ca_pem.is_empty()).then(|| endpoint.ca_pem.clone()),
            retry_policy: endpoint.retry_policy.as_ref().map(Into::into),
            on_client_error: endpoint.on_client_error.map(Into::into),
            created_at: Timestamp(endpoint.created_at),
            updated_at: Timestamp(endpoint.updated_at),
            order: endpoint.order.into(),
            on_give_up: endpoint.on_give_up.into(),
            paused: endpoint.paused.is_some(),
            paused_reason: endpoint.paused.map(|paused| paused.reason.as_str()),
            paused_at: endpoint.paused.map(|paused| Timestamp(paused.at)),
            signature_format: endpoint.signature_format.as_ref().map(Into::into),
            payload_mode: (&endpoint.payload_mode).into(),
            disable_after_failed_deliveries: endpoint.disable_after_failed_deliveries,
            dead_letter_retention_days: endpoint.dead_letter_retention_days,
            burst: endpoint.burst,
            verified: !endpoint.is_unverified(),
            failover: endpoint.failover.as_ref().map(Into::into),
            filter: endpoint.filter.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppId, EndpointId, EndpointRef, UnixMs};

    fn read(body: &str) -> (EndpointFields, Vec<String>) {
        let mut checks = Checks::default();
        let (fields, _, _) = serde_json::from_str::<EndpointIn>(body).unwrap().into_parts(&mut checks);
        let wrong = match checks.finish() {
            Err(control::Error::Invalid(wrong)) => wrong.iter().map(|wrong| wrong.at.join(".")).collect(),
            _ => Vec::new(),
        };
        (fields, wrong)
    }

    fn plain() -> Endpoint {
        Endpoint::plain(EndpointRef { app: AppId(1), endpoint: EndpointId(2) }, UnixMs(5))
    }

    #[test]
    fn either_generation_names_the_filter_and_both_read_it() {
        for body in [r#"{"url":"x","filterTypes":["a"]}"#, r#"{"url":"x","eventTypes":["a"],"filterTypes":["a"]}"#] {
            let (fields, wrong) = read(body);
            assert!(wrong.is_empty());
            assert_eq!(fields.event_types.as_set().unwrap(), &["a"]);
        }
        let row = Endpoint { event_types: vec!["a".to_owned()], ..plain() };
        let out = serde_json::to_value(EndpointOut::from(&row)).unwrap();
        assert_eq!((&out["filterTypes"][0], &out["eventTypes"][0]), (&"a".into(), &"a".into()));
        assert_eq!(out["version"], 1);
        assert_eq!(read(r#"{"url":"x","eventTypes":["a"],"filterTypes":["b"]}"#).1, ["filterTypes"]);
        assert_eq!(read(r#"{"url":"x","eventTypes":["a"],"filterTypes":["a","a"]}"#).1, ["filterTypes"]);
        assert_eq!(read(r#"{"url":"x","throttleRate":1,"rateLimit":2}"#).1, ["rateLimit"]);
        assert!(read(r#"{"url":"x","eventTypes":["a","b"],"filterTypes":["b","a"]}"#).1.is_empty());
    }

    #[test]
    fn an_endpoint_without_filter_shows_null() {
        let out = serde_json::to_value(EndpointOut::from(&plain())).unwrap();
        assert!(out["eventTypes"].is_null() && out["channels"].is_null() && out["metadata"].is_object());
    }

    #[test]
    fn a_patch_clears_with_null_by_either_name() {
        let body = r#"{"uid":null,"channels":[],"filterTypes":null,"timeoutMs":null,"rateLimit":null}"#;
        let mut checks = Checks::default();
        let (fields, _) = serde_json::from_str::<EndpointPatch>(body).unwrap().into_parts(&mut checks);
        assert!(checks.finish().is_ok());
        assert_eq!((fields.uid, fields.event_types), (Patch::Clear, Patch::Clear));
        assert_eq!((fields.timeout_ms, fields.rate_limit), (Patch::Clear, Patch::Clear));
        assert_eq!((fields.channels, fields.max_in_flight), (Patch::Set(Vec::new()), Patch::Keep));
    }
}
