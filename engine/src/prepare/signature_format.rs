//! Signatures for receivers that know no Standard Webhooks: in hex, under header names of the endpoint's own.
//!
//! ```text
//! hexBody       prefix hex(HMAC-SHA256(key, body))
//! hexTimeBody   prefix hex(HMAC-SHA256(key, time "." body))
//! ```
//! Such a receiver reads one signature. So the newest key signs alone, and a rotation has no overlap. Pure.

use super::headers::{HeaderError, check_header_name};
use super::sign::{SigningKey, stamp};
use crate::dispatch::Stamp;
use http::{HeaderMap, HeaderName};
use model::{Event, SignatureFormat, SignatureScheme, TimestampFormat, UnixMs};

#[cfg(test)]
mod tests;

/// Bytes of a signature's prefix at most.
pub const PREFIX_LEN_MAX: usize = 64;

/// A format with its names checked, ready for any number of requests.
#[derive(Debug)]
pub(super) struct Form {
    scheme: SignatureScheme,
    signature: Option<HeaderName>,
    timestamp: Option<HeaderName>,
    timestamp_format: TimestampFormat,
    prefix: Box<str>,
    event_type: Option<HeaderName>,
    delivery_id: Option<HeaderName>,
}

/// True if a text can stand before a signature: printable ASCII that does not begin with a space.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    text.len() <= PREFIX_LEN_MAX
        && !text.starts_with(' ')
        && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

impl Form {
    /// The form of a row. The names were checked when they were set; a row that another program wrote is checked again.
    ///
    /// # Errors
    /// When a name cannot be the endpoint's, or is in `custom` too.
    pub(super) fn of(row: &SignatureFormat, custom: &HeaderMap) -> Result<Form, HeaderError> {
        let name = |text: &Option<String>| -> Result<Option<HeaderName>, HeaderError> {
            let Some(text) = text else { return Ok(None) };
            let name = check_header_name(text)?;
            match custom.contains_key(&name) {
                true => Err(HeaderError::Duplicate { name: text.clone() }),
                false => Ok(Some(name)),
            }
        };
        Ok(Form {
            scheme: row.scheme,
            signature: name(&row.signature_header)?,
            timestamp: name(&row.timestamp_header)?,
            timestamp_format: row.timestamp_format,
            prefix: row.prefix.as_str().into(),
            event_type: name(&row.event_type_header)?,
            delivery_id: name(&row.delivery_id_header)?,
        })
    }

    /// True if the headers of Standard Webhooks carry the signature.
    pub(super) fn is_standard(&self) -> bool {
        !self.scheme.is_hex()
    }

    /// The stamp of one message: id and time as for every endpoint, and the headers of this form.
    ///
    /// # Errors
    /// When there is no key, or the newest one does not sign in hex: the reason in words.
    pub(super) fn stamp<'a>(
        &self,
        mut keys: impl Iterator<Item = &'a SigningKey>,
        event: &Event,
        wall: UnixMs,
        body: &[u8],
    ) -> Result<Stamp, &'static str> {
        let id = |out: &mut String| event.append_message_id(out);
        let (plain, time) = if self.is_standard() {
            (stamp(keys, id, wall.seconds(), body), String::new())
        } else {
            let time = self.time(wall);
            let key = keys.next().ok_or("there is no key to sign with")?;
            let signature = self.signature(key, &time, body)?;
            let plain = stamp(std::iter::empty(), id, wall.seconds(), body);
            (plain.with_header(self.signature.as_ref(), &signature), time)
        };
        let id = plain.id().to_owned();
        Ok(plain
            .with_header(self.timestamp.as_ref(), &time)
            .with_header(self.event_type.as_ref(), &event.event_type)
            .with_header(self.delivery_id.as_ref(), &id))
    }

    /// Prefix and digits of one signature.
    fn signature(&self, key: &SigningKey, time: &str, body: &[u8]) -> Result<String, &'static str> {
        let mut text = String::with_capacity(self.prefix.len() + 64);
        text.push_str(&self.prefix);
        let parts: &[&[u8]] = match self.scheme {
            SignatureScheme::HexTimeBody => &[time.as_bytes(), b".", body],
            SignatureScheme::HexBody | SignatureScheme::Standard => &[body],
        };
        match key.append_hmac_hex(parts, &mut text) {
            true => Ok(text),
            false => Err("an ed25519 secret does not sign in hex"),
        }
    }

    fn time(&self, wall: UnixMs) -> String {
        match self.timestamp_format {
            TimestampFormat::UnixSeconds => itoa::Buffer::new().format(wall.seconds()).to_owned(),
            // Every byte is ASCII.
            TimestampFormat::Iso8601 => std::str::from_utf8(&wall.iso8601()).unwrap_or_default().to_owned(),
        }
    }
}
