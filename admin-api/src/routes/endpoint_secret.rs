//! Signing secrets of an endpoint: get the current one, rotate with an overlap. They lie on the disk sealed.
//!
//! What is shown is what a receiver verifies with: of an ed25519 secret, the public key only. There is no list of old
//! secrets: they sign until they end, and nobody needs to see them.

use super::once::{Keyed, perform};
use super::params::EndpointPath;
use super::recover::kind_of;
use super::rows::save_endpoint;
use crate::dto::endpoint_secret::{EndpointSecretOut, EndpointSecretRotateIn, rotated, wants_no_content};
use crate::error::{ApiError, NO_CONTENT, OK};
use crate::extract::InEndpoint;
use crate::state::{ApiState, random};
use crate::validate::Checks;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use engine::config::SecretKind;
use engine::prepare::{SigningKey, generate_ed25519_secret, generate_secret};
use engine::seal::SealPurpose;
use http::HeaderMap;
use http::header::USER_AGENT;
use model::endpoint::EndpointSecret;
use model::{Endpoint, EndpointRef, SecretBytes};
use sha2::{Digest, Sha256};
use storage::tables::endpoint;
use storage::txn::Txn;
use zeroize::Zeroizing;

/// The prefix of an ed25519 secret.
const ED25519_PREFIX: &str = "whsk_";

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
    Ok(Json(EndpointSecretOut { key: shown(text_of(&plain)?)? }))
}

fn text_of(plain: &SecretBytes) -> Result<&str, ApiError> {
    std::str::from_utf8(plain.expose()).map_err(|_| ApiError::Internal)
}

/// The key that a receiver verifies with.
fn shown(secret: &str) -> Result<String, ApiError> {
    if !secret.starts_with(ED25519_PREFIX) {
        return Ok(secret.to_owned());
    }
    let key = SigningKey::parse(secret).ok().and_then(|key| key.public_key_text());
    key.ok_or_else(|| {
        tracing::error!("a stored signing secret could not be read");
        ApiError::Internal
    })
}

/// Puts a new signing secret in place; the old one goes on to sign beside it for a while. A secret that is made is of the
/// kind of the present one.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate", tag = "Endpoint",
    operation_id = "v1.endpoint.rotate-secret", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = EndpointSecretRotateIn,
    responses((status = 200, description = "The new secret", body = EndpointSecretOut),
        (status = 204, description = "Done: for the official clients before 1.59, which take no other answer")))]
pub(crate) async fn rotate(
    State(state): State<ApiState>,
    InEndpoint(row): InEndpoint,
    headers: HeaderMap,
    request: Keyed<EndpointSecretRotateIn>,
) -> Result<Response, ApiError> {
    let (target, now) = (row.target(), state.now());
    let (body, once) = request.once(&state, target.app, &kind_of("rotate", target));
    let mut checks = Checks::of("body");
    body.check(&mut checks);
    checks.finish()?;
    let secret = match &body.key {
        Some(text) => read_secret("key", text)?,
        None => like_the_present(&state, &row)?,
    };
    let new = seal_secret(&state, target, &secret)?;
    let number = reference(&new);
    let act = move |txn: &mut Txn<'_>| {
        let mut row = endpoint::get(txn, target)?.ok_or(ApiError::NotFound("endpoint"))?;
        row.secrets = rotated(row.secrets, new, body.grace_period_ms(), now).map_err(|_| ApiError::TooManySecrets)?;
        row.updated_at = now;
        save_endpoint(txn, &row)?;
        Ok((Some(number), secret))
    };
    let again = {
        let state = state.clone();
        move |txn: &mut Txn<'_>, number| made_before(&state, txn, target, number).map(Some)
    };
    let secret = state.change(move |txn| perform(once.as_ref(), txn, again, act)).await?;
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    if wants_no_content(agent) {
        return Ok(NO_CONTENT.into_response());
    }
    Ok((OK, Json(EndpointSecretOut { key: shown(&secret)? })).into_response())
}

/// The secret that the same request made before.
fn made_before(state: &ApiState, txn: &Txn<'_>, target: EndpointRef, number: u64) -> Result<SecretText, ApiError> {
    let row = endpoint::get(txn, target)?.ok_or(ApiError::NotFound("endpoint"))?;
    // Never a second rotation for one key, also when others have replaced what the first one made.
    let gone = ApiError::Conflict("the secret that this rotation made is not kept any more".into());
    let found = row.secrets.iter().find(|secret| reference(secret) == number).ok_or(gone)?;
    let plain = state.open(target, SealPurpose::SigningSecret, &found.sealed)?;
    Ok(Zeroizing::new(text_of(&plain)?.to_owned()))
}

/// A number that tells a secret from the others of its endpoint and says nothing of it: it is drawn from what lies on the
/// disk, sealed.
fn reference(secret: &EndpointSecret) -> u64 {
    Sha256::digest(&secret.sealed.0).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A new secret.
pub(super) fn new_secret(kind: SecretKind) -> Result<SecretText, ApiError> {
    Ok(match kind {
        SecretKind::Hmac => generate_secret(&random()?),
        SecretKind::Ed25519 => generate_ed25519_secret(&random()?),
    })
}

/// A new secret of the kind of an endpoint's present one, which its receiver can verify.
fn like_the_present(state: &ApiState, row: &Endpoint) -> Result<SecretText, ApiError> {
    let Some(current) = row.secrets.first() else { return new_secret(state.engine_config().secret_kind) };
    let plain = state.open(row.target(), SealPurpose::SigningSecret, &current.sealed)?;
    new_secret(SecretKind::of(text_of(&plain)?))
}

/// A secret that a caller gave, in the form that strict verifiers read: prefix, standard base64, padding.
///
/// # Errors
/// 422 at `field` for a text that is no secret.
pub(super) fn read_secret(field: &str, text: &str) -> Result<SecretText, ApiError> {
    let refuse = |msg: String| ApiError::invalid(["body", field], msg, "value_error.secret");
    SigningKey::parse(text).map_err(|error| refuse(error.to_string()))?;
    let (prefix, digits) = match text.strip_prefix(ED25519_PREFIX) {
        Some(digits) => (ED25519_PREFIX, digits),
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
