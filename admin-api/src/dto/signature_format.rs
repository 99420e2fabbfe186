//! The form of an endpoint's signatures in JSON, e.g. `{"scheme":"hexBody","signatureHeader":"X-Hub-Signature-256"}`.
//!
//! Also the mode of its payloads, which is one word. Checks of values are the command's.

use model::{PayloadMode, SignatureFormat, SignatureScheme, TimestampFormat};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The text before the digits, when a form in hex does not say.
const PREFIX_DEFAULT: &str = "sha256=";

/// How requests are signed, for receivers that know no Standard Webhooks. `webhook-id` and `webhook-timestamp` are sent
/// in every form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SignatureFormatBody {
    scheme: SchemeName,
    /// The header with the signature; for the schemes in hex, which need it.
    #[schema(min_length = 1, max_length = 64)]
    signature_header: Option<String>,
    /// The header with the time of signing; for the schemes in hex. `hexTimeBody` needs it.
    #[schema(min_length = 1, max_length = 64)]
    timestamp_header: Option<String>,
    /// The form of that time, in the header and in the signed text. Default: `unixSeconds`.
    timestamp_format: Option<TimestampFormatName>,
    /// The text before the digits of the signature. Default: `sha256=` for the schemes in hex.
    #[schema(max_length = 64)]
    prefix: Option<String>,
    /// A header with the type of the event.
    #[schema(min_length = 1, max_length = 64)]
    event_type_header: Option<String>,
    /// A header with the id of the message, the same for all attempts.
    #[schema(min_length = 1, max_length = 64)]
    delivery_id_header: Option<String>,
}

/// The text that is signed, and how the signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum SchemeName {
    /// Standard Webhooks.
    Standard,
    /// HMAC-SHA256 of the body, in hex.
    HexBody,
    /// HMAC-SHA256 of time, `.` and body, in hex.
    HexTimeBody,
}

/// The form of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum TimestampFormatName {
    /// Seconds since 1970.
    UnixSeconds,
    /// `2026-11-20T05:47:41.564Z`.
    Iso8601,
}

/// The body of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PayloadModeName {
    /// The payload, byte for byte.
    Full,
    /// `{"id", "type", "timestamp", "url"}`: the receiver reads the message at the URL.
    Reference,
}

impl SignatureFormatBody {
    /// The form.
    pub(crate) fn into_model(self) -> SignatureFormat {
        let scheme = match self.scheme {
            SchemeName::Standard => SignatureScheme::Standard,
            SchemeName::HexBody => SignatureScheme::HexBody,
            SchemeName::HexTimeBody => SignatureScheme::HexTimeBody,
        };
        let prefix_default = if scheme.is_hex() { PREFIX_DEFAULT } else { "" };
        SignatureFormat {
            scheme,
            signature_header: self.signature_header,
            timestamp_header: self.timestamp_header,
            timestamp_format: match self.timestamp_format {
                None | Some(TimestampFormatName::UnixSeconds) => TimestampFormat::UnixSeconds,
                Some(TimestampFormatName::Iso8601) => TimestampFormat::Iso8601,
            },
            prefix: self.prefix.unwrap_or_else(|| prefix_default.to_owned()),
            event_type_header: self.event_type_header,
            delivery_id_header: self.delivery_id_header,
        }
    }
}

/// Each part shows its value, the default too, where the scheme has one.
impl From<&SignatureFormat> for SignatureFormatBody {
    fn from(format: &SignatureFormat) -> SignatureFormatBody {
        let timestamp_format = match format.timestamp_format {
            TimestampFormat::UnixSeconds => TimestampFormatName::UnixSeconds,
            TimestampFormat::Iso8601 => TimestampFormatName::Iso8601,
        };
        SignatureFormatBody {
            scheme: match format.scheme {
                SignatureScheme::Standard => SchemeName::Standard,
                SignatureScheme::HexBody => SchemeName::HexBody,
                SignatureScheme::HexTimeBody => SchemeName::HexTimeBody,
            },
            signature_header: format.signature_header.clone(),
            timestamp_header: format.timestamp_header.clone(),
            timestamp_format: format.scheme.is_hex().then_some(timestamp_format),
            prefix: format.scheme.is_hex().then(|| format.prefix.clone()),
            event_type_header: format.event_type_header.clone(),
            delivery_id_header: format.delivery_id_header.clone(),
        }
    }
}

impl From<PayloadModeName> for PayloadMode {
    fn from(name: PayloadModeName) -> PayloadMode {
        match name {
            PayloadModeName::Full => PayloadMode::Full,
            // The command fills in the application.
            PayloadModeName::Reference => PayloadMode::Reference { app: String::new() },
        }
    }
}

impl From<&Option<PayloadMode>> for PayloadModeName {
    fn from(mode: &Option<PayloadMode>) -> PayloadModeName {
        match mode {
            None | Some(PayloadMode::Full) => PayloadModeName::Full,
            Some(PayloadMode::Reference { .. }) => PayloadModeName::Reference,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_shown_can_be_sent_back_and_means_the_same() {
        for sent in [
            json!({"scheme": "standard", "eventTypeHeader": "X-Event"}),
            json!({"scheme": "hexBody", "signatureHeader": "X-Sig"}),
            json!({"scheme": "hexTimeBody", "signatureHeader": "X-Sig", "timestampHeader": "X-Time",
                "timestampFormat": "iso8601", "prefix": "", "deliveryIdHeader": "X-Id"}),
        ] {
            let model = serde_json::from_value::<SignatureFormatBody>(sent.clone()).unwrap().into_model();
            let shown = serde_json::to_value(SignatureFormatBody::from(&model)).unwrap();
            let again = serde_json::from_value::<SignatureFormatBody>(shown.clone()).unwrap().into_model();
            assert_eq!(again, model, "{shown}");
            assert!(sent.as_object().unwrap().iter().all(|(name, value)| &shown[name] == value), "{sent} {shown}");
        }
        let body = json!({"scheme": "hexBody", "signatureHeader": "X-Sig"});
        let model = serde_json::from_value::<SignatureFormatBody>(body).unwrap().into_model();
        assert_eq!((model.prefix.as_str(), model.timestamp_format), ("sha256=", TimestampFormat::UnixSeconds));
    }
}
