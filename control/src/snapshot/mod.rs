//! A thing as the audit log shows it: its fields in the API's words, without secrets, and the fields that differ between two
//! of them.

pub(crate) mod words;

use model::{FieldChange, SealedBytes, hex};
use serde_json::Value;
use sha2::{Digest, Sha256};
use storage::tables::audit;

/// Longer values are cut to their length and hash, in bytes of their JSON.
const VALUE_BYTES_MAX: usize = 512;

/// The fields of a thing in the API's words, always the same ones in the same order. A field without a value is
/// [`Value::Null`].
#[derive(Debug, Default, PartialEq)]
pub struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// One more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Fields {
        self.0.push((name, value.into()));
        self
    }

    /// One more that is sealed on the disk: a few digits tell one from another, and nothing of what they are.
    #[must_use]
    pub fn with_sealed(self, name: &'static str, sealed: Option<&SealedBytes>) -> Fields {
        self.with(name, sealed.map(mark_of))
    }
}

/// Some digits that tell a sealed text from another. They are of the encrypted bytes, which are random.
pub(crate) fn mark_of(sealed: &SealedBytes) -> String {
    let hash = Sha256::digest(&sealed.0);
    format!("sealed:{}", hex(&hash[..4]))
}

/// The fields that differ. Of a thing that came or went, those that have a value.
pub(crate) fn changes(old: &Fields, new: &Fields) -> Vec<FieldChange> {
    // The same fields in the same order, or none on one side.
    let differing = |at: usize| {
        let (name, _) = old.0.get(at).or(new.0.get(at))?;
        let [before, after] = [&old, &new].map(|fields| fields.0.get(at).and_then(|(_, value)| text(value)));
        (before != after).then(|| FieldChange::new(name, before, after))
    };
    (0..old.0.len().max(new.0.len())).filter_map(differing).collect()
}

/// The JSON of a value, if there is one.
fn text(value: &Value) -> Option<String> {
    let is_nothing = match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    let text = (!is_nothing).then(|| value.to_string())?;
    Some(if text.len() > VALUE_BYTES_MAX { audit::cut(&text) } else { text })
}
