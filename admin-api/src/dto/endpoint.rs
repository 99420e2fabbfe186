//! Endpoints: `EndpointIn`, `EndpointPatch`, `EndpointOut`.
//!
//! `filterTypes`, `rateLimit` and `version` are what clients of the first generation call `eventTypes` and
//! `throttleRate`; `timeoutMs`, `maxInFlight`, `caPem`, `retryPolicy`, `onClientError` and `disabledReason` are ours. Secrets and
//! custom headers come with an endpoint but never go out with one. Storing and sealing are [`crate::routes`]'.

use crate::dto::fields::{Metadata, Patch, bounded_metadata, given, given_metadata, metadata_of, metadata_text};
use crate::dto::retry_policy::{OnClientError, RetryPolicyBody};
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::limits;
use crate::validate::{Checks, either};
use engine::dispatch::{masked, read_roots};
use model::id::IdKind;
use model::{AppId, Disabled, DisabledReason, Endpoint, EndpointId, Seq, UnixMs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An endpoint to create, or to replace by: what is left out is cleared, but for the secret and the headers, which stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EndpointIn {
    /// `http` or `https`, at most 8,192 bytes. A user name and password in it are sent as `Authorization: Basic`, kept
    /// encrypted, and shown as `***`: `https://***@host/`. A PUT with the URL exactly as it was read keeps them; `***` with
    /// anything else changed is refused.
    #[schema(max_length = 8192)]
    pub(crate) url: String,
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
    /// Root certificates in PEM that the receiver's certificate may lead to, besides those that everyone's may: for receivers
    /// with a private authority. At most 64 KiB.
    #[schema(max_length = 65536)]
    ca_pem: Option<String>,
    retry_policy: Option<RetryPolicyBody>,
    on_client_error: Option<OnClientError>,
    /// A number of your own, shown again and of no effect. Default: 1.
    #[schema(minimum = 1)]
    version: Option<u16>,
    /// The signing secret; one is made for a new endpoint when it is left out. In a PUT of another secret than the present
    /// one it takes over at once and without overlap.
    pub(crate) secret: Option<String>,
    /// Custom headers: all of them.
    pub(crate) headers: Option<BTreeMap<String, String>>,
}

/// Changes to an endpoint: what is left out stays.
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
    /// A new signing secret, at once and without overlap.
    #[serde(default, deserialize_with = "given")]
    pub(crate) secret: Option<String>,
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
    /// `operator`, `gone` (it answered 410) or `failing` (nothing but failures for too long).
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
}

impl EndpointIn {
    /// Checks everything but the target, the secret and the headers, which the engine judges.
    pub(crate) fn check(&self, checks: &mut Checks) {
        check_common(checks, self.description.as_deref(), self.uid.as_set(), self.metadata.as_ref());
        check_filter(checks, self.event_types.as_deref(), self.filter_types.as_deref(), false);
        self.channels.iter().for_each(|names| checks.channels(names, limits::ENDPOINT_CHANNELS_MAX, false));
        let rate = either(checks, ("throttleRate", self.throttle_rate), ("rateLimit", self.rate_limit));
        check_pace(checks, rate, self.timeout_ms, self.max_in_flight);
        check_ca_pem(checks, self.ca_pem.as_deref());
        check_version(checks, self.version);
        self.retry_policy.iter().for_each(|policy| policy.check(checks));
    }

    /// A new endpoint, without secrets and headers.
    pub(crate) fn create(self, place: NewEndpoint) -> Result<Endpoint, ApiError> {
        let metadata = metadata_text(&self.metadata.unwrap_or_default())?;
        let disabled = Disabled { at: place.now, reason: DisabledReason::Operator };
        Ok(Endpoint {
            id: place.id,
            app: place.app,
            salt: place.salt,
            uid: self.uid.apply(None),
            url: self.url,
            description: self.description.unwrap_or_default(),
            event_types: self.event_types.or(self.filter_types).unwrap_or_default(),
            channels: self.channels.unwrap_or_default(),
            rate_limit: self.throttle_rate.or(self.rate_limit),
            max_in_flight: self.max_in_flight,
            timeout_ms: self.timeout_ms,
            retry_policy: self.retry_policy.map(|policy| policy.to_model()),
            on_client_error: self.on_client_error.map(Into::into),
            disabled: self.disabled.unwrap_or(false).then_some(disabled),
            // Set when it is stored: only the table knows the head of the log then.
            active_from: Seq::ZERO,
            secrets: Vec::new(),
            sealed_headers: None,
            metadata,
            created_at: place.now,
            updated_at: place.now,
            version: self.version,
            sealed_user_info: None,
            ca_pem: self.ca_pem.unwrap_or_default(),
        })
    }

