//! A message to deliver, `MessageIn`, read without copying its payload.
//!
//! The payload stays the text that came in: it is checked to be a JSON object and never parsed into anything else. So
//! an endpoint gets and verifies the very bytes that were pushed. A message may name any event type, in the catalogue
//! or not.

use crate::dto::application::ApplicationIn;
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use bytes::Bytes;
use control::Checks;
use control::command::message::{PushTimes, check_message, check_times};
use control::limits;
use engine::{MessageMore, NewMessage};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A message to deliver.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MessageIn<'a> {
    /// The type of the event, e.g. `invoice.paid`.
    #[serde(borrow)]
    #[schema(value_type = String, pattern = "^[a-zA-Z0-9\\-_.]+$", max_length = 256)]
    event_type: Cow<'a, str>,
    /// A JSON object, delivered byte for byte.
    #[serde(borrow)]
    #[schema(value_type = Object)]
    payload: &'a RawValue,
    /// Your own identifier for it, unique in the application.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, pattern = "^[a-zA-Z0-9\\-_.]+$", max_length = 256)]
    event_id: Option<Cow<'a, str>>,
    /// At most 5: an endpoint that names channels gets it only when it names one of these.
    channels: Option<Vec<String>>,
    /// Creates the application of the path when it does not exist.
    pub(crate) application: Option<ApplicationIn>,
    /// Words to find it by in lists, at most 10 of at most 128 bytes.
    tags: Option<Vec<String>>,
    /// Days after which the payload is expunged. Not together with hours. Clients of the first generation always say
    /// 90.
    #[schema(minimum = 5, maximum = 90)]
    payload_retention_period: Option<i64>,
    /// Hours after which the payload is expunged.
    #[schema(minimum = 1, maximum = 2160)]
    payload_retention_hours: Option<i64>,
    /// Messages with the same one, of 1 to 256 bytes, keep their order at endpoints with `order: key`.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    ordering_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    transformations_params: Option<TransformationsParams<'a>>,
    /// When it is to be delivered: at most 90 days ahead, and not beyond the time that messages are kept for. A time that
    /// has passed means at once.
    #[schema(inline)]
    deliver_at: Option<Timestamp>,
    /// From when on it is not attempted any more: after now, and after `deliverAt`. Not together with `ttlSeconds`.
    #[schema(inline)]
    expires_at: Option<Timestamp>,
    /// The same in seconds from `deliverAt`, or from when it was taken.
    #[schema(minimum = 1, maximum = 7_776_000)]
    ttl_seconds: Option<i64>,
}

/// The fields that the raw-payload form of clients puts beside an empty payload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TransformationsParams<'a> {
    /// The payload as text, delivered byte for byte. Lists show `{}` for one that is no JSON object.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    raw_payload: Option<Cow<'a, str>>,
    /// Only `content-type`: the type that the payload is delivered as. A payload that is no JSON must name it.
    headers: Option<BTreeMap<String, String>>,
}

impl MessageIn<'_> {
    /// Checks everything and turns it into the engine's form. It was read from `body`, and the payload stays a part of
    /// that.
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(crate) fn into_new(
        self,
        body: &Bytes,
        idempotency_key: Option<String>,
        times: impl FnOnce() -> PushTimes,
    ) -> Result<NewMessage, ApiError> {
        let mut checks = Checks::default();
        let payload_kept_ms = kept_ms(&mut checks, self.payload_retention_period, self.payload_retention_hours);
        let (raw, content_type) = raw_form(&mut checks, self.transformations_params);
        let payload = match raw {
            Some(raw) => Bytes::from(raw.into_owned().into_bytes()),
            None => {
                if !self.payload.get().starts_with('{') {
                    let msg =
                        "must be a JSON object; anything else goes into transformationsParams.rawPayload, as text";
                    checks.wrong(&["payload"], msg, "type_error.dict");
                }
                body.slice_ref(self.payload.get().as_bytes())
            }
        };
        let (deliver_at, expires_at) = (self.deliver_at.map(|at| at.0), self.expires_at.map(|at| at.0));
        let more = MessageMore {
            audit: None,
            tags: self.tags.unwrap_or_default(),
            content_type,
            payload_kept_ms,
            ordering_key: self.ordering_key.map(Cow::into_owned),
            deliver_at,
            expires_at,
            ttl_ms: ttl_ms(&mut checks, self.ttl_seconds),
        };
        check_times(&more, times, &mut checks);
        let message = NewMessage {
            event_type: self.event_type.into_owned(),
            event_id: self.event_id.map(Cow::into_owned),
            channels: self.channels.unwrap_or_default(),
            payload,
            idempotency_key,
            only_for: None,
            more: (more != MessageMore::default()).then(|| Box::new(more)),
        };
        check_message(&message, &mut checks);
        checks.finish()?;
        Ok(message)
    }
}

