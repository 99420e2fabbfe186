//! The settings of an endpoint that a caller may set, checked and put into a row. A new endpoint, a replaced one and a
//! changed one share the list of fields.
//!
//! Secrets and custom headers, which lie sealed, are [`super::secret`]'s and [`super::headers`]'; the user name and
//! password of a URL are [`super::user_info`]'s.

use super::failover::FailoverFields;
use super::signature_format::check_format;
use crate::checks::Checks;
use crate::command::pause::paused;
use crate::command::{Metadata, metadata_text};
use crate::error::Error;
use crate::limits::{self, Rules};
use crate::patch::Patch;
use engine::dispatch::{check_url, read_roots};
use model::id::IdKind;
use model::{
    ClientErrorPolicy, Disabled, DisabledReason, Endpoint, OnGiveUp, Order, PayloadMode, RetryPolicy, SignatureFormat,
    UnixMs,
};

/// Settings; one that is left alone keeps the value that the row has before.
#[derive(Clone, Default)]
pub struct EndpointFields {
    /// `http` or `https`. As it was read, with its user name and password masked, or with new ones in the clear.
    pub url: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The tenant's own name for it, unique within the application.
    pub uid: Patch<String>,
    /// Nothing is sent to it.
    pub disabled: Option<bool>,
    /// Exact names and `prefix.*`; none or an empty list for every type.
    pub event_types: Patch<Vec<String>>,
    /// None or an empty list for every channel.
    pub channels: Patch<Vec<String>>,
    /// The owner's notes.
    pub metadata: Option<Metadata>,
    /// Deliveries per second.
    pub rate_limit: Patch<u32>,
    /// Deadline of one attempt, in milliseconds.
    pub timeout_ms: Patch<u32>,
    /// Attempts at once.
    pub max_in_flight: Patch<u16>,
    /// Root certificates in PEM; an empty text for none.
    pub ca_pem: Patch<String>,
    /// The schedule of retries after failures.
    pub retry_policy: Patch<RetryPolicy>,
    /// The consequence of a 4xx that has no meaning of its own.
    pub on_client_error: Patch<ClientErrorPolicy>,
    /// The number that clients of the first generation give their endpoints.
    pub version: Option<u16>,
    /// In which order its messages are sent.
    pub order: Patch<Order>,
    /// The effect of a delivery that is given up.
    pub on_give_up: Patch<OnGiveUp>,
    /// True if deliveries to it wait.
    pub paused: Option<bool>,
    /// The form of its signatures.
    pub signature_format: Patch<SignatureFormat>,
    /// The body of its requests; of a reference, the application is filled in when the row is written.
    pub payload_mode: Patch<PayloadMode>,
    /// Deliveries in a row that used up their attempts, after which it is disabled.
    pub disable_after_failed_deliveries: Patch<u16>,
    /// Days that its dead letters are kept.
    pub dead_letter_retention_days: Patch<u16>,
    /// Deliveries that its rate may save up.
    pub burst: Patch<u32>,
    /// The endpoint that gets its deliveries while it fails. Applied by [`super::failover`].
    pub failover: Patch<FailoverFields>,
    /// An expression over messages.
    pub filter: Patch<String>,
}

