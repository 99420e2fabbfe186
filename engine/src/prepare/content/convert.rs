//! Messages as the interpreter reads them: converted once, evaluated by many filters.
//!
//! A value in memory takes many times the bytes of its text. So the caller bounds the bytes that it keeps converted.

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use cel::{Context, Env};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The functions of the language. Making them costs more than many evaluations.
static FUNCTIONS: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// The size of a converted message, as far as evaluations depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Values in it, with those in lists and maps.
    pub(super) values: u64,
    /// Elements of its longest list or map.
    pub(super) longest: u64,
    /// Bytes of its text.
    pub(super) bytes: u64,
}

/// The parts of a message that a filter may ask about.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Its event type.
    pub event_type: &'a str,
    /// The tenant's own id for it.
    pub event_id: Option<&'a str>,
    /// Its channels.
    pub channels: &'a [Arc<str>],
    /// Its tags.
    pub tags: &'a [String],
    /// The text of its payload.
    pub payload: &'a [u8],
}

/// A message that is converted. It is shared by all filters that ask about it.
pub struct Content {
    pub(super) context: Context<'static, 'static>,
    pub(super) size: Size,
    /// The payload is no JSON, and there is no variable `payload`.
    pub(super) not_json: bool,
}

impl Content {
    /// Converts a message. A payload that is no JSON leads to no error here, but in a filter that asks about it.
    #[must_use]
    pub fn new(parts: Parts<'_>) -> Content {
        let mut size = Size { bytes: parts.payload.len() as u64, ..Size::default() };
        let mut context = Context::with_env(FUNCTIONS.clone());
        let text = |text: &str| -> Box<dyn Val> { Box::new(CelString::from(text.to_owned())) };
        let texts = |list: Vec<Box<dyn Val>>| -> Box<dyn Val> { Box::new(CelList::from(list)) };
        let channels: Vec<_> = parts.channels.iter().map(|name| text(name)).collect();
        let tags: Vec<_> = parts.tags.iter().map(|name| text(name)).collect();
        size.values += (channels.len() + tags.len() + 5) as u64;
        size.longest = channels.len().max(tags.len()) as u64;
        size.bytes += parts.channels.iter().map(|name| name.len()).sum::<usize>() as u64;
        size.bytes += parts.tags.iter().map(String::len).sum::<usize>() as u64;
        context.add_variable_as_val("eventType", text(parts.event_type));
        context.add_variable_as_val("eventId", parts.event_id.map_or_else(|| Box::new(CelNull) as Box<dyn Val>, text));
        context.add_variable_as_val("channels", texts(channels));
        context.add_variable_as_val("tags", texts(tags));
        // The reader of JSON refuses more than 128 levels.
        let payload = serde_json::from_slice::<Json>(parts.payload).ok();
        let not_json = payload.is_none();
        if let Some(payload) = payload {
            context.add_variable_as_val("payload", value(payload, &mut size));
        }
        Content { context, size, not_json }
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("size", &self.size).finish_non_exhaustive()
    }
}

fn value(json: Json, size: &mut Size) -> Box<dyn Val> {
    size.values += 1;
    match json {
        Json::Null => Box::new(CelNull),
        Json::Bool(value) => Box::new(CelBool::from(value)),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Box::new(CelInt::from(value)),
            (None, Some(value)) => Box::new(CelUInt::from(value)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Json::String(text) => Box::new(CelString::from(text)),
        Json::Array(list) => {
            size.longest = size.longest.max(list.len() as u64);
            Box::new(CelList::from(list.into_iter().map(|json| value(json, size)).collect::<Vec<_>>()))
        }
        Json::Object(map) => {
            size.longest = size.longest.max(map.len() as u64);
            let entries = map.into_iter().map(|(name, json)| (CelMapKey::from(name), value(json, size)));
            Box::new(CelMap::from(entries.collect::<HashMap<_, _>>()))
        }
    }
}
