//! Signing secrets of an endpoint: get the current one, rotate with an overlap. They lie on the disk sealed.
//!
//! Deliberately no list of old secrets: they sign until they end, and nobody needs to see them.

use super::params::EndpointPath;
use super::rows::save_endpoint;
use crate::dto::endpoint_secret::{EndpointSecretOut, EndpointSecretRotateIn, rotated};
use crate::error::ApiError;
use crate::extract::{InEndpoint, JsonBody};
use crate::state::{ApiState, random};
use crate::validate::Checks;
use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use engine::dispatch::{SigningKey, generate_secret};
use engine::seal::SealPurpose;
use model::EndpointRef;
use model::endpoint::EndpointSecret;
use storage::tables::endpoint;
use storage::txn::Txn;
use zeroize::Zeroizing;

/// A secret in the clear, cleared from memory when dropped.
pub(super) type SecretText = Zeroizing<String>;

/// Gets the current signing secret.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret", tag = "Endpoint",
    operation_id = "v1.endpoint.get-secret", params(EndpointPath),
    responses((status = 200, body = EndpointSecretOut)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    InEndpoint(row): InEndpoint,
) -> Result<Json<EndpointSecretOut>, ApiError> {
    let current = row.secrets.first().ok_or(ApiError::NotFound("secret"))?;
    let plain = state.open(row.target(), SealPurpose::SigningSecret, &current.sealed)?;
    let key = std::str::from_utf8(plain.expose()).map_err(|_| ApiError::Internal)?;
    Ok(Json(EndpointSecretOut { key: key.to_owned() }))
}

/// Puts a new signing secret in place; the old one goes on to sign beside it for a while.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate", tag = "Endpoint",
    operation_id = "v1.endpoint.rotate-secret", params(EndpointPath), request_body = EndpointSecretRotateIn,
    responses((status = 200, description = "The new secret", body = EndpointSecretOut)))]
pub(crate) async fn rotate(
    State(state): State<ApiState>,
    InEndpoint(row): InEndpoint,
    JsonBody(body): JsonBody<EndpointSecretRotateIn>,
) -> Result<Json<EndpointSecretOut>, ApiError> {
    let mut checks = Checks::of("body");
    body.check(&mut checks);
    checks.finish()?;
    let secret = match &body.key {
        Some(text) => read_secret("key", text)?,
        None => new_secret()?,
    };
    let (target, now) = (row.target(), state.now());
    let new = seal_secret(&state, target, &secret)?;
    let change = move |txn: &mut Txn<'_>| {
        let mut row = endpoint::get(txn, target)?.ok_or(ApiError::NotFound("endpoint"))?;
        row.secrets = rotated(row.secrets, new, body.grace_period_ms(), now)
            .map_err(|_| ApiError::Conflict("too many old secrets are still valid".into()))?;
        row.updated_at = now;
        save_endpoint(txn, &row)
    };
    state.change(change).await?;
    Ok(Json(EndpointSecretOut { key: secret.to_string() }))
}

/// A new secret.
pub(super) fn new_secret() -> Result<SecretText, ApiError> {
    Ok(generate_secret(&random()?))
}

/// A secret that a caller gave, in the form that strict verifiers read: prefix, standard base64, padding.
///
/// # Errors
/// 422 at `field` for a text that is no secret.
pub(super) fn read_secret(field: &str, text: &str) -> Result<SecretText, ApiError> {
    let refuse = |msg: String| ApiError::invalid(["body", field], msg, "value_error.secret");
    SigningKey::parse(text).map_err(|error| refuse(error.to_string()))?;
    let (prefix, digits) = match text.strip_prefix("whsk_") {
        Some(digits) => ("whsk_", digits),
        None => ("whsec_", text.strip_prefix("whsec_").unwrap_or(text)),
    };
    let bytes = STANDARD_NO_PAD.decode(digits.trim_end_matches('=')).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| refuse("a signing secret is base64 behind its prefix".to_owned()))?;
    let mut canonical = Zeroizing::new(prefix.to_owned());
    STANDARD.encode_string(bytes.as_slice(), &mut canonical);
    Ok(canonical)
}

/// A secret as it lies on the disk, current.
pub(super) fn seal_secret(
    state: &ApiState,
    target: EndpointRef,
    text: &SecretText,
) -> Result<EndpointSecret, ApiError> {
    let sealed = state.seal(target, SealPurpose::SigningSecret, text.as_bytes())?;
    Ok(EndpointSecret { sealed, expires_at: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_secret_gets_its_prefix_and_padding() {
        let bare = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNA";
        for text in [bare.to_owned(), format!("whsec_{bare}"), format!("whsec_{bare}==")] {
            assert_eq!(read_secret("key", &text).unwrap().as_str(), format!("whsec_{bare}=="));
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_at_its_field() {
        for text in ["", "whsec_", "short", "whsec_!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"] {
            let error = read_secret("key", text).unwrap_err();
            assert_eq!(error.items().unwrap()[0].loc, ["body", "key"], "{text}");
        }
    }
}
