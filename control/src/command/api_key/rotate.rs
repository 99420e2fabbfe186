//! Rotates a key: a new one takes its place, and both work for a while.

use super::create::check_expiry;
use super::{Derived, IssuedKey, find_live, issue, issued_before};
use crate::checks::Checks;
use crate::command::once::ALL_APPLICATIONS;
use crate::command::{At, Changed, Command, Reach, Repeatable};
use crate::error::Error;
use crate::limits::{KEY_GRACE_PERIOD_S, Rules};
use crate::query::key::id_of;
use model::{ApiKeyRow, AppId, UnixMs};
use storage::Txn;
use storage::tables::api_key;

/// Seconds for which both keys work when the caller names none: a day, as with signing secrets.
const GRACE_PERIOD_S_DEFAULT: u64 = 24 * 3_600;

/// Makes a key that takes the place of another one: with its name, its application, its scopes and its rate limit.
pub struct RotateApiKey {
    /// The id of the key, which works until the grace period ends or it would have expired.
    pub id: String,
    /// Seconds for which both work; 0 refuses the old one at once, none is a day.
    pub grace_period_s: Option<u64>,
    /// The end of the new one; none for as long a life as the old one was made with.
    pub expires_at: Option<UnixMs>,
    /// Present with an idempotency key.
    pub derived: Option<Derived>,
}

impl Command for RotateApiKey {
    const NAME: &'static str = "api-key.rotate";
    type Thing = IssuedKey;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        self.grace_period_s.iter().for_each(|time| checks.within("gracePeriodSeconds", *time, &KEY_GRACE_PERIOD_S));
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<IssuedKey>, Error> {
        let rows = api_key::list(txn)?;
        let old = find_live(&rows, &self.id, at.now)?;
        if let Some(next) = &old.replaced_by {
            let msg = format!("this key was rotated already: {} takes its place", id_of(next));
            return Err(Error::Conflict(msg.into()));
        }
        check_expiry(self.expires_at, at.now)?;
        let life_ms = old.expires_at.map(|end| end.since_ms(old.created_at));
        let expires_at = self.expires_at.or(life_ms.map(|life_ms| at.now.plus_ms(life_ms)));
        let new = ApiKeyRow { created_at: at.now, expires_at, last_used_at: None, ..old.clone() };
        let changed = issue(new, self.derived, Some(self.id), &rows, at, txn)?;
        let Some(issued) = changed.after() else { return Ok(changed) };
        let ends_at = at.now.plus_ms(self.grace_period_s.unwrap_or(GRACE_PERIOD_S_DEFAULT) * 1_000);
        let ends_at = old.expires_at.map_or(ends_at, |end| end.min(ends_at));
        let old = ApiKeyRow { expires_at: Some(ends_at), replaced_by: Some(issued.row.hash), ..old };
        api_key::put(txn, &old)?;
        Ok(changed)
    }
}

impl Repeatable for RotateApiKey {
    fn place(&self, _: &Txn<'_>) -> Result<(AppId, String), Error> {
        Ok((ALL_APPLICATIONS, format!("api-key.rotate/{}", self.id)))
    }

    fn number(changed: &IssuedKey) -> u64 {
        changed.number
    }

    fn again(&self, number: u64, at: &At<'_>, txn: &Txn<'_>) -> Result<Option<IssuedKey>, Error> {
        issued_before(self.derived.as_ref(), Some(self.id.clone()), number, at.now, txn)
    }
}