impl EndpointFields {
    /// Notes all faults. A filter that is given may be empty in a change, where it clears, and not in a whole endpoint.
    pub(super) fn check(&self, rules: &Rules, checks: &mut Checks, is_whole: bool) {
        if let Some(url) = &self.url
            && let Err(error) = check_url(url, &rules.guard)
        {
            checks.wrong(&["url"], error.to_string(), "value_error.url");
        }
        self.description.iter().for_each(|text| checks.text("description", text, 0, limits::DESCRIPTION_BYTES_MAX));
        checks.path_name_if_any("uid", IdKind::Endpoint, self.uid.as_set().map(String::as_str));
        self.metadata.iter().for_each(|metadata| checks.metadata(metadata));
        let filter = self.event_types.as_set();
        filter.iter().for_each(|names| checks.event_type_filter("eventTypes", names, !is_whole));
        let channels = self.channels.as_set();
        channels.iter().for_each(|names| checks.channels(names, limits::ENDPOINT_CHANNELS_MAX, !is_whole));
        self.rate_limit.as_set().iter().for_each(|rate| checks.within("throttleRate", **rate, &(1..=limits::RATE_MAX)));
        self.timeout_ms.as_set().iter().for_each(|ms| checks.within("timeoutMs", **ms, &limits::TIMEOUT_MS));
        self.max_in_flight.as_set().iter().for_each(|n| checks.within("maxInFlight", **n, &limits::MAX_IN_FLIGHT));
        self.version.iter().for_each(|version| checks.within("version", *version, &(1..=u16::MAX)));
        let failed = self.disable_after_failed_deliveries.as_set();
        let field = "disableAfterFailedDeliveries";
        failed.iter().for_each(|n| checks.within(field, **n, &limits::FAILED_DELIVERIES));
        let days = self.dead_letter_retention_days.as_set();
        days.iter().for_each(|n| checks.within("deadLetterRetentionDays", **n, &limits::DEAD_LETTER_DAYS));
        self.burst.as_set().iter().for_each(|n| checks.within("burst", **n, &limits::BURST));
        self.failover.as_set().iter().for_each(|failover| failover.check(checks));
        check_ca_pem(checks, self.ca_pem.as_set().map(String::as_str));
        self.signature_format.as_set().iter().for_each(|format| check_format(checks, format));
        checks.content_filter_if_any("filter", self.filter.as_set().map(String::as_str));
    }

    /// The row that `before` becomes. Disabled by hand, it notes the time; the table handles the messages that pass it
    /// by.
    pub(super) fn apply(self, before: Endpoint, now: UnixMs) -> Result<Endpoint, Error> {
        let metadata = self.metadata.as_ref().map(metadata_text).transpose()?;
        let by_hand = Disabled { at: now, reason: DisabledReason::Operator };
        let (rate_limit, burst) = (self.rate_limit.apply(before.rate_limit), self.burst.apply(before.burst));
        if burst.is_some() && rate_limit.is_none() {
            return Err(Error::invalid(&["burst"], "needs a throttleRate", "value_error.conflict"));
        }
        let is_disabled = self.disabled.unwrap_or(before.disabled.is_some());
        Ok(Endpoint {
            url: self.url.unwrap_or(before.url),
            description: self.description.unwrap_or(before.description),
            uid: self.uid.apply(before.uid),
            disabled: is_disabled.then(|| before.disabled.unwrap_or(by_hand)),
            event_types: self.event_types.apply(Some(before.event_types)).unwrap_or_default(),
            channels: self.channels.apply(Some(before.channels)).unwrap_or_default(),
            metadata: metadata.unwrap_or(before.metadata),
            rate_limit,
            timeout_ms: self.timeout_ms.apply(before.timeout_ms),
            max_in_flight: self.max_in_flight.apply(before.max_in_flight),
            ca_pem: self.ca_pem.apply(Some(before.ca_pem)).unwrap_or_default(),
            retry_policy: self.retry_policy.apply(before.retry_policy),
            on_client_error: self.on_client_error.apply(before.on_client_error),
            version: self.version.or(before.version),
            order: self.order.apply(Some(before.order)).unwrap_or_default(),
            on_give_up: self.on_give_up.apply(Some(before.on_give_up)).unwrap_or_default(),
            paused: paused(self.paused.unwrap_or(before.paused.is_some()), before.paused, now),
            signature_format: self.signature_format.apply(before.signature_format),
            payload_mode: self.payload_mode.apply(before.payload_mode),
            disable_after_failed_deliveries: self
                .disable_after_failed_deliveries
                .apply(before.disable_after_failed_deliveries),
            dead_letter_retention_days: self.dead_letter_retention_days.apply(before.dead_letter_retention_days),
            burst,
            filter: self.filter.apply(before.filter),
            updated_at: now,
            ..before
        })
    }
}

fn check_ca_pem(checks: &mut Checks, pem: Option<&str>) {
    let Some(pem) = pem.filter(|pem| !pem.is_empty()) else { return };
    checks.text("caPem", pem, 0, limits::CA_PEM_BYTES_MAX);
    if pem.len() <= limits::CA_PEM_BYTES_MAX
        && let Err(error) = read_roots(pem.as_bytes())
    {
        checks.wrong(&["caPem"], error.to_string(), "value_error.certificate");
    }
}
