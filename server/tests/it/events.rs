//! Events whose number tells their payload, pushed and listed: tests of disks look for them.
//!
//! No ledger: each test keeps its own account.

use crate::harness::{Client, Random};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io;

#[derive(Deserialize)]
struct Page {
    data: Vec<Message>,
    iterator: Option<String>,
    done: bool,
}

#[derive(Deserialize)]
struct Message {
    id: String,
    payload: Box<RawValue>,
}

/// The payload of event `number`: one in 29 has 100 KiB, one in 97 a MiB, the others a few hundred bytes.
pub(crate) fn payload(number: u64) -> String {
    let bytes = match number {
        _ if number % 97 == 7 => 1 << 20,
        _ if number % 29 == 3 => 100 << 10,
        _ => 30 + number as usize * 37 % 400,
    };
    let mut random = Random::new(number);
    let mut text = format!("{{\"number\":{number},\"fill\":\"");
    while text.len() < bytes {
        text.push_str(&format!("{:016x}", random.below(u64::MAX)));
    }
    text.push_str("\"}");
    text
}

/// The event that these bytes are the payload of, to the last one.
pub(crate) fn number_of(bytes: &[u8]) -> Option<u64> {
    let number = serde_json::from_slice::<Value>(bytes).ok()?["number"].as_u64()?;
    (payload(number).as_bytes() == bytes).then_some(number)
}

/// The type of an event, unless a test says otherwise.
pub(crate) const TYPE: &str = "disk.test";

/// Event `number` as it is sent, with more fields of the message, such as `"eventId":"a"`.
pub(crate) fn message(number: u64, event_type: &str, more: &[String]) -> String {
    // By hand: the payload is text that must arrive as it is.
    let more: String = more.iter().map(|field| format!("{field},")).collect();
    format!("{{\"eventType\":\"{event_type}\",{more}\"payload\":{}}}", payload(number))
}

/// Pushes events; status and answer.
///
/// # Errors
/// When there is no complete answer.
pub(crate) fn push_events(
    client: &Client,
    app: &str,
    numbers: &[u64],
    key: Option<&str>,
    batch: bool,
) -> io::Result<(u16, Value)> {
    let messages: Vec<String> = numbers.iter().map(|number| message(*number, TYPE, &[])).collect();
    push_messages(client, app, &messages, key, batch)
}

/// The same of messages that are as they are sent.
///
/// # Errors
/// When there is no complete answer.
pub(crate) fn push_messages(
    client: &Client,
    app: &str,
    messages: &[String],
    key: Option<&str>,
    batch: bool,
) -> io::Result<(u16, Value)> {
    let body = if batch { format!("[{}]", messages.join(",")) } else { messages.join(",") };
    let path = format!("/api/v1/app/{app}/msg{}?with_content=false", if batch { "/batch" } else { "" });
    let headers: Vec<(&str, &str)> = key.iter().map(|key| ("idempotency-key", *key)).collect();
    let response = client.send("POST", &path, &headers, Some(body.as_bytes()))?;
    Ok((response.status, response.json()))
}

/// The payloads of an application's messages by their ids; the status if they cannot be listed.
///
/// # Errors
/// When there is no complete answer.
pub(crate) fn list_events(client: &Client, app: &str) -> io::Result<Result<BTreeMap<String, String>, u16>> {
    let (mut there, mut iterator) = (BTreeMap::new(), String::new());
    loop {
        let response = client.send("GET", &format!("/api/v1/app/{app}/msg?limit=250{iterator}"), &[], None)?;
        if response.status != 200 {
            return Ok(Err(response.status));
        }
        let page: Page = serde_json::from_slice(&response.body)?;
        there.extend(page.data.into_iter().map(|message| (message.id, message.payload.get().to_owned())));
        let Some(next) = page.iterator.filter(|_| !page.done) else { return Ok(Ok(there)) };
        iterator = format!("&iterator={next}");
    }
}
