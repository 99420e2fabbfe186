//! Commands on API keys: create, rotate, revoke. The API and `pinion key` share them.
//!
//! A key is shown in one answer, and only its hash is kept. One that is asked for with an idempotency key is derived
//! from that, so that a repetition has the same answer.
//!
//! A revoked key stays in the list. *What bounds it:* there are [`api_key::MAX_LISTED`] rows in all; one more key takes the
//! place of the one that was refused for the longest time.

mod create;
mod revoke;
mod rotate;
#[cfg(test)]
mod tests;

pub use create::CreateApiKey;
pub use revoke::RevokeApiKey;
pub(super) use revoke::revoke_all_of;
pub use rotate::RotateApiKey;

use super::{At, Changed, Thing};
use crate::error::Error;
use crate::key::{KeyHash, derived_key, key_from_random, shown_prefix};
use crate::query::key::{self, KeyInfo, id_of};
use crate::snapshot::{Fields, words};
use model::{ApiKeyRow, AppId, KeyScope, UnixMs};
use storage::Txn;
use storage::tables::api_key;
use zeroize::Zeroizing;

/// From which a key is derived, the same each time.
pub struct Derived {
    /// The hash of the root key.
    pub root: KeyHash,
    /// The idempotency key.
    pub once: String,
}

/// A new key with its text, which is kept nowhere.
pub struct IssuedKey {
    /// As it is shown.
    pub info: KeyInfo,
    /// Cleared from memory when dropped.
    pub text: Zeroizing<String>,
    row: ApiKeyRow,
    /// The id of the key that it takes the place of.
    replaces: Option<String>,
    /// Of which the text was derived, if it was.
    number: u64,
}

impl Thing for IssuedKey {
    const KIND: &'static str = ApiKeyRow::KIND;

    fn app(&self) -> Option<AppId> {
        self.row.app
    }

    fn id(&self) -> String {
        self.info.id.clone()
    }

    fn fields(&self) -> Fields {
        self.row.fields().with("replaces", self.replaces.clone())
    }
}

impl Thing for ApiKeyRow {
    const KIND: &'static str = "api-key";

    fn app(&self) -> Option<AppId> {
        self.app
    }

    fn id(&self) -> String {
        id_of(&self.hash)
    }

    fn fields(&self) -> Fields {
        let ApiKeyRow {
            hash: _,
            name,
            app: _,
            created_at: _,
            scopes,
            prefix,
            expires_at,
            revoked_at,
            last_used_at: _,
            rate_limit,
            replaced_by,
        } = self;
        Fields::default()
            .with("name", name.clone())
            .with("scopes", scopes.iter().map(KeyScope::as_str).collect::<Vec<_>>())
            .with("prefix", prefix.clone())
            .with("expiresAt", words::time(*expires_at))
            .with("revokedAt", words::time(*revoked_at))
            .with("rateLimit", *rate_limit)
            .with("replacedBy", replaced_by.as_ref().map(id_of))
    }
}

/// Makes a key with a new text. `row` says all of it but its hash and the beginning of its text; `rows` are all that there
/// are.
fn issue(
    row: ApiKeyRow,
    derived: Option<Derived>,
    replaces: Option<String>,
    rows: &[ApiKeyRow],
    at: &At<'_>,
    txn: &mut Txn<'_>,
) -> Result<Changed<IssuedKey>, Error> {
    make_room(rows, at.now, txn)?;
    let number = at.draw.secret.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    let text = match derived {
        Some(Derived { root, once }) => derived_key(&root, number, &once),
        None => key_from_random(&at.draw.secret),
    };
    let row = ApiKeyRow { hash: KeyHash::of(&text).to_bytes(), prefix: shown_prefix(&text).to_owned(), ..row };
    api_key::put(txn, &row)?;
    let info = key::info_of(txn, row.clone())?;
    Ok(Changed::Created(IssuedKey { info, text, row, replaces, number }))
}

/// The key that an earlier request made. Revoked since, or made under another root key, it is not made anew: its name tells
/// that it was there.
fn issued_before(
    derived: Option<&Derived>,
    replaces: Option<String>,
    number: u64,
    now: UnixMs,
    txn: &Txn<'_>,
) -> Result<Option<IssuedKey>, Error> {
    let gone = || Error::Conflict("the key that this request made is not there any more".into());
    let Derived { root, once } = derived.ok_or_else(gone)?;
    let text = derived_key(root, number, once);
    let found = api_key::get(txn, &KeyHash::of(&text).to_bytes())?;
    let row = found.filter(|row| row.is_live(now)).ok_or_else(gone)?;
    let info = key::info_of(txn, row.clone())?;
    Ok(Some(IssuedKey { info, text, row, replaces, number }))
}

/// Makes room for one more row: the key that was refused for the longest time goes.
fn make_room(rows: &[ApiKeyRow], now: UnixMs, txn: &mut Txn<'_>) -> Result<(), Error> {
    if rows.len() < api_key::MAX_LISTED {
        return Ok(());
    }
    let refused_since = |row: &ApiKeyRow| row.revoked_at.into_iter().chain(row.expires_at).min();
    let dead = rows.iter().filter(|row| !row.is_live(now)).min_by_key(|row| refused_since(row));
    let Some(dead) = dead else {
        let msg = format!("there are {} keys already, which is the limit", api_key::MAX_LISTED);
        return Err(Error::Conflict(msg.into()));
    };
    Ok(api_key::remove(txn, &dead.hash)?)
}

/// The key of an id among `rows`, if requests with it are answered.
fn find_live(rows: &[ApiKeyRow], id: &str, now: UnixMs) -> Result<ApiKeyRow, Error> {
    let found = rows.iter().find(|row| id_of(&row.hash) == id);
    found.filter(|row| row.is_live(now)).cloned().ok_or(Error::NotFound("API key"))
}