/// Milliseconds for which the payload is to be kept.
fn kept_ms(checks: &mut Checks, days: Option<i64>, hours: Option<i64>) -> Option<u64> {
    const HOUR_MS: u64 = 3_600_000;
    days.iter().for_each(|days| checks.within("payloadRetentionPeriod", *days, &limits::PAYLOAD_DAYS));
    hours.iter().for_each(|hours| checks.within("payloadRetentionHours", *hours, &limits::PAYLOAD_HOURS));
    if days.is_some() && hours.is_some() {
        checks.wrong(&["payloadRetentionHours"], "is given beside payloadRetentionPeriod", "value_error.conflict");
    }
    let hours = hours.or(days.map(|days| days.saturating_mul(24)))?;
    Some(u64::try_from(hours).unwrap_or_default() * HOUR_MS)
}

/// How long it may be attempted.
fn ttl_ms(checks: &mut Checks, seconds: Option<i64>) -> Option<u64> {
    let seconds = seconds?;
    checks.within("ttlSeconds", seconds, &limits::TTL_S);
    Some(u64::try_from(seconds).unwrap_or_default().saturating_mul(1_000))
}

/// The payload of the raw form with the type it goes out as, where that is not the usual one.
fn raw_form<'a>(
    checks: &mut Checks,
    params: Option<TransformationsParams<'a>>,
) -> (Option<Cow<'a, str>>, Option<String>) {
    const FIELD: &str = "transformationsParams";
    let Some(TransformationsParams { raw_payload, headers }) = params else { return (None, None) };
    let named = content_type_of(checks, headers.unwrap_or_default());
    let Some(raw) = raw_payload else {
        if named.is_some() {
            checks.wrong(&[FIELD, "headers"], "is for a rawPayload", "value_error.missing");
        }
        return (None, None);
    };
    let path = [FIELD, "rawPayload"];
    if raw.is_empty() {
        checks.wrong(&path, "must not be empty", "value_error.any_str.length");
    }
    let is_object = is_object_text(&raw);
    if named.is_none() && !is_object && serde_json::from_str::<&RawValue>(&raw).is_err() {
        let msg = "is not JSON: name what it is in transformationsParams.headers.content-type";
        checks.wrong(&path, msg, "value_error.jsondecode");
    }
    let content_type = match named {
        Some(named) if named == JSON && is_object => None,
        None if is_object => None,
        named => Some(named.unwrap_or_else(|| JSON.to_owned())),
    };
    (Some(raw), content_type)
}

/// The content type that the raw form names, which is the only header that it may name.
fn content_type_of(checks: &mut Checks, headers: BTreeMap<String, String>) -> Option<String> {
    let mut found = None;
    for (name, value) in headers {
        let path = ["transformationsParams", "headers", &name];
        if !name.eq_ignore_ascii_case("content-type") || found.is_some() {
            checks.wrong(&path, "is not supported: only one content-type is", "value_error.extra");
            return None;
        }
        let printable = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !printable || value.trim() != value || !value.contains('/') || value.len() > limits::CONTENT_TYPE_BYTES_MAX {
            let msg = format!("must be a media type of at most {} bytes", limits::CONTENT_TYPE_BYTES_MAX);
            checks.wrong(&path, msg, "value_error.str.regex");
        }
        found = Some(value);
    }
    found
}

