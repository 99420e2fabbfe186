//! The body that stands for a payload: id, type and time of the message, and the URL to read it at. Pure.
//!
//! For receivers that fetch what they need, or that must not be sent personal data. The payload is not looked at; an
//! expunged message is not sent in this form either.

use bytes::Bytes;
use model::Event;
use serde_json::Value;

/// Makes the bodies of one endpoint.
#[derive(Debug)]
pub(super) struct Reference {
    /// The URL of every message of the application, up to the id.
    messages: Box<str>,
}

impl Reference {
    /// For messages of the application with this text id. Without a public URL, bodies name a path.
    pub(super) fn new(public_url: &str, app: &str) -> Reference {
        Reference { messages: format!("{public_url}/api/v1/app/{app}/msg/").into() }
    }

    /// The body for one message. The same bytes for each attempt.
    pub(super) fn body(&self, event: &Event) -> Bytes {
        let id = event.message_id();
        let timestamp = event.accepted_at.iso8601();
        // Every byte is ASCII.
        let timestamp = std::str::from_utf8(&timestamp).unwrap_or_default();
        let url = [&self.messages, id.as_str()].concat();
        let [id, event_type, timestamp, url] = [&id, &*event.event_type, timestamp, &url].map(Value::from);
        format!(r#"{{"id":{id},"type":{event_type},"timestamp":{timestamp},"url":{url}}}"#).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppId, Seq, UnixMs};

    #[test]
    fn a_reference_names_the_message_and_nothing_of_its_payload() {
        let event = Event {
            app: AppId(7),
            seq: Seq(9),
            accepted_at: UnixMs(1_795_153_661_564),
            event_type: "invoice.paid".into(),
            event_id: Some("order-1".into()),
            channels: vec!["c".into()],
            only_for: None,
            more: None,
            payload: Bytes::from_static(b"{\"secret\":1}"),
        };
        let id = event.message_id();
        for (public_url, before) in [("", ""), ("https://hooks.example.com/p", "https://hooks.example.com/p")] {
            let body = Reference::new(public_url, "app_x").body(&event);
            let expected = format!(
                r#"{{"id":"{id}","type":"invoice.paid","timestamp":"2026-11-20T05:47:41.564Z","url":"{before}/api/v1/app/app_x/msg/{id}"}}"#
            );
            assert_eq!(body, expected.as_bytes());
        }
    }
}
