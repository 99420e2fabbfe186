//! Messages: `MessageIn`, read without copying its payload, and `MessageOut`.
//!
//! The payload stays the text that came in: it is checked to be a JSON object and never parsed into anything else, so
//! what an endpoint gets and verifies is byte for byte what was pushed. Deliberately no look at the catalogue of event
//! types: a message may name any.

use crate::dto::application::ApplicationIn;
use crate::dto::fields::JsonText;
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::limits;
use crate::validate::Checks;
use bytes::Bytes;
use engine::NewMessage;
use model::Event;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use utoipa::ToSchema;

/// A message to deliver.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MessageIn<'a> {
    /// What happened, e.g. `invoice.paid`.
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
    #[serde(borrow)]
    transformations_params: Option<TransformationsParams<'a>>,
    /// Not supported: a message goes out at once.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    deliver_at: Option<&'a RawValue>,
    /// 90, which clients of the first generation always send; no other.
    payload_retention_period: Option<u64>,
}

/// Days that clients of the first generation ask for unless told otherwise: the longest.
const RETENTION_LONGEST_DAYS: u64 = 90;

/// What the clients' raw-payload form puts beside an empty payload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransformationsParams<'a> {
    /// The payload as text: a JSON object, delivered byte for byte.
    #[serde(borrow)]
    #[schema(value_type = Option<String>)]
    raw_payload: Option<Cow<'a, str>>,
}

impl MessageIn<'_> {
    /// Checks everything and turns it into what the engine takes. `body` is what this was read from: the payload stays
    /// a part of it.
    ///
    /// # Errors
    /// 422 with everything that is wrong.
    pub(crate) fn into_new(self, body: &Bytes, idempotency_key: Option<String>) -> Result<NewMessage, ApiError> {
        let mut checks = Checks::of("body");
        checks.name("eventType", &self.event_type);
        checks.path_name_if_any("eventId", self.event_id.as_deref());
        self.channels.iter().for_each(|names| checks.channels(names, limits::MESSAGE_CHANNELS_MAX, true));
        if self.deliver_at.is_some() {
            checks.wrong(&["deliverAt"], "is not supported: a message goes out at once", "value_error.unsupported");
        }
        if self.payload_retention_period.is_some_and(|days| days != RETENTION_LONGEST_DAYS) {
            let msg = "is not supported: all messages are kept for the same time";
            checks.wrong(&["payloadRetentionPeriod"], msg, "value_error.unsupported");
        }
        let raw = self.transformations_params.and_then(|params| params.raw_payload);
        let payload = match raw {
            Some(raw) => {
                if !is_object_text(&raw) {
                    let path = ["transformationsParams", "rawPayload"];
                    checks.wrong(&path, "must be a JSON object", "type_error.dict");
                }
                Bytes::from(raw.into_owned().into_bytes())
            }
            None => {
                if !self.payload.get().starts_with('{') {
                    checks.wrong(&["payload"], "must be a JSON object", "type_error.dict");
                }
                body.slice_ref(self.payload.get().as_bytes())
            }
        };
        checks.finish()?;
        Ok(NewMessage {
            event_type: self.event_type.into_owned(),
            event_id: self.event_id.map(Cow::into_owned),
            channels: self.channels.unwrap_or_default(),
            payload,
            idempotency_key,
            only_for: None,
        })
    }
}

/// Whether a text is one JSON object and nothing else.
fn is_object_text(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().starts_with('{'))
}

/// A message.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageOut {
    pub(crate) id: String,
    event_type: String,
    event_id: Option<String>,
    channels: Option<Vec<String>>,
    /// `{}` when it was not asked for, `{"expired": true}` when it was expunged.
    #[schema(value_type = Object)]
    payload: JsonText,
    timestamp: Timestamp,
}

