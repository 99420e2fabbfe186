//! Sample rows and a cheap random source, which all benchmarks share. The benchmarks themselves are in `benches/`, one
//! for each cost that Pinion claims.

use bytes::Bytes;
use model::{AppId, Application, Endpoint, EndpointId, EndpointRef, Event, Seq, UnixMs};
use std::sync::Arc;
use storage::writer::NewMessage;

/// The one application of the benchmarks.
pub const APP: AppId = AppId(1);

/// True when this run only checks that everything still works (`cargo bench -p benches -- --test`): sizes are small
/// then.
#[must_use]
pub fn is_trial() -> bool {
    std::env::args().any(|arg| arg == "--test")
}

/// A random source that costs next to nothing: Marsaglia's xorshift64 (2003).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Default for Random {
    /// Always the same numbers, so that all who are compared get the same work.
    fn default() -> Random {
        Random(88_172_645_463_325_252)
    }
}

impl Random {
    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// JSON text of exactly `len` bytes, at least 10.
#[must_use]
pub fn payload(len: usize) -> Bytes {
    let mut text = String::with_capacity(len);
    text.push_str("{\"text\":\"");
    text.extend((0..len.saturating_sub(11)).map(|at| char::from(b'a' + (at % 26) as u8)));
    text.push_str("\"}");
    Bytes::from(text)
}

/// An application.
#[must_use]
pub fn application(id: AppId) -> Application {
    Application { name: "tenant".to_owned(), ..Application::plain(id, UnixMs(1)) }
}

/// An endpoint of [`APP`] that wants these types and channels; none means all.
#[must_use]
pub fn endpoint(id: u32, types: &[String], channels: &[String]) -> Endpoint {
    Endpoint {
        url: "http://127.0.0.1:9/".to_owned(),
        event_types: types.to_vec(),
        channels: channels.to_vec(),
        ..Endpoint::plain(EndpointRef { app: APP, endpoint: EndpointId(id) }, UnixMs(1))
    }
}

/// An event of [`APP`] as the log gives it.
#[must_use]
pub fn event(seq: u64, event_type: &str, channels: &[&str], payload: Bytes) -> Event {
    Event {
        app: APP,
        seq: Seq(seq),
        accepted_at: UnixMs(1),
        event_type: Arc::from(event_type),
        event_id: None,
        channels: channels.iter().map(|text| Arc::from(*text)).collect(),
        only_for: None,
        more: None,
        payload,
    }
}

/// A message as it came in. Its payload is shared, as that of a request is.
#[must_use]
pub fn message(event_type: &str, payload: &Bytes) -> NewMessage {
    NewMessage {
        event_type: event_type.to_owned(),
        event_id: None,
        channels: Vec::new(),
        payload: payload.clone(),
        idempotency_key: None,
        only_for: None,
        more: None,
    }
}
