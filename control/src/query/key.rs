//! API keys: which one a caller shows and how far it reaches, and all of them as a list.

use super::paging::{Listed, Page};
use crate::error::Error;
use crate::key::KeyHash;
use crate::reach::Reach;
use model::{ApiKeyRow, Application, KeyScopes, UnixMs, hex};
use storage::tables::{api_key, application};
use storage::{Direction, Read};

/// Bytes of the hash that make a key's id: 64 bits do not meet by chance among [`api_key::MAX_LISTED`] keys.
const ID_BYTES: usize = 8;

/// A key as it is shown: never its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The beginning of its hash in hex: 16 digits.
    pub id: String,
    /// For people.
    pub name: String,
    /// The beginning of its text; empty for a key that was made before this was kept.
    pub prefix: String,
    /// The id of the application that it is limited to; none for every application.
    pub app_id: Option<String>,
    /// Its scopes.
    pub scopes: KeyScopes,
    /// Requests in a minute, at most.
    pub rate_limit: Option<u32>,
    /// When it was created.
    pub created_at: UnixMs,
    /// From then on it is refused.
    pub expires_at: Option<UnixMs>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMs>,
    /// A time at which it was used, at most about a minute before the last one.
    pub last_used_at: Option<UnixMs>,
    /// The id of the key that takes its place.
    pub replaced_by: Option<String>,
}

/// The place of a key in the list: by age, then by id.
pub type KeyPlace = (UnixMs, String);

/// A key that is known: how far it reaches, and its row. The root key has none.
#[derive(Clone, Debug)]
pub struct KnownKey {
    /// How far it reaches.
    pub reach: Reach,
    /// Its row; none for the root key.
    pub row: Option<ApiKeyRow>,
}

/// Looks a key up; none for one that is unknown, expired or revoked. Hashes are compared in constant time.
///
/// # Errors
/// Damage, and any error of the store.
pub fn lookup(
    read: &(impl Read + ?Sized),
    root: &KeyHash,
    key: &KeyHash,
    now: UnixMs,
) -> Result<Option<KnownKey>, Error> {
    if key.matches(root) {
        return Ok(Some(KnownKey { reach: Reach::Everything, row: None }));
    }
    let row = api_key::get(read, &key.to_bytes())?.filter(|row| key.matches(&KeyHash::from_bytes(row.hash)));
    let row = row.filter(|row| row.is_live(now));
    Ok(row.map(|row| KnownKey { reach: row.app.map_or(Reach::Everything, Reach::Application), row: Some(row) }))
}

/// Every key, by age. Their number is bounded.
///
/// # Errors
/// Damage, and any error of the store.
pub fn all(read: &(impl Read + ?Sized)) -> Result<Vec<KeyInfo>, Error> {
    by_age(read)?.into_iter().map(|(_, row)| info_of(read, row)).collect()
}

/// The key of this id, revoked ones too.
///
/// # Errors
/// Damage, and any error of the store.
pub fn get(read: &(impl Read + ?Sized), id: &str) -> Result<Option<KeyInfo>, Error> {
    let found = api_key::list(read)?.into_iter().find(|row| id_of(&row.hash) == id);
    found.map(|row| info_of(read, row)).transpose()
}

/// Keys by age.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list(read: &(impl Read + ?Sized), page: &Page<KeyPlace>) -> Result<Listed<KeyInfo, KeyPlace>, Error> {
    let mut rows = by_age(read)?;
    if page.direction() == Direction::Reverse {
        rows.reverse();
    }
    let source = |after: Option<&KeyPlace>, limit| {
        let is_beyond = |place: &KeyPlace| match page.direction() {
            Direction::Forward => after.is_none_or(|after| place > after),
            Direction::Reverse => after.is_none_or(|after| place < after),
        };
        Ok(rows.iter().filter(|(place, _)| is_beyond(place)).take(limit).cloned().collect())
    };
    page.find(source, |(place, _)| place.clone(), |(_, row)| info_of(read, row).map(Some))
}

/// The id of the key of a hash.
#[must_use]
pub fn id_of(hash: &[u8; 32]) -> String {
    hex(&hash[..ID_BYTES])
}

