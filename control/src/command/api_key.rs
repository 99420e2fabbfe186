//! Commands on API keys: create, revoke. The API and `pinion key` share them.
//!
//! A key is shown in one answer, and only its hash is kept. One that is asked for with an idempotency key is derived
//! from that, so that a repetition has the same answer.

use super::once::ALL_APPLICATIONS;
use super::{At, Changed, Command, Reach, Repeatable, Thing};
use crate::checks::Checks;
use crate::error::Error;
use crate::find::find_application;
use crate::key::{KeyHash, derived_key, key_from_random};
use crate::limits::{KEY_NAME_BYTES_MAX, Rules};
use crate::query::key::{self, KeyInfo, id_of};
use crate::snapshot::Fields;
use model::{ApiKeyRow, AppId};
use storage::tables::api_key;
use storage::{StoreError, Txn};
use zeroize::Zeroizing;

/// Creates a key.
pub struct CreateApiKey {
    /// For people, unique.
    pub name: String,
    /// The id or uid of the application that it is limited to; none for every application.
    pub app: Option<String>,
    /// Present with an idempotency key.
    pub derived: Option<Derived>,
}

/// From which a key is derived, the same each time.
pub struct Derived {
    /// The hash of the root key.
    pub root: KeyHash,
    /// The idempotency key.
    pub once: String,
}

/// Revokes a key: the next request that shows it is refused.
pub struct RevokeApiKey {
    /// Its id.
    pub id: String,
}

/// A new key with its text, which is kept nowhere.
pub struct IssuedKey {
    /// As it is shown.
    pub info: KeyInfo,
    /// Cleared from memory when dropped.
    pub text: Zeroizing<String>,
    app: Option<AppId>,
    /// Of which the text was derived, if it was.
    number: u64,
}

impl Thing for IssuedKey {
    const KIND: &'static str = "api-key";

    fn app(&self) -> Option<AppId> {
        self.app
    }

    fn id(&self) -> String {
        self.info.id.clone()
    }

    fn fields(&self) -> Fields {
        Fields::default().with("name", self.info.name.clone()).with("appId", self.info.app_id.clone())
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
        let ApiKeyRow { hash: _, name, app: _, created_at: _ } = self;
        Fields::default().with("name", name.clone())
    }
}

impl Command for CreateApiKey {
    const NAME: &'static str = "api-key.create";
    type Thing = IssuedKey;

    fn reach(&self) -> Reach {
        Reach::Everything
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        let is_long = self.name.is_empty() || self.name.len() > KEY_NAME_BYTES_MAX;
        if is_long || self.name.chars().any(char::is_control) {
            let msg = format!("a name has 1 to {KEY_NAME_BYTES_MAX} bytes and no control characters");
            checks.wrong(&["name"], msg, "value_error.any_str.length");
        }
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<IssuedKey>, Error> {
        let CreateApiKey { name, app, derived } = self;
        let rows = api_key::list(txn)?;
        if rows.len() >= api_key::MAX_LISTED {
            let msg = format!("there are {} keys already, which is the limit", api_key::MAX_LISTED);
            return Err(Error::Conflict(msg.into()));
        }
        if rows.iter().any(|row| row.name == name) {
            return Err(Error::Conflict(format!("there is a key named `{name}` already").into()));
        }
        let app = app.map(|text| named_application(txn, &text)).transpose()?;
        let most = at.rules.quotas.api_keys;
        if app.is_some() && rows.iter().filter(|row| row.app == app).count() >= most as usize {
            let of = "keys for one application";
            return Err(Error::QuotaExceeded { quota: "api_keys", of, most, again_after_s: None });
        }
        let number = at.draw.secret.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        let text = match derived {
            Some(Derived { root, once }) => derived_key(&root, number, &once),
            None => key_from_random(&at.draw.secret),
        };
        let hash = KeyHash::of(&text);
        api_key::put(txn, &ApiKeyRow { hash: hash.to_bytes(), name, app, created_at: at.now })?;
        let info = key::find(txn, &hash)?.ok_or(Error::Internal)?;
        Ok(Changed::Created(IssuedKey { info, text, app, number }))
    }
}

impl Repeatable for CreateApiKey {
    fn place(&self, _: &Txn<'_>) -> Result<(AppId, String), Error> {
        Ok((ALL_APPLICATIONS, "api-key".to_owned()))
    }

    fn number(changed: &IssuedKey) -> u64 {
        changed.number
    }

    /// Revoked since, or made under another root key, it is not made anew: its name tells that it was there.
    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<IssuedKey>, Error> {
        let gone = || Error::Conflict("the key that this request made is not there any more".into());
        let Some(Derived { root, once }) = &self.derived else { return Err(gone()) };
        let text = derived_key(root, number, once);
        let hash = KeyHash::of(&text);
        let row = api_key::get(txn, &hash.to_bytes())?.ok_or_else(gone)?;
        let info = key::find(txn, &hash)?.ok_or_else(gone)?;
        Ok(Some(IssuedKey { info, text, app: row.app, number }))
    }
}

impl Command for RevokeApiKey {
    const NAME: &'static str = "api-key.revoke";
    type Thing = ApiKeyRow;

