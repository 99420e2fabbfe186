//! Creates a key.

use super::{Derived, IssuedKey, issue, issued_before};
use crate::checks::Checks;
use crate::command::once::ALL_APPLICATIONS;
use crate::command::{At, Changed, Command, Reach, Repeatable};
use crate::error::Error;
use crate::find::find_application;
use crate::limits::{KEY_NAME_BYTES_MAX, KEY_RATE_LIMITS, Rules};
use model::{ApiKeyRow, AppId, KeyScopes, UnixMs};
use storage::Txn;
use storage::tables::api_key;

/// Creates a key.
pub struct CreateApiKey {
    /// For people, unique among keys that are answered.
    pub name: String,
    /// The id or uid of the application that it is limited to; none for every application.
    pub app: Option<String>,
    /// Its scopes; at least one.
    pub scopes: KeyScopes,
    /// From then on it is refused.
    pub expires_at: Option<UnixMs>,
    /// Requests in a minute, at most.
    pub rate_limit: Option<u32>,
    /// Present with an idempotency key.
    pub derived: Option<Derived>,
}

impl Command for CreateApiKey {
    const NAME: &'static str = "api-key.create";
    type Thing = IssuedKey;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        let is_long = self.name.is_empty() || self.name.len() > KEY_NAME_BYTES_MAX;
        if is_long || self.name.chars().any(char::is_control) {
            let msg = format!("a name has 1 to {KEY_NAME_BYTES_MAX} bytes and no control characters");
            checks.wrong(&["name"], msg, "value_error.any_str.length");
        }
        if self.scopes.is_empty() {
            checks.wrong(&["scopes"], "a key has at least one scope", "value_error.list.min_items");
        }
        self.rate_limit.iter().for_each(|rate| checks.within("rateLimit", *rate, &KEY_RATE_LIMITS));
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<IssuedKey>, Error> {
        let CreateApiKey { name, app, scopes, expires_at, rate_limit, derived } = self;
        check_expiry(expires_at, at.now)?;
        let rows = api_key::list(txn)?;
        let in_use = || rows.iter().filter(|row| row.is_current(at.now));
        if in_use().any(|row| row.name == name) {
            return Err(Error::Conflict(format!("there is a key named `{name}` already").into()));
        }
        let app = app.map(|text| named_application(txn, &text)).transpose()?;
        let most = at.rules.quotas.api_keys;
        if app.is_some() && in_use().filter(|row| row.app == app).count() >= most as usize {
            let of = "keys for one application";
            return Err(Error::QuotaExceeded { quota: "api_keys", of, most, again_after_s: None });
        }
        let row = ApiKeyRow { scopes, expires_at, rate_limit, ..ApiKeyRow::plain([0; 32], name, app, at.now) };
        issue(row, derived, None, &rows, at, txn)
    }
}

impl Repeatable for CreateApiKey {
    fn place(&self, _: &Txn<'_>) -> Result<(AppId, String), Error> {
        Ok((ALL_APPLICATIONS, "api-key".to_owned()))
    }

    fn number(changed: &IssuedKey) -> u64 {
        changed.number
    }

    fn again(&self, number: u64, at: &At<'_>, txn: &Txn<'_>) -> Result<Option<IssuedKey>, Error> {
        issued_before(self.derived.as_ref(), None, number, at.now, txn)
    }
}

/// Refuses a time that has passed.
pub(super) fn check_expiry(expires_at: Option<UnixMs>, now: UnixMs) -> Result<(), Error> {
    match expires_at.filter(|at| *at <= now) {
        Some(_) => Err(Error::invalid(&["expiresAt"], "is not in the future".to_owned(), "value_error.date")),
        None => Ok(()),
    }
}

fn named_application(txn: &Txn<'_>, text: &str) -> Result<AppId, Error> {
    let unknown = || {
        let msg = format!("there is no application with the id or uid `{text}`");
        Error::invalid(&["appId"], msg, "value_error.unknown")
    };
    Ok(find_application(txn, text)?.ok_or_else(unknown)?.id)
}
