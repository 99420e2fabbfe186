//! Creating things once: an `Idempotency-Key` with the request that creates an application or endpoint.
//!
//! Clients send a key of their own with every POST and repeat it when they try again, so an answer that got lost does not
//! leave two applications behind. Messages have the same at the writer. Deliberately only for what a repetition would
//! duplicate: a resend or a rotation is a new one each time.

use crate::error::ApiError;
use crate::state::ApiState;
use model::{AppId, Seq, UnixMs};
use sha2::{Digest, Sha256};
use storage::tables::idempotency::{self, Row};
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

impl Once {
    /// Of a request to create a `kind` of thing in `scope`.
    pub(super) fn new(state: &ApiState, scope: AppId, kind: &str, key: &str, body: &[u8]) -> Once {
        let (now, config) = (state.now(), state.engine_config());
        let (expires_at, keys_most) = (now.plus_ms(config.idempotency_ms), config.quotas.idempotency_keys);
        let mut fingerprint = [0; FINGERPRINT_LEN];
        fingerprint.copy_from_slice(&Sha256::digest(body)[..FINGERPRINT_LEN]);
        // A name cannot hold a slash, so no key of a message can be one of these by accident.
        Once { scope, key: format!("{kind}/{key}"), fingerprint, now, expires_at, keys_most }
    }

    /// The number of what this request created before, if it did.
    ///
    /// # Errors
    /// 422 when the key was used to ask for something else.
    pub(super) fn earlier(&self, txn: &Txn<'_>) -> Result<Option<u32>, ApiError> {
        match idempotency::find(txn, self.scope, &self.key)?.row(self.now) {
            Some(row) if row.fingerprint == self.fingerprint => Ok(u32::try_from(row.seq.0).ok()),
            Some(_) => Err(ApiError::KeyReused),
            None => Ok(None),
        }
    }

    /// Remembers what this request created.
    ///
    /// # Errors
    /// 429 when there are as many keys as there may be: then nothing is created.
    pub(super) fn remember(&self, txn: &mut Txn<'_>, number: u32) -> Result<(), ApiError> {
        let row = Row {
            seq: Seq(u64::from(number)),
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