    /// The row that replaces `current`: everything comes from this, but for secrets, headers and whether it is disabled, which
    /// [`crate::routes::endpoint`] decides.
    pub(crate) fn replace(self, current: &Endpoint, now: UnixMs) -> Result<Endpoint, ApiError> {
        let place = NewEndpoint { id: current.id, app: current.app, salt: current.salt, now };
        Ok(Endpoint {
            active_from: current.active_from,
            disabled: current.disabled,
            secrets: current.secrets.clone(),
            sealed_headers: current.sealed_headers.clone(),
            created_at: current.created_at,
            ..self.create(place)?
        })
    }
}

/// Values that the creation gives a new endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEndpoint {
    /// Its number.
    pub(crate) id: EndpointId,
    /// Whose.
    pub(crate) app: AppId,
    /// Random, below 2^48.
    pub(crate) salt: u64,
    /// The time.
    pub(crate) now: UnixMs,
}

impl EndpointPatch {
    /// As [`EndpointIn::check`].
    pub(crate) fn check(&self, checks: &mut Checks) {
        check_common(checks, self.description.as_deref(), self.uid.as_set(), self.metadata.as_ref());
        let (new, old) = (self.event_types.as_set(), self.filter_types.as_set());
        check_filter(checks, new.map(Vec::as_slice), old.map(Vec::as_slice), true);
        self.channels.as_set().iter().for_each(|names| checks.channels(names, limits::ENDPOINT_CHANNELS_MAX, true));
        let (new, old) = (self.throttle_rate.as_set().copied(), self.rate_limit.as_set().copied());
        let rate = either(checks, ("throttleRate", new), ("rateLimit", old));
        check_pace(checks, rate, self.timeout_ms.as_set().copied(), self.max_in_flight.as_set().copied());
        check_ca_pem(checks, self.ca_pem.as_set().map(String::as_str));
        check_version(checks, self.version);
        self.retry_policy.as_set().iter().for_each(|policy| policy.check(checks));
    }

    /// The row that `current` becomes, but for its secrets and whether it is disabled.
    pub(crate) fn apply(self, current: Endpoint, now: UnixMs) -> Result<Endpoint, ApiError> {
        let metadata = self.metadata.as_ref().map(metadata_text).transpose()?;
        let (event_types, channels) = (self.event_types.or(self.filter_types), self.channels);
        Ok(Endpoint {
            url: self.url.unwrap_or(current.url),
            description: self.description.unwrap_or(current.description),
            uid: self.uid.apply(current.uid),
            event_types: event_types.apply(Some(current.event_types)).unwrap_or_default(),
            channels: channels.apply(Some(current.channels)).unwrap_or_default(),
            rate_limit: self.throttle_rate.or(self.rate_limit).apply(current.rate_limit),
            timeout_ms: self.timeout_ms.apply(current.timeout_ms),
            max_in_flight: self.max_in_flight.apply(current.max_in_flight),
            ca_pem: self.ca_pem.apply(Some(current.ca_pem)).unwrap_or_default(),
            retry_policy: self.retry_policy.map(|policy| policy.to_model()).apply(current.retry_policy),
            on_client_error: self.on_client_error.map(Into::into).apply(current.on_client_error),
            metadata: metadata.unwrap_or(current.metadata),
            version: self.version.or(current.version),
            updated_at: now,
            ..current
        })
    }
}

/// The filter under either of its names. Lists that are too long are neither sorted nor looked through.
fn check_filter(checks: &mut Checks, new: Option<&[String]>, old: Option<&[String]>, may_be_empty: bool) {
    let is_short = |names: &&[String]| names.len() <= limits::ENDPOINT_EVENT_TYPES_MAX;
    if new.iter().chain(&old).all(is_short) {
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort_unstable();
            names
        };
        let filter = either(checks, ("eventTypes", new.map(sorted)), ("filterTypes", old.map(sorted)));
        filter.iter().for_each(|filter| checks.event_type_filter("eventTypes", filter, may_be_empty));
    } else {
        let least = usize::from(!may_be_empty);
        for (field, names) in [("eventTypes", new), ("filterTypes", old)] {
            names.iter().for_each(|names| {
                checks.count(field, names.len(), least, limits::ENDPOINT_EVENT_TYPES_MAX);
            });
        }
    }
}

fn check_common(checks: &mut Checks, description: Option<&str>, uid: Option<&String>, metadata: Option<&Metadata>) {
    description.iter().for_each(|text| checks.text("description", text, 0, limits::DESCRIPTION_BYTES_MAX));
    checks.path_name_if_any("uid", IdKind::Endpoint, uid.map(String::as_str));
    metadata.iter().for_each(|metadata| checks.metadata(metadata));
}