/// A key as it is shown.
///
/// # Errors
/// Damage, and any error of the store.
pub(crate) fn info_of(read: &(impl Read + ?Sized), row: ApiKeyRow) -> Result<KeyInfo, Error> {
    let app_id = match row.app {
        None => None,
        // A key goes with its application; this must never show as one for everything all the same.
        Some(id) => Some(
            application::get(read, id)?.map_or_else(|| format!("{id}, deleted"), |app| Application::public_id(&app)),
        ),
    };
    let ApiKeyRow {
        hash,
        name,
        app: _,
        created_at,
        scopes,
        prefix,
        expires_at,
        revoked_at,
        last_used_at,
        rate_limit,
        replaced_by,
    } = row;
    let replaced_by = replaced_by.as_ref().map(id_of);
    let id = id_of(&hash);
    Ok(KeyInfo {
        id,
        name,
        prefix,
        app_id,
        scopes,
        rate_limit,
        created_at,
        expires_at,
        revoked_at,
        last_used_at,
        replaced_by,
    })
}

fn by_age(read: &(impl Read + ?Sized)) -> Result<Vec<(KeyPlace, ApiKeyRow)>, Error> {
    let rows = api_key::list(read)?.into_iter();
    let mut rows: Vec<_> = rows.map(|row| ((row.created_at, id_of(&row.hash)), row)).collect();
    rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::paging::{Order, Start};
    use crate::query::testing::store_of;
    use model::AppId;

    fn row(text: &str, app: Option<AppId>, at: u64) -> ApiKeyRow {
        ApiKeyRow::plain(KeyHash::of(text).to_bytes(), text.to_owned(), app, UnixMs(at))
    }

    #[test]
    fn a_key_reaches_as_far_as_its_row_says_and_an_unknown_one_nowhere() {
        let store = store_of(|txn| {
            api_key::put(txn, &row("all", None, 1))?;
            api_key::put(txn, &ApiKeyRow { expires_at: Some(UnixMs(9)), ..row("short", None, 1) })?;
            api_key::put(txn, &ApiKeyRow { revoked_at: Some(UnixMs(2)), ..row("revoked", None, 1) })?;
            api_key::put(txn, &row("own", Some(AppId(7)), 1))
        });
        let root = KeyHash::of("root");
        let at = |text, now| lookup(&store, &root, &KeyHash::of(text), UnixMs(now)).unwrap().map(|key| key.reach);
        let reach = |text| at(text, 5);
        assert_eq!((reach("root"), reach("all")), (Some(Reach::Everything), Some(Reach::Everything)));
        assert_eq!((reach("own"), reach("other")), (Some(Reach::Application(AppId(7))), None));
        assert_eq!((at("short", 8), at("short", 9), reach("revoked")), (Some(Reach::Everything), None, None));
        // Its application is gone: shown so, and never as a key for everything.
        let keys = all(&store).unwrap();
        let own = keys.iter().find(|key| key.name == "own").unwrap();
        assert_eq!(own.app_id.as_deref(), Some("7, deleted"));
    }

    #[test]
    fn keys_are_listed_by_age_from_either_end() {
        let store = store_of(|txn| {
            [("c", 3), ("a", 1), ("b", 2)]
                .into_iter()
                .try_for_each(|(name, at)| api_key::put(txn, &row(name, None, at)))
        });
        let names = |order, start| {
            let listed = list(&store, &Page { limit: 2, order, start }).unwrap();
            listed.items.into_iter().map(|key| key.name).collect::<String>()
        };
        let middle = (UnixMs(2), all(&store).unwrap()[1].id.clone());
        assert_eq!(names(Order::Ascending, Start::First), "ab");
        assert_eq!(names(Order::Ascending, Start::Behind(middle.clone())), "c");
        assert_eq!(names(Order::Ascending, Start::Before(middle.clone())), "a");
        assert_eq!(names(Order::Descending, Start::First), "cb");
        assert_eq!(names(Order::Descending, Start::Behind(middle)), "a");
    }
}
