//! The form of an endpoint's signatures: checked by itself, and against the custom headers and the secret beside it.
//!
//! Headers and secrets lie sealed and have commands of their own. So each command that sets one of the three calls
//! [`check_together`] on the row that it makes.

use super::headers::{RESERVED_PREFIXES, open_headers};
use super::secret::has_ed25519;
use crate::checks::Checks;
use crate::error::Error;
use crate::limits::HEADER_NAME_MAX;
use crate::seals::Seals;
use engine::prepare::check_header_name;
use engine::prepare::signature_format::{PREFIX_LEN_MAX, is_prefix};
use model::{Endpoint, SignatureFormat, SignatureScheme};

/// The name of the field in the API.
const FIELD: &str = "signatureFormat";

/// Notes the faults of a form by itself.
pub(super) fn check_format(checks: &mut Checks, format: &SignatureFormat) {
    let mut seen: Vec<String> = Vec::new();
    for (field, name) in format.names() {
        let lower = name.to_ascii_lowercase();
        if name.is_empty() || name.len() > HEADER_NAME_MAX {
            let msg = format!("must have 1 to {HEADER_NAME_MAX} characters");
            checks.wrong(&[FIELD, field], msg, "value_error.any_str.length");
        } else if let Err(error) = check_header_name(name) {
            checks.wrong(&[FIELD, field], error.to_string(), "value_error.header");
        } else if RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            checks.wrong(&[FIELD, field], "cannot be set", "value_error.header");
        } else if seen.contains(&lower) {
            checks.wrong(&[FIELD, field], "is the name of another header too", "value_error.conflict");
        }
        seen.push(lower);
    }
    check_parts(checks, format);
}

/// Notes parts that the scheme needs or has no use for.
fn check_parts(checks: &mut Checks, format: &SignatureFormat) {
    let parts = [("signatureHeader", &format.signature_header), ("timestampHeader", &format.timestamp_header)];
    let needed = match format.scheme {
        SignatureScheme::Standard => 0,
        SignatureScheme::HexBody => 1,
        SignatureScheme::HexTimeBody => 2,
    };
    for (field, _) in parts.iter().take(needed).filter(|(_, name)| name.is_none()) {
        checks.wrong(&[FIELD, field], "field required", "value_error.missing");
    }
    if format.scheme.is_hex() {
        if !is_prefix(&format.prefix) {
            let msg = format!("must be at most {PREFIX_LEN_MAX} printable ASCII characters, the first no space");
            checks.wrong(&[FIELD, "prefix"], msg, "value_error.str.regex");
        }
        return;
    }
    let given = parts.iter().filter(|(_, name)| name.is_some()).map(|(field, _)| *field);
    for field in given.chain((!format.prefix.is_empty()).then_some("prefix")) {
        checks.wrong(&[FIELD, field], "has no meaning with the scheme standard", "value_error.conflict");
    }
}

/// The field to name when the parts of a row do not go together: the one that the caller set.
pub(super) enum Set<'a> {
    /// The form, perhaps among others.
    Format,
    /// The custom headers.
    Headers,
    /// The secret, under this name.
    Secret(&'a str),
}

/// Refuses a row whose form has a name of its custom headers, or signs in a way that its secret cannot.
///
/// # Errors
/// [`Error::Invalid`] with the path of the field that was set.
pub(super) fn check_together(seals: &Seals, row: &Endpoint, set: &Set<'_>) -> Result<(), Error> {
    let Some(format) = &row.signature_format else { return Ok(()) };
    let mut checks = Checks::default();
    let custom = open_headers(seals, row)?;
    for (field, name) in format.names() {
        if custom.keys().any(|key| key.eq_ignore_ascii_case(name)) {
            match set {
                Set::Headers => {
                    checks.wrong(&["headers", name], "is a header of signatureFormat", "value_error.header")
                }
                _ => checks.wrong(&[FIELD, field], "is a custom header too", "value_error.conflict"),
            }
        }
    }
    if format.scheme.is_hex() && has_ed25519(seals, row)? {
        let msg = "an ed25519 secret (whsk_) does not sign in hex: a secret of another kind is needed";
        match set {
            Set::Secret(field) => checks.wrong(&[field], msg, "value_error.secret"),
            _ => checks.wrong(&[FIELD, "scheme"], msg, "value_error.conflict"),
        }
    }
    checks.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(format: &SignatureFormat) -> Vec<String> {
        let mut checks = Checks::default();
        check_format(&mut checks, format);
        match checks.finish() {
            Err(Error::Invalid(wrong)) => wrong.iter().map(|wrong| wrong.at.join(".")).collect(),
            _ => Vec::new(),
        }
    }

    fn name(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn each_scheme_needs_its_headers_and_takes_no_others() {
        let standard = SignatureFormat::standard();
        let body = SignatureFormat { scheme: SignatureScheme::HexBody, ..standard.clone() };
        let time = SignatureFormat { scheme: SignatureScheme::HexTimeBody, ..standard.clone() };
        assert!(wrong(&standard).is_empty());
        assert_eq!(wrong(&body), ["signatureFormat.signatureHeader"]);
        assert_eq!(wrong(&time), ["signatureFormat.signatureHeader", "signatureFormat.timestampHeader"]);
        let all = |format: SignatureFormat| SignatureFormat {
            signature_header: name("X-Sig"),
            timestamp_header: name("X-Time"),
            prefix: "v1=".to_owned(),
            event_type_header: name("X-Event"),
            delivery_id_header: name("X-Delivery"),
            ..format
        };
        assert!(wrong(&all(body.clone())).is_empty() && wrong(&all(time)).is_empty());
        let expected = ["signatureHeader", "timestampHeader", "prefix"].map(|field| format!("signatureFormat.{field}"));
        assert_eq!(wrong(&all(standard)), expected);
        assert_eq!(wrong(&SignatureFormat { prefix: "é".to_owned(), ..all(body) }), ["signatureFormat.prefix"]);
    }

    #[test]
    fn a_name_that_is_not_the_endpoints_to_choose_is_refused_at_its_field() {
        let long = "x".repeat(HEADER_NAME_MAX + 1);
        for text in ["", "a b", "webhook-id", "svix_id", "Host", "authorization", "x-amz-date", &long] {
            let format = SignatureFormat { delivery_id_header: name(text), ..SignatureFormat::standard() };
            assert_eq!(wrong(&format), ["signatureFormat.deliveryIdHeader"], "{text:?}");
        }
        let twice = SignatureFormat {
            event_type_header: name("X-Acme"),
            delivery_id_header: name("x-acme"),
            ..SignatureFormat::standard()
        };
        assert_eq!(wrong(&twice), ["signatureFormat.deliveryIdHeader"]);
    }
}