/// An empty text clears it, as null does.
fn check_ca_pem(checks: &mut Checks, pem: Option<&str>) {
    let Some(pem) = pem.filter(|pem| !pem.is_empty()) else { return };
    checks.text("caPem", pem, 0, limits::CA_PEM_BYTES_MAX);
    if pem.len() <= limits::CA_PEM_BYTES_MAX
        && let Err(error) = read_roots(pem.as_bytes())
    {
        checks.wrong(&["caPem"], error.to_string(), "value_error.certificate");
    }
}

fn check_pace(checks: &mut Checks, rate: Option<u32>, timeout_ms: Option<u32>, max_in_flight: Option<u16>) {
    rate.iter().for_each(|rate| checks.within("throttleRate", *rate, &(1..=limits::RATE_MAX)));
    timeout_ms.iter().for_each(|timeout_ms| checks.within("timeoutMs", *timeout_ms, &limits::TIMEOUT_MS));
    max_in_flight.iter().for_each(|count| checks.within("maxInFlight", *count, &limits::MAX_IN_FLIGHT));
}

fn check_version(checks: &mut Checks, version: Option<u16>) {
    version.iter().for_each(|version| checks.within("version", *version, &(1..=u16::MAX)));
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> EndpointIn {
        serde_json::from_str(body).unwrap()
    }

    fn wrong(body: &str) -> Vec<String> {
        let mut checks = Checks::of("body");
        read(body).check(&mut checks);
        let error = checks.finish().err();
        let items = error.as_ref().and_then(ApiError::items).unwrap_or_default();
        items.iter().map(|item| item.loc.join(".")).collect()
    }

    fn created(body: &str) -> Endpoint {
        let place = NewEndpoint { id: EndpointId(2), app: AppId(1), salt: 3, now: UnixMs(5) };
        Endpoint { active_from: Seq(4), ..read(body).create(place).unwrap() }
    }

    #[test]
    fn either_generation_names_the_filter_and_both_read_it() {
        for body in [r#"{"url":"x","filterTypes":["a"]}"#, r#"{"url":"x","eventTypes":["a"],"filterTypes":["a"]}"#] {
            assert!(wrong(body).is_empty());
            let out = serde_json::to_value(EndpointOut::from(&created(body))).unwrap();
            assert_eq!((&out["filterTypes"][0], &out["eventTypes"][0]), (&"a".into(), &"a".into()));
            assert_eq!(out["version"], 1);
        }
        let own = created(r#"{"url":"x","version":3}"#);
        assert_eq!(serde_json::to_value(EndpointOut::from(&own)).unwrap()["version"], 3);
        assert_eq!(wrong(r#"{"url":"x","version":0}"#), ["body.version"]);
        assert_eq!(wrong(r#"{"url":"x","eventTypes":["a"],"filterTypes":["b"]}"#), ["body.filterTypes"]);
        assert!(wrong(r#"{"url":"x","eventTypes":["a","b"],"filterTypes":["b","a"]}"#).is_empty());
    }

    #[test]
    fn an_endpoint_without_filter_shows_null() {
        let out = serde_json::to_value(EndpointOut::from(&created(r#"{"url":"x"}"#))).unwrap();
        assert!(out["eventTypes"].is_null() && out["channels"].is_null() && out["metadata"].is_object());
    }

    #[test]
    fn a_patch_clears_with_null_and_an_empty_list() {
        let current =
            created(r#"{"url":"x","uid":"u","channels":["c"],"eventTypes":["a"],"rateLimit":4,"timeoutMs":500}"#);
        let body = r#"{"uid":null,"channels":[],"filterTypes":null,"timeoutMs":null}"#;
        let after = serde_json::from_str::<EndpointPatch>(body).unwrap().apply(current, UnixMs(9)).unwrap();
        assert_eq!((after.uid, after.timeout_ms, after.rate_limit), (None, None, Some(4)));
        assert!(after.channels.is_empty() && after.event_types.is_empty());
        assert_eq!(after.active_from, Seq(4));
    }

    #[test]
    fn a_put_keeps_what_is_not_in_its_body_by_nature() {
        let current = created(r#"{"url":"x","uid":"u","description":"d"}"#);
        let after = read(r#"{"url":"y"}"#).replace(&current, UnixMs(9)).unwrap();
        assert_eq!((after.uid, after.description.as_str(), after.url.as_str()), (None, "", "y"));
        assert_eq!((after.created_at, after.active_from), (UnixMs(5), Seq(4)));
    }

    #[test]
    fn every_bound_is_named() {
        let body = r#"{"url":"x","timeoutMs":1,"maxInFlight":0,"rateLimit":0,"channels":[],"eventTypes":["*"]}"#;
        let expected =
            ["body.eventTypes.0", "body.channels", "body.throttleRate", "body.timeoutMs", "body.maxInFlight"];
        assert_eq!(wrong(body), expected);
    }
}
