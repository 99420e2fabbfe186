//! Doing a thing once: an `Idempotency-Key` with a request that creates, sends or rotates.
//!
//! Clients send a key of their own with every POST and repeat it when they try again, so an answer that got lost does not
//! leave two applications behind, or rotate a secret twice. Messages have the same at the writer.
//!
//! What is kept is a number, and the first answer is made anew from it: no secret lies with a key. The row is written in the
//! transaction of the change itself, so there is neither a change without its row nor a row without its change. An error
//! is not kept: the request may be made again.

use crate::error::ApiError;
use crate::extract::{IdempotencyKey, RawBody};
use crate::json::from_body;
use crate::state::ApiState;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use model::{AppId, Seq, UnixMs};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use storage::rows::idempotency::Remembered;
use storage::tables::idempotency;
use storage::txn::Txn;

/// Bytes of a request's fingerprint.
const FINGERPRINT_LEN: usize = 16;

/// The key of a request with what it asked for.
#[derive(Clone, Debug)]
pub(super) struct Once {
    scope: AppId,
    key: String,
    fingerprint: [u8; FINGERPRINT_LEN],
    now: UnixMs,
    expires_at: UnixMs,
    keys_most: u32,
}

/// The applications themselves belong to none; the first number given out is 1.
pub(super) const ALL_APPLICATIONS: AppId = AppId(0);

/// A JSON body, with the key of its request.
#[derive(Debug)]
pub(crate) struct Keyed<T> {
    /// What was asked for.
    pub(super) body: T,
    /// The key, if one was given, for this very body.
    pub(super) once: Option<control::Once>,
    /// The key, if one was given.
    pub(super) key: Option<String>,
    bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<ApiState> for Keyed<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Keyed<T>, ApiError> {
        let (mut parts, body) = request.into_parts();
        let IdempotencyKey(key) = IdempotencyKey::from_request_parts(&mut parts, state).await?;
        let RawBody(bytes) = RawBody::from_request(Request::from_parts(parts, body), state).await?;
        let once = key.clone().map(|key| control::Once::new(key, &bytes));
        Ok(Keyed { body: from_body(&bytes)?, once, key, bytes })
    }
}

impl<T> Keyed<T> {
    /// What was asked for, and the key to do it once by: of a request to do this `kind` of thing in `scope`.
    pub(super) fn once_of(self, state: &ApiState, scope: AppId, kind: &str) -> (T, Option<Once>) {
        let once = self.key.map(|key| Once::new(state, scope, kind, &key, &self.bytes));
        (self.body, once)
    }
}

impl Once {
    /// Of a request to do this `kind` of thing in `scope`. What the path names beside the application belongs to the kind.
    fn new(state: &ApiState, scope: AppId, kind: &str, key: &str, body: &[u8]) -> Once {
        let (now, config) = (state.now(), state.engine_config());
        let (expires_at, keys_most) = (now.plus_ms(config.idempotency_ms), config.quotas.idempotency_keys);
        let mut fingerprint = [0; FINGERPRINT_LEN];
        fingerprint.copy_from_slice(&Sha256::digest(body)[..FINGERPRINT_LEN]);
        Once { scope, key: format!("{kind}/{key}"), fingerprint, now, expires_at, keys_most }
    }

    /// The number that this request left before, if it did.
    ///
    /// # Errors
    /// 422 when the key was used to ask for something else.
    fn earlier(&self, txn: &Txn<'_>) -> Result<Option<u64>, ApiError> {
        match idempotency::find(txn, self.scope, &self.key)?.row(self.now) {
            Some(row) if row.fingerprint == self.fingerprint => Ok(Some(row.seq.0)),
            Some(_) => Err(ApiError::KeyReused),
            None => Ok(None),
        }
    }

    /// Remembers what this request did.
    ///
    /// # Errors
    /// 429 when there are as many keys as there may be: then nothing is done.
    fn remember(&self, txn: &mut Txn<'_>, number: u64) -> Result<(), ApiError> {
        let row = Remembered {
            seq: Seq(number),
            accepted_at: self.now,
            fingerprint: self.fingerprint,
            expires_at: self.expires_at,
        };
        match idempotency::find(txn, self.scope, &self.key)?.remember(txn, &row, self.keys_most)? {
            true => Ok(()),
            false => Err(ApiError::too_many_keys(self.keys_most)),
        }
    }
}

/// Does a thing, unless its request did it before: then `again` makes the first answer from the number that was kept, or
/// none when what was made is gone, and it is done anew. `act` gives the number to keep, or none where a repetition does
/// no harm.
///
/// # Errors
/// Those of [`Once`], of `again` and of `act`.
pub(super) fn perform<T>(
    once: Option<&Once>,
    txn: &mut Txn<'_>,
    again: impl FnOnce(&mut Txn<'_>, u64) -> Result<Option<T>, ApiError>,
    act: impl FnOnce(&mut Txn<'_>) -> Result<(Option<u64>, T), ApiError>,
) -> Result<T, ApiError> {
    if let Some(number) = once.map_or(Ok(None), |once| once.earlier(txn))?
        && let Some(answer) = again(txn, number)?
    {
        return Ok(answer);
    }
    let (number, answer) = act(txn)?;
    if let (Some(once), Some(number)) = (once, number) {
        once.remember(txn, number)?;
    }
    Ok(answer)
}
