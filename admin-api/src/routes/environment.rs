//! Export and import of the configuration. For keys that reach everything.
//!
//! An export is no larger than a body that an import takes (`--max-batch-body-bytes`), and says so when it would be. It
//! shows no secret but sealed for a key that the caller names, which the audit log records before anything is read.

use crate::auth::By;
use crate::dto::environment::{EnvironmentExportIn, EnvironmentImportOut, EnvironmentIn, EnvironmentOut};
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::extract::{BatchBody, JsonBody, QueryParams};
use crate::json::{JsonBytes, from_body};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::command::endpoint::{Headers, open_secrets};
use control::import::NoteExport;
use control::query::environment::{Item, walk};
use engine::seal::envelope::{KEY_LEN, seal_for};
use model::Endpoint;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use zeroize::Zeroizing;

/// Applications that one export may name.
const NAMED_MAX: usize = 1_000;

/// The parameters of an import.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportQuery {
    /// True: the answer says what would be done, and nothing is.
    #[serde(default)]
    dry_run: bool,
}

/// Exports the configuration: event types, applications with their policies, and endpoints.
#[utoipa::path(post, path = "/api/v1/environment/export", tag = "Environment", operation_id = "v1.environment.export",
    request_body = EnvironmentExportIn, responses((status = 200, body = EnvironmentOut)))]
pub(crate) async fn export(
    state: Reader,
    By(caller): By,
    JsonBody(body): JsonBody<Option<EnvironmentExportIn>>,
) -> Result<JsonBytes, ApiError> {
    let EnvironmentExportIn { applications, public_key } = body.unwrap_or_default();
    if applications.as_ref().is_some_and(|named| named.len() > NAMED_MAX) {
        let msg = format!("must be at most {NAMED_MAX}");
        return Err(ApiError::invalid(["body", "applications"], msg, "value_error.list.length"));
    }
    let recipient = public_key.as_deref().map(read_key).transpose()?;
    if let Some(recipient) = recipient {
        state.control.submit(caller, NoteExport { recipient }).await?;
    }
    let now = Timestamp(state.now());
    state.answer(move |state| read_all(state, applications.as_deref(), recipient, now)).await
}

fn read_key(text: &str) -> Result<[u8; KEY_LEN], ApiError> {
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    let is_usable = |key: &[u8; KEY_LEN]| seal_for(key, "", b"").is_ok();
    bytes
        .filter(is_usable)
        .ok_or_else(|| ApiError::invalid(["body", "publicKey"], "is no X25519 public key in base64", "value_error.key"))
}

fn read_all(
    state: &ApiState,
    apps: Option<&[String]>,
    recipient: Option<[u8; KEY_LEN]>,
    now: Timestamp,
) -> Result<EnvironmentOut, ApiError> {
    let (mut out, mut bytes, most) = (EnvironmentOut::new(now), 0, state.limits.batch_body_bytes);
    walk(state.view(), apps, |item| {
        bytes += 1 + match item {
            Item::EventType(row) => out.add_event_type(row),
            Item::Application(row) => out.add_application(row)?,
            Item::Endpoint(row, backup) => {
                let sealed = recipient.map(|recipient| sealed(state, row, &recipient)).transpose()?;
                out.add_endpoint(row, backup, sealed)?
            }
        };
        if bytes > most {
            let msg = format!("the export has more than {most} bytes: name some of the applications");
            return Err(ApiError::invalid(["body", "applications"], msg, "value_error.too_large"));
        }
        Ok(())
    })?;
    Ok(out)
}

/// The secrets of an endpoint, in the fields that creating it takes.
#[derive(Serialize)]
struct Sealed<'a> {
    secret: Option<&'a str>,
    headers: &'a Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

/// The secrets of an endpoint for the holder of a key, as a request to create it would have them.
fn sealed(state: &ApiState, row: &Endpoint, recipient: &[u8; KEY_LEN]) -> Result<String, ApiError> {
    let secrets = open_secrets(state.control.seals(), row)?;
    let shown = Sealed {
        secret: secrets.secret.as_ref().map(|secret| secret.as_str()),
        headers: &secrets.headers,
        url: secrets.url.as_ref().map(|url| url.as_str()),
    };
    let plain = Zeroizing::new(serde_json::to_vec(&shown).map_err(|_| ApiError::Internal)?);
    seal_for(recipient, &row.public_id(), &plain).map_err(|_| ApiError::Internal)
}

/// Puts a configuration in place: what is there is changed, what is not is created, and nothing is deleted. The same again
/// changes nothing.
#[utoipa::path(post, path = "/api/v1/environment/import", tag = "Environment", operation_id = "v1.environment.import",
    params(ImportQuery), request_body = EnvironmentIn, responses((status = 200, body = EnvironmentImportOut)))]
pub(crate) async fn import(
    state: Reader,
    By(caller): By,
    QueryParams(query): QueryParams<ImportQuery>,
    BatchBody(body): BatchBody,
) -> Result<Json<EnvironmentImportOut>, ApiError> {
    let things = from_body::<EnvironmentIn>(&body)?.into_things()?;
    let (mut results, mut steps, mut places) = (Vec::with_capacity(things.len()), Vec::new(), Vec::new());
    for (named, planned) in things {
        match planned {
            Ok(planned) => {
                places.push(results.len());
                steps.push(planned);
                results.push((named, Err(ApiError::Internal)));
            }
            Err(error) => results.push((named, Err(error))),
        }
    }
    let done = match query.dry_run {
        true => state.read(move |state| Ok(state.control.rehearse(&caller, steps)?)).await?,
        false => state.control.import(&caller, steps).await?,
    };
    for (place, done) in places.into_iter().zip(done) {
        results[place].1 = done.map_err(ApiError::from);
    }
    Ok(Json(EnvironmentImportOut::of(query.dry_run, results)))
}