/// The type of payloads that name none.
const JSON: &str = "application/json";

/// True when a text is one JSON object and nothing else.
pub(super) fn is_object_text(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().starts_with('{'))
}

/// An example to send to one endpoint.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EventExampleIn {
    pub(crate) event_type: String,
    /// Which of the examples in the event type's schema. Default: the first.
    pub(crate) example_index: Option<usize>,
    /// A payload of your own instead.
    #[schema(value_type = Option<Object>)]
    pub(crate) payload: Option<serde_json::Map<String, serde_json::Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto::fields::JsonText;
    use crate::json::from_body;
    use model::UnixMs;

    const NOW: UnixMs = UnixMs(1_795_153_661_564);

    fn times() -> PushTimes {
        PushTimes { now: NOW, deliver_within_ms: limits::DELIVER_WITHIN_MS }
    }

    fn new(body: &'static str) -> Result<NewMessage, ApiError> {
        let body = Bytes::from_static(body.as_bytes());
        from_body::<MessageIn<'_>>(&body)?.into_new(&body, None, times)
    }

    fn wrong(body: &'static str) -> Vec<String> {
        let error = new(body).err();
        let items = error.as_ref().and_then(ApiError::items).unwrap_or_default();
        items.iter().map(|item| item.loc.join(".")).collect()
    }

    #[test]
    fn the_payload_is_the_very_bytes_of_the_body() {
        let text = r#"{"eventType":"a.b", "payload": {"n": 1.50, "s":"\u00e9\/","n":2} }"#;
        let body = Bytes::from_static(text.as_bytes());
        let message = from_body::<MessageIn<'_>>(&body).unwrap().into_new(&body, None, times).unwrap();
        assert_eq!(message.payload, r#"{"n": 1.50, "s":"\u00e9\/","n":2}"#);
        assert!(body.as_ptr_range().contains(&message.payload.as_ptr()), "the payload was copied");
    }

    #[test]
    fn a_payload_must_be_an_object() {
        assert_eq!(wrong(r#"{"eventType":"a","payload":[1]}"#), ["body.payload"]);
        assert_eq!(wrong(r#"{"eventType":"a","payload":null}"#), ["body.payload"]);
        assert_eq!(wrong(r#"{"eventType":"a"}"#), ["body.payload"]);
        assert!(!wrong(r#"{"eventType":"a","payload":{"#).is_empty());
    }

    #[test]
    fn names_channels_and_the_unsupported_are_named() {
        let body =
            r#"{"eventType":"a b","eventId":"","channels":["x y"],"deliverAt":"2030-01-01T00:00:00Z","payload":{}}"#;
        assert_eq!(wrong(body), ["body.deliverAt", "body.eventType", "body.eventId", "body.channels.0"]);
        assert_eq!(wrong(r#"{"eventType":"a","channels":["1","2","3","4","5","6"],"payload":{}}"#), ["body.channels"]);
    }

    fn raw(raw: &str, headers: &str) -> String {
        let raw = serde_json::to_string(raw).unwrap();
        format!(r#"{{"eventType":"a","payload":{{}},"transformationsParams":{{"rawPayload":{raw}{headers}}}}}"#)
    }

    fn new_of(body: String) -> Result<NewMessage, ApiError> {
        let body = Bytes::from(body);
        from_body::<MessageIn<'_>>(&body)?.into_new(&body, None, times)
    }

    #[test]
    fn a_raw_payload_goes_out_as_it_came_in_with_its_type() {
        let named = |kind: &str| format!(r#","headers":{{"Content-Type":"{kind}"}}"#);
        let content_type = |message: &NewMessage| message.more.as_ref().and_then(|more| more.content_type.clone());
        for (text, headers, kind) in [
            (r#"{ "a":1}"#, String::new(), None),
            (r#"{ "a":1}"#, named("application/json"), None),
            (r#"{ "a":1}"#, named("application/cloudevents+json"), Some("application/cloudevents+json")),
            ("[1, 2]", String::new(), Some("application/json")),
            ("<a>\u{e4}</a>", named("application/xml; charset=utf-8"), Some("application/xml; charset=utf-8")),
        ] {
            let message = new_of(raw(text, &headers)).unwrap();
            assert_eq!((&message.payload[..], content_type(&message).as_deref()), (text.as_bytes(), kind));
        }
        let wrong = |text: &str, headers: &str| {
            let error = new_of(raw(text, headers)).unwrap_err();
            error.items().unwrap().iter().map(|item| item.loc[1..].join(".")).collect::<Vec<_>>()
        };
        assert_eq!(wrong("<a/>", ""), ["transformationsParams.rawPayload"]);
        assert_eq!(wrong("", &named("text/plain")), ["transformationsParams.rawPayload"]);
        assert_eq!(wrong("a", &named("text")), ["transformationsParams.headers.Content-Type"]);
        assert_eq!(wrong("a", &named("text/plain\\r\\nx: y")), ["transformationsParams.headers.Content-Type"]);
        assert_eq!(wrong("{}", r#","headers":{"x-other":"1"}"#), ["transformationsParams.headers.x-other"]);
        assert_eq!(wrong("{}", r#","url":"http://x""#), ["transformationsParams.url"]);
    }

    #[test]
    fn tags_and_times_to_keep_a_payload_are_bounded_and_what_is_unknown_is_named() {
        let of = |fields: &str| new_of(format!(r#"{{"eventType":"a","payload":{{}},{fields}}}"#));
        let wrong = |fields: &str| {
            let error = of(fields).unwrap_err();
            error.items().unwrap().iter().map(|item| item.loc[1..].join(".")).collect::<Vec<_>>()
        };
        let kept_ms = |fields: &str| of(fields).unwrap().more.and_then(|more| more.payload_kept_ms);
        const HOUR_MS: u64 = 3_600_000;
        assert_eq!(kept_ms(r#""payloadRetentionPeriod":5"#), Some(5 * 24 * HOUR_MS));
        assert_eq!(kept_ms(r#""payloadRetentionHours":2"#), Some(2 * HOUR_MS));
        for days in ["0", "4", "91", "100", "-5"] {
            assert_eq!(wrong(&format!(r#""payloadRetentionPeriod":{days}"#)), ["payloadRetentionPeriod"]);
        }
        for hours in ["0", "2161"] {
            assert_eq!(wrong(&format!(r#""payloadRetentionHours":{hours}"#)), ["payloadRetentionHours"]);
        }
        assert_eq!(wrong(r#""payloadRetentionPeriod":5,"payloadRetentionHours":120"#), ["payloadRetentionHours"]);
        assert_eq!(of(r#""tags":["a b","c"]"#).unwrap().more.unwrap().tags, ["a b", "c"]);
        assert_eq!(wrong(r#""tags":["a","a"]"#), ["tags"]);
        assert_eq!(wrong(r#""tags":["a","\u0000"]"#), ["tags.1"]);
        assert_eq!(wrong(&format!(r#""tags":["{}"]"#, "x".repeat(129))), ["tags.0"]);
        assert_eq!(
            wrong(&format!(r#""tags":["{}"]"#, (0..11).map(|n| n.to_string()).collect::<Vec<_>>().join("\",\""))),
            ["tags"]
        );
        assert_eq!(of(r#""orderingKey":"order 7""#).unwrap().more.unwrap().ordering_key.as_deref(), Some("order 7"));
        for key in [String::new(), "x".repeat(257), "a\\u0000".to_owned()] {
            assert_eq!(wrong(&format!(r#""orderingKey":"{key}""#)), ["orderingKey"]);
        }
        assert_eq!(wrong(r#""colour":"red""#), ["colour"]);
        for nothing in [r#""orderingKey":null"#, r#""tags":null"#, r#""tags":[]"#, r#""payloadRetentionPeriod":null"#] {
            assert_eq!(of(nothing).unwrap().more, None, "{nothing}");
        }
    }

    #[test]
    fn times_of_delivery_and_expiry_are_checked_against_now_and_each_other() {
        let of = |fields: &str| new_of(format!(r#"{{"eventType":"a","payload":{{}},{fields}}}"#));
        let wrong = |fields: &str| {
            let error = of(fields).unwrap_err();
            error.items().unwrap().iter().map(|item| item.loc[1..].join(".")).collect::<Vec<_>>()
        };
        // Now is 2026-11-20T05:47:41.564Z.
        let more = of(r#""deliverAt":"2026-12-20T00:00:00Z","ttlSeconds":60"#).unwrap().more.unwrap();
        assert_eq!((more.deliver_at, more.ttl_ms), (Some(UnixMs(1_797_724_800_000)), Some(60_000)));
        assert!(of(r#""deliverAt":"2020-01-01T00:00:00Z","expiresAt":"2026-11-20T06:00:00Z""#).is_ok());
        assert!(of(r#""deliverAt":"2027-02-18T05:47:41.564Z""#).is_ok(), "90 days to the millisecond");
        for (fields, path) in [
            (r#""deliverAt":"2027-02-18T05:47:41.565Z""#, "deliverAt"),
            (r#""deliverAt":"soon""#, "deliverAt"),
            (r#""deliverAt":5"#, "deliverAt"),
            (r#""deliverAt":"2026-11-20T07:00:00Z","payloadRetentionHours":1"#, "deliverAt"),
            (r#""expiresAt":"2026-11-20T05:47:41.564Z""#, "expiresAt"),
            (r#""expiresAt":"2026-11-21T00:00:00Z","deliverAt":"2026-11-21T00:00:00Z""#, "expiresAt"),
            (r#""expiresAt":"2026-11-21T00:00:00Z","ttlSeconds":5"#, "ttlSeconds"),
            (r#""ttlSeconds":0"#, "ttlSeconds"),
            (r#""ttlSeconds":7776001"#, "ttlSeconds"),
            (r#""ttlSeconds":"5""#, "ttlSeconds"),
        ] {
            assert_eq!(wrong(fields), [path], "{fields}");
        }
    }

    #[test]
    fn the_raw_form_delivers_its_text() {
        let body = r#"{"eventType":"a","payload":{},"transformationsParams":{"rawPayload":"{ \"a\":1}"}}"#;
        assert_eq!(new(body).unwrap().payload, r#"{ "a":1}"#);
        let body = r#"{"eventType":"a","payload":{},"transformationsParams":{"rawPayload":"<a/>"}}"#;
        assert_eq!(wrong(body), ["body.transformationsParams.rawPayload"]);
    }

    #[test]
    fn a_deep_payload_does_not_exhaust_the_stack() {
        let deep = format!(r#"{{"eventType":"a","payload":{{"a":{}{}}}}}"#, "[".repeat(200_000), "]".repeat(200_000));
        let body = Bytes::from(deep);
        let message = from_body::<MessageIn<'_>>(&body).unwrap().into_new(&body, None, times).unwrap();
        assert_eq!(serde_json::to_vec(&JsonText(message.payload.clone())).unwrap(), message.payload);
    }

    #[test]
    fn null_is_the_same_as_absent() {
        let body =
            r#"{"eventType":"a","payload":{},"eventId":null,"channels":null,"application":null,"deliverAt":null}"#;
        assert_eq!(new(body).unwrap().event_id, None);
    }
}