    fn reach(&self) -> Reach {
        Reach::Everything
    }

    fn apply(self, _: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<ApiKeyRow>, Error> {
        let found = api_key::list(txn)?.into_iter().find(|row| id_of(&row.hash) == self.id);
        let row = found.ok_or(Error::NotFound("API key"))?;
        api_key::remove(txn, &row.hash)?;
        Ok(Changed::Deleted(row))
    }
}

fn named_application(txn: &Txn<'_>, text: &str) -> Result<AppId, Error> {
    let unknown = || {
        let msg = format!("there is no application with the id or uid `{text}`");
        Error::invalid(&["appId"], msg, "value_error.unknown")
    };
    Ok(find_application(txn, text)?.ok_or_else(unknown)?.id)
}

/// Revokes every key that is limited to an application: they would reach nothing without it.
pub(super) fn revoke_all_of(txn: &mut Txn<'_>, app: AppId) -> Result<(), StoreError> {
    let rows = api_key::list(txn)?;
    rows.iter().filter(|row| row.app == Some(app)).try_for_each(|row| api_key::remove(txn, &row.hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::application::{ApplicationFields, CreateApplication};
    use crate::command::testing::Bench;
    use crate::command::{Draw, Once};
    use crate::patch::Patch;

    fn bench() -> Bench {
        let mut bench = Bench::default();
        bench.rules.quotas.api_keys = 3;
        let fields = ApplicationFields {
            name: Some("a".to_owned()),
            uid: Patch::Set("tenant".to_owned()),
            ..ApplicationFields::default()
        };
        bench.run(CreateApplication { fields, or_get: false }).unwrap();
        bench
    }

    fn add(bench: &mut Bench, name: &str, app: Option<&str>) -> Result<IssuedKey, Error> {
        let secret = Zeroizing::new(KeyHash::of(name).to_bytes());
        bench.draw = Draw { salt: 1, secret, challenge: [9; 32] };
        let command = CreateApiKey { name: name.to_owned(), app: app.map(str::to_owned), derived: None };
        bench.run(command).map(Changed::into_thing)
    }

    #[test]
    fn an_application_is_named_by_id_or_uid() {
        let mut bench = bench();
        let app = find_application(&bench.store, "tenant").unwrap().unwrap();
        let id = app.public_id();
        assert_eq!(add(&mut bench, "one", Some(&id)).unwrap().info.app_id.as_deref(), Some(id.as_str()));
        assert_eq!(Thing::app(&add(&mut bench, "two", Some("tenant")).unwrap()), Some(app.id));
        let mut other = id;
        other.replace_range(other.len() - 1.., "0");
        for absent in ["absent", other.as_str()] {
            assert!(matches!(add(&mut bench, "three", Some(absent)), Err(Error::Invalid(_))), "{absent}");
        }
    }

    #[test]
    fn an_application_has_only_so_many_keys() {
        let mut bench = bench();
        for name in ["a", "b", "c"] {
            add(&mut bench, name, Some("tenant")).unwrap();
        }
        let refused = add(&mut bench, "d", Some("tenant"));
        assert!(matches!(refused, Err(Error::QuotaExceeded { most: 3, .. })));
        add(&mut bench, "d", None).unwrap();
    }

    #[test]
    fn a_name_is_unique_and_can_be_shown() {
        let mut bench = bench();
        add(&mut bench, "backend", None).unwrap();
        assert!(matches!(add(&mut bench, "backend", None), Err(Error::Conflict(_))));
        for name in ["", "a\nb", &"x".repeat(201)] {
            assert!(matches!(add(&mut bench, name, None), Err(Error::Invalid(_))));
        }
    }

    #[test]
    fn a_revoked_key_is_gone_and_a_repetition_does_not_make_it_anew() {
        let bench = bench();
        let create = || CreateApiKey {
            name: "k".to_owned(),
            app: None,
            derived: Some(Derived { root: KeyHash::of("root"), once: "key".to_owned() }),
        };
        let once = Once::new("key".to_owned(), b"body");
        let made = bench.run_once(create(), &once).unwrap().into_thing();
        let again = bench.run_once(create(), &once).unwrap();
        assert!(matches!(&again, Changed::Repeated(_)));
        assert_eq!(*again.into_thing().text, *made.text);
        bench.run(RevokeApiKey { id: made.info.id.clone() }).unwrap();
        assert!(matches!(bench.run_once(create(), &once), Err(Error::Conflict(_))));
        assert!(matches!(bench.run(RevokeApiKey { id: made.info.id }), Err(Error::NotFound("API key"))));
    }

    #[test]
    fn keys_go_with_their_application() {
        let mut bench = bench();
        add(&mut bench, "own", Some("tenant")).unwrap();
        add(&mut bench, "all", None).unwrap();
        bench.run(crate::command::application::DeleteApplication { text: "tenant".to_owned() }).unwrap();
        let names: Vec<String> = key::all(&bench.store).unwrap().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["all"]);
    }
}
