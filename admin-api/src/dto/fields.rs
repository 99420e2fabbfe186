//! Building blocks of several bodies: patched fields, JSON kept as text, lists.
//!
//! A field of one kind of object only is in the file of that object.

use bytes::Bytes;
use control::command::Metadata;
use control::limits::METADATA_BYTES_MAX;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;
use utoipa::ToSchema;

/// Entries that metadata of the largest size can have: each takes six bytes beside its texts.
const METADATA_ENTRIES_MAX: usize = METADATA_BYTES_MAX / 6;

/// Reads the entries of metadata.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
        let mut metadata = Metadata::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            metadata.insert(name, value);
            if metadata.len() > METADATA_ENTRIES_MAX {
                let msg = format!("must not have more than {METADATA_BYTES_MAX} bytes as JSON");
                return Err(serde::de::Error::custom(msg));
            }
        }
        Ok(metadata)
    }
}

/// A field of a patch that has no empty value: `null` would say nothing, so it is refused.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// As [`bounded_metadata`], of a patch: `null` is refused.
pub(crate) fn given_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Metadata>, D::Error> {
    deserializer.deserialize_map(Entries).map(Some)
}

/// Reads metadata no further than its bound; the text behind that is not looked at.
pub(crate) fn bounded_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Metadata>, D::Error> {
    struct Given;

    impl<'de> Visitor<'de> for Given {
        type Value = Option<Metadata>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map or null")
        }

        fn visit_unit<E>(self) -> Result<Option<Metadata>, E> {
            Ok(None)
        }

        fn visit_none<E>(self) -> Result<Option<Metadata>, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Metadata>, D::Error> {
            deserializer.deserialize_map(Entries).map(Some)
        }
    }

    deserializer.deserialize_option(Given)
}

/// Metadata read back. A row that holds something else shows as empty rather than failing a whole list.
pub(crate) fn metadata_of(text: &str) -> Metadata {
    serde_json::from_str(text).unwrap_or_default()
}

/// JSON that goes out as the text that came in.
#[derive(Clone, Debug)]
pub(crate) struct JsonText(pub(crate) Bytes);

impl JsonText {
    /// `{}`, which stands for content that was not asked for.
    pub(crate) const EMPTY: JsonText = JsonText(Bytes::from_static(b"{}"));

    /// The payload of a message that was expunged, as clients know it.
    pub(crate) const EXPIRED: JsonText = JsonText(Bytes::from_static(br#"{"expired":true}"#));
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_slice::<&RawValue>(&self.0) {
            Ok(raw) => raw.serialize(serializer),
            // Damaged, or no JSON: lists go on.
            Err(_) => serializer.collect_map(std::iter::empty::<((), ())>()),
        }
    }
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListResponse<T: ToSchema> {
    /// The items of this page.
    pub(crate) data: Vec<T>,
    /// Give this as `iterator` to get the next page; null when there has never been anything to list.
    pub(crate) iterator: Option<String>,
    /// Give this as `iterator` to get the page before.
    pub(crate) prev_iterator: Option<String>,
    /// True when this was the last page.
    pub(crate) done: bool,
}

/// The body of a request that has nothing to say: none, `null` or `{}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmptyIn {}

/// `{}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmptyResponse {}

/// A switch that is on unless it is turned off.
pub(crate) fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_goes_out_byte_for_byte_and_what_is_none_as_an_empty_object() {
        let text = JsonText(Bytes::from_static(b"{\"a\": 1.10,\"a\":2}"));
        assert_eq!(serde_json::to_string(&text).unwrap(), "{\"a\": 1.10,\"a\":2}");
        assert_eq!(serde_json::to_string(&JsonText(Bytes::new())).unwrap(), "{}");
    }
}
