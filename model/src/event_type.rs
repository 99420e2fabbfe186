//! An event type of the catalogue. A catalogue only: a message may name a type that is not in it.

use crate::appended::appended;
use crate::time::UnixMs;
use bincode::de::Decoder;
use bincode::error::DecodeError;
use bincode::{Decode, Encode};

/// A documented kind of event, shared by all applications.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct EventType {
    /// `[a-zA-Z0-9_.-]{1,256}`, its identity.
    pub name: String,
    /// For people.
    pub description: String,
    /// Hidden from lists unless asked for; what `DELETE` sets.
    pub archived: bool,
    /// Shown as on its way out.
    pub deprecated: bool,
    /// A label that a dashboard may filter by.
    pub feature_flag: Option<String>,
    /// JSON Schemas by version, as the text that came in. Not applied to payloads.
    pub schemas: Option<String>,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
    /// The group that it is shown in.
    pub group_name: Option<String>,
}

impl<Context> Decode<Context> for EventType {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<EventType, DecodeError> {
        Ok(EventType {
            name: Decode::decode(decoder)?,
            description: Decode::decode(decoder)?,
            archived: Decode::decode(decoder)?,
            deprecated: Decode::decode(decoder)?,
            feature_flag: Decode::decode(decoder)?,
            schemas: Decode::decode(decoder)?,
            created_at: Decode::decode(decoder)?,
            updated_at: Decode::decode(decoder)?,
            group_name: appended(decoder)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bincode::config::standard;

    #[test]
    fn a_row_of_before_groups_reads_as_one_of_no_group() {
        let before = ("a.b", "what happened", false, true, None::<String>, Some("{}"), UnixMs(1), UnixMs(2));
        let bytes = bincode::encode_to_vec(before, standard()).unwrap();
        let (read, length): (EventType, usize) = bincode::decode_from_slice(&bytes, standard()).unwrap();
        assert_eq!((read.group_name.clone(), length), (None, bytes.len()));
        assert_eq!((read.name.as_str(), read.deprecated, read.updated_at), ("a.b", true, UnixMs(2)));
        let grouped = EventType { group_name: Some("orders".to_owned()), ..read };
        let bytes = bincode::encode_to_vec(&grouped, standard()).unwrap();
        assert_eq!(bincode::decode_from_slice(&bytes, standard()).unwrap(), (grouped, bytes.len()));
    }
}
