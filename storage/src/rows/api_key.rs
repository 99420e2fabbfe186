//! API keys: `SHA-256 of the key`, so that a copy of the store opens nothing.

use super::key::key;
#[cfg(test)]
use super::value::testing::Source;
use super::value::{Field, Malformed, Reader, fields, value, variants};
use model::{ApiKeyRow, AppId, KeyScope, KeyScopes, UnixMs};

key!(ApiKey: (hash: [u8; 32]));
value!(ApiKey: ApiKeyRow, version 2, take);

fields!(ApiKeyRow {
    hash,
    name,
    app,
    created_at,
    scopes,
    prefix,
    expires_at,
    revoked_at,
    last_used_at,
    rate_limit,
    replaced_by,
});
variants!(KeyScope { 0 = Ingest, 1 = Read, 2 = Write, 3 = Admin, 4 = Portal });

/// Version 1, of keys without scopes: they might do everything within their reach.
struct WithoutScopes {
    hash: [u8; 32],
    name: String,
    app: Option<AppId>,
    created_at: UnixMs,
}

fields!(WithoutScopes { hash, name, app, created_at });

fn take(from: &mut Reader<'_>) -> Result<ApiKeyRow, Malformed> {
    if from.version() > 1 {
        return Field::take(from);
    }
    let WithoutScopes { hash, name, app, created_at } = Field::take(from)?;
    Ok(ApiKeyRow::plain(hash, name, app, created_at))
}

/// As a list of scopes. None at all is refused: such a key is never made.
impl Field for KeyScopes {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().collect::<Vec<KeyScope>>().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<KeyScopes, Malformed> {
        let scopes: KeyScopes = Vec::<KeyScope>::take(from)?.into_iter().collect();
        if scopes.is_empty() { Err(Malformed("a key without scopes")) } else { Ok(scopes) }
    }

    #[cfg(test)]
    fn any(source: &mut Source) -> KeyScopes {
        [KeyScope::any(source), KeyScope::any(source)].into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::value::encode;

    #[test]
    fn a_key_of_before_scopes_may_do_what_it_might_then() {
        let (hash, name, app) = ([7; 32], "backend".to_owned(), Some(AppId(3)));
        let old = WithoutScopes { hash, name: name.clone(), app, created_at: UnixMs(9) };
        let read = from_value(&encode(1, &old)).unwrap();
        assert_eq!(read, ApiKeyRow::plain(hash, name, app, UnixMs(9)));
        assert!(read.scopes.has(KeyScope::Admin));
    }
}
