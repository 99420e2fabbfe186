//! A message as it is shown, `MessageOut`.

use super::message::is_object_text;
use crate::dto::fields::JsonText;
use crate::dto::timestamp::Timestamp;
use model::Event;
use serde::Serialize;
use utoipa::ToSchema;

/// A message.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageOut {
    pub(crate) id: String,
    event_type: String,
    event_id: Option<String>,
    channels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordering_key: Option<String>,
    /// `{}` when it was not asked for or is no JSON object, `{"expired": true}` when it was expunged.
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
            tags: (!event.tags().is_empty()).then(|| event.tags().to_vec()),
            ordering_key: event.ordering_key().map(str::to_owned),
            payload: shown_payload(event, with_content),
            timestamp: Timestamp(event.accepted_at),
        }
    }
}

/// The payload that a message shows.
fn shown_payload(event: &Event, with_content: bool) -> JsonText {
    match (with_content, event.is_expunged()) {
        (false, _) => JsonText::EMPTY,
        (true, true) => JsonText::EXPIRED,
        (true, false) if event.content_type().is_some() && !is_object(&event.payload) => JsonText::EMPTY,
        (true, false) => JsonText(event.payload.clone()),
    }
}

/// The fields of a [`MessageOut`] before its payload.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    id: String,
    event_type: &'a str,
    event_id: Option<&'a str>,
    channels: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordering_key: Option<&'a str>,
    timestamp: Timestamp,
}

/// Room for a head, so that an answer is built without growing: names and ids are short.
const HEAD_BYTES: usize = 256;

/// The same text as a [`MessageOut`], for the answer to a push. It is written without reading the payload once more:
/// that reading took as long as the rest of the answer. The payload was found to be an object when it came in.
pub(crate) fn answer_of(event: &Event, with_content: bool) -> Result<Vec<u8>, serde_json::Error> {
    let JsonText(payload) = shown_payload(event, with_content);
    let mut text = Vec::with_capacity(HEAD_BYTES + payload.len());
    let head = Head {
        id: event.message_id(),
        event_type: &event.event_type,
        event_id: event.event_id.as_deref(),
        channels: (!event.channels.is_empty()).then(|| event.channels.iter().map(AsRef::as_ref).collect()),
        tags: (!event.tags().is_empty()).then(|| event.tags()),
        ordering_key: event.ordering_key(),
        timestamp: Timestamp(event.accepted_at),
    };
    serde_json::to_writer(&mut text, &head)?;
    text.pop();
    text.extend_from_slice(br#","payload":"#);
    text.extend_from_slice(&payload);
    text.push(b'}');
    Ok(text)
}

/// True if the bytes are the text of one JSON object and nothing else.
fn is_object(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(is_object_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use model::EventMore;

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
            more: None,
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
        let more = EventMore {
            tags: vec!["t".to_owned()],
            content_type: Some("text/plain".to_owned()),
            ordering_key: Some("k".to_owned()),
            ..EventMore::default()
        };
        (event.more, event.payload) = (Some(more.into()), Bytes::from_static(b"[1]"));
        same(&event);
        assert_eq!(value(&answer_of(&event, true).unwrap())["payload"], serde_json::json!({}));
    }
}