impl MessageOut {
    /// With its payload, or `{}` in its place.
    pub(crate) fn of(event: &Event, with_content: bool) -> MessageOut {
        let channels: Vec<String> = event.channels.iter().map(ToString::to_string).collect();
        MessageOut {
            id: event.message_id(),
            event_type: event.event_type.to_string(),
            event_id: event.event_id.as_deref().map(str::to_owned),
            channels: (!channels.is_empty()).then_some(channels),
            payload: shown_payload(event, with_content),
            timestamp: Timestamp(event.accepted_at),
        }
    }
}

/// What a message shows as its payload.
fn shown_payload(event: &Event, with_content: bool) -> JsonText {
    match (with_content, event.is_expunged()) {
        (false, _) => JsonText::EMPTY,
        (true, true) => JsonText::EXPIRED,
        (true, false) => JsonText(event.payload.clone()),
    }
}

/// What a [`MessageOut`] says before its payload.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    id: String,
    event_type: &'a str,
    event_id: Option<&'a str>,
    channels: Option<Vec<&'a str>>,
    timestamp: Timestamp,
}

/// Room for a head, so that an answer is built without growing: names and ids are short.
const HEAD_BYTES: usize = 256;

/// The same text as a [`MessageOut`], for the answer to a push. It is written without reading the payload once more,
/// which was found to be an object when it came in: that reading took as long as the rest of the answer.
pub(crate) fn answer_of(event: &Event, with_content: bool) -> Result<Vec<u8>, serde_json::Error> {
    let JsonText(payload) = shown_payload(event, with_content);
    let mut text = Vec::with_capacity(HEAD_BYTES + payload.len());
    let head = Head {
        id: event.message_id(),
        event_type: &event.event_type,
        event_id: event.event_id.as_deref(),
        channels: (!event.channels.is_empty()).then(|| event.channels.iter().map(AsRef::as_ref).collect()),
        timestamp: Timestamp(event.accepted_at),
    };
    serde_json::to_writer(&mut text, &head)?;
    text.pop();
    text.extend_from_slice(br#","payload":"#);
    text.extend_from_slice(&payload);
    text.push(b'}');
    Ok(text)
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
    use crate::json::from_body;

    fn new(body: &'static str) -> Result<NewMessage, ApiError> {
        let body = Bytes::from_static(body.as_bytes());
        from_body::<MessageIn<'_>>(&body)?.into_new(&body, None)
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
        let message = from_body::<MessageIn<'_>>(&body).unwrap().into_new(&body, None).unwrap();
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
        assert_eq!(wrong(body), ["body.eventType", "body.eventId", "body.channels.0", "body.deliverAt"]);
        assert_eq!(wrong(r#"{"eventType":"a","channels":["1","2","3","4","5","6"],"payload":{}}"#), ["body.channels"]);
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
        let message = from_body::<MessageIn<'_>>(&body).unwrap().into_new(&body, None).unwrap();
        assert_eq!(serde_json::to_vec(&JsonText(message.payload.clone())).unwrap(), message.payload);
    }

    #[test]
    fn the_answer_to_a_push_is_the_message() {
        let mut event = Event {
            app: model::AppId(3),
            seq: model::Seq(9),
            accepted_at: model::UnixMs(1_795_162_583_556),
            event_type: "invoice.paid".into(),
            event_id: None,
            channels: Vec::new(),
            only_for: None,
            payload: Bytes::from_static(br#"{ "a": "\"b" }"#),
        };
        let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        let same = |event: &Event| {
            for with_content in [true, false] {
                let shown = serde_json::to_vec(&MessageOut::of(event, with_content)).unwrap();
                assert_eq!(value(&answer_of(event, with_content).unwrap()), value(&shown));
            }
        };
        same(&event);
        event.payload = Bytes::new();
        event.event_id = Some("e-1".into());
        event.channels = vec!["x".into(), "y".into()];
        same(&event);
    }

    #[test]
    fn null_is_the_same_as_absent() {
        let body =
            r#"{"eventType":"a","payload":{},"eventId":null,"channels":null,"application":null,"deliverAt":null}"#;
        assert_eq!(new(body).unwrap().event_id, None);
    }
}
