//! The form in which an endpoint's requests are signed, for receivers that know no Standard Webhooks.

/// Names of headers, and the text that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFormat {
    /// The text that is signed, and the encoding of the signature.
    pub scheme: SignatureScheme,
    /// The header with the signature; none for [`SignatureScheme::Standard`], whose headers have names of their own.
    pub signature_header: Option<String>,
    /// The header with the time of signing; there for [`SignatureScheme::HexTimeBody`], never for the standard.
    pub timestamp_header: Option<String>,
    /// The text of the time, in the header and in the signed text.
    pub timestamp_format: TimestampFormat,
    /// The text before the hex digits of a signature.
    pub prefix: String,
    /// The header with the type of the event, if there is to be one.
    pub event_type_header: Option<String>,
    /// The header with the id of the message, if there is to be one. The id is the same for all attempts.
    pub delivery_id_header: Option<String>,
}

/// The text that is signed by HMAC-SHA256, and the encoding of the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureScheme {
    /// Standard Webhooks.
    Standard,
    /// The body, in lower-case hex.
    HexBody,
    /// Time, `.` and body, in lower-case hex.
    HexTimeBody,
}

/// The text of a time of signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    /// Seconds since the Unix epoch.
    UnixSeconds,
    /// ISO 8601 in UTC with milliseconds: `2026-11-20T05:47:41.564Z`.
    Iso8601,
}

/// The body of an endpoint's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadMode {
    /// The payload, byte for byte.
    Full,
    /// A small JSON object in place of the payload: id, type and time of the message, and the URL to read it at.
    Reference {
        /// The text id of the application, which is in that URL. Kept here so that no attempt has to look it up.
        app: String,
    },
}

impl SignatureScheme {
    /// True if the signature is in hex, under a header name of the endpoint's own. Such a receiver knows one key, and
    /// none but a symmetric one.
    #[must_use]
    pub fn is_hex(self) -> bool {
        match self {
            SignatureScheme::Standard => false,
            SignatureScheme::HexBody | SignatureScheme::HexTimeBody => true,
        }
    }
}

impl SignatureFormat {
    /// Standard Webhooks without further headers: the same as no format.
    #[must_use]
    pub fn standard() -> SignatureFormat {
        SignatureFormat {
            scheme: SignatureScheme::Standard,
            signature_header: None,
            timestamp_header: None,
            timestamp_format: TimestampFormat::UnixSeconds,
            prefix: String::new(),
            event_type_header: None,
            delivery_id_header: None,
        }
    }

    /// The names of headers of its own that are given, each beside its field's name in the API.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("signatureHeader", &self.signature_header),
            ("timestampHeader", &self.timestamp_header),
            ("eventTypeHeader", &self.event_type_header),
            ("deliveryIdHeader", &self.delivery_id_header),
        ]
        .into_iter()
        .filter_map(|(field, name)| name.as_deref().map(|name| (field, name)))
    }
}
