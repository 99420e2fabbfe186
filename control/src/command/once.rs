//! Doing a thing once: a command with an idempotency key.
//!
//! Clients send a key of their own with every request and repeat it when they try again. So an answer that got lost
//! does not leave two applications behind, or rotate a secret twice. Messages have the same at the writer.
//!
//! The row of a key holds a number, from which the first answer is made again: no secret lies with a key. The row is
//! written in the transaction of the change itself, so there is neither a change without its row nor a row without its
//! change. An error is not kept: the request may be made again.

use super::{At, Changed, Command};
use crate::error::Error;
use model::{AppId, Seq};
use sha2::{Digest, Sha256};
use storage::Txn;
use storage::rows::idempotency::Remembered;
use storage::tables::idempotency;

/// Bytes of a request's fingerprint.
const FINGERPRINT_LEN: usize = 16;

/// The scope of keys of commands above all applications; the first number given out is 1.
pub const ALL_APPLICATIONS: AppId = AppId(0);

/// A caller's idempotency key, with the request that it came with.
#[derive(Clone, Debug)]
pub struct Once {
    key: String,
    fingerprint: [u8; FINGERPRINT_LEN],
}

impl Once {
    /// Of a request with this content, which a repetition must have too.
    #[must_use]
    pub fn new(key: String, content: &[u8]) -> Once {
        let mut fingerprint = [0; FINGERPRINT_LEN];
        fingerprint.copy_from_slice(&Sha256::digest(content)[..FINGERPRINT_LEN]);
        Once { key, fingerprint }
    }

    /// The caller's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// A command that a repeated request does once.
pub trait Repeatable: Command {
    /// The application in which its keys count, and the kind of request. Names in the request beside its application
    /// belong to the kind.
    ///
    /// # Errors
    /// When a thing that it names is not there.
    fn place(&self, txn: &Txn<'_>) -> Result<(AppId, String), Error>;

    /// The number to keep, by which [`Repeatable::again`] finds the changed thing.
    fn number(changed: &Self::Thing) -> u64;

    /// The thing that an earlier request changed; none when it is gone and the request is to be done anew.
    ///
    /// # Errors
    /// When it is gone and must not be done anew.
    fn again(&self, number: u64, at: &At<'_>, txn: &Txn<'_>) -> Result<Option<Self::Thing>, Error>;
}

/// Applies `command`, unless its request did it before. A command that changed nothing leaves no key: its repetition
/// does no harm.
pub(crate) fn perform<C: Repeatable>(
    command: C,
    once: Option<&Once>,
    at: &At<'_>,
    txn: &mut Txn<'_>,
) -> Result<Changed<C::Thing>, Error> {
    let Some(once) = once else { return command.apply(at, txn) };
    let (scope, kind) = command.place(txn)?;
    let key = format!("{kind}/{}", once.key);
    if let Some(row) = idempotency::find(txn, scope, &key)?.row(at.now) {
        if row.fingerprint != once.fingerprint {
            return Err(Error::KeyReused);
        }
        if let Some(thing) = command.again(row.seq.0, at, txn)? {
            return Ok(Changed::Repeated(thing));
        }
    }
    let changed = command.apply(at, txn)?;
    let (Changed::Created(thing) | Changed::Updated { new: thing, .. } | Changed::Deleted(thing)) = &changed else {
        return Ok(changed);
    };
    let row = Remembered {
        seq: Seq(C::number(thing)),
        accepted_at: at.now,
        fingerprint: once.fingerprint,
        expires_at: at.now.plus_ms(at.rules.idempotency_ms),
    };
    let most = at.rules.idempotency_keys;
    match idempotency::find(txn, scope, &key)?.remember(txn, &row, most)? {
        true => Ok(changed),
        false => Err(Error::too_many_keys(most)),
    }
}
