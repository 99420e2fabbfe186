//! An API key: who may call the API, for which application, and what for.
//!
//! Not the key itself, nor how one is made or checked: only its hash is ever kept.

use crate::id::AppId;
use crate::time::UnixMs;

/// One API key as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// SHA-256 of the key's text, its identity. A key is random and long, so that a fast hash is enough.
    pub hash: [u8; 32],
    /// For people, e.g. the name of the backend that holds it.
    pub name: String,
    /// The one application it may act for; none for every one.
    pub app: Option<AppId>,
    /// When it was created.
    pub created_at: UnixMs,
    /// Its scopes.
    pub scopes: KeyScopes,
    /// The beginning of its text, for people to know it by; empty for a key that was made before this was kept.
    pub prefix: String,
    /// From then on it is refused; none for never.
    pub expires_at: Option<UnixMs>,
    /// When it was revoked; it is refused since.
    pub revoked_at: Option<UnixMs>,
    /// A time at which it was used, at most about a minute before the last one.
    pub last_used_at: Option<UnixMs>,
    /// Requests in a minute, at most; none for as many as come.
    pub rate_limit: Option<u32>,
    /// The hash of the key that takes its place: it was rotated, and works until it expires.
    pub replaced_by: Option<[u8; 32]>,
}

impl ApiKeyRow {
    /// A key that may do everything within its reach, and nothing else is known of it.
    #[must_use]
    pub fn plain(hash: [u8; 32], name: String, app: Option<AppId>, created_at: UnixMs) -> ApiKeyRow {
        ApiKeyRow {
            hash,
            name,
            app,
            created_at,
            scopes: KeyScopes::of(&[KeyScope::Admin]),
            prefix: String::new(),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            rate_limit: None,
            replaced_by: None,
        }
    }

    /// True if it is live and was not rotated: its name and its place in a quota are taken.
    #[must_use]
    pub fn is_current(&self, now: UnixMs) -> bool {
        self.is_live(now) && self.replaced_by.is_none()
    }

    /// True if requests with it are answered at this time.
    #[must_use]
    pub fn is_live(&self, now: UnixMs) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

/// Something that a key may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum KeyScope {
    /// To send messages, and to call off those that are scheduled.
    Ingest = 0,
    /// To read everything but secrets, keys and the audit log.
    Read = 1,
    /// To read, and to change everything but keys.
    Write = 2,
    /// Everything.
    Admin = 3,
    /// To do for an application what its own users do in a portal: see its messages and look after its endpoints.
    Portal = 4,
}

impl KeyScope {
    /// Every scope.
    pub const ALL: [KeyScope; 5] =
        [KeyScope::Ingest, KeyScope::Read, KeyScope::Write, KeyScope::Admin, KeyScope::Portal];

    /// The word that the API shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            KeyScope::Ingest => "ingest",
            KeyScope::Read => "read",
            KeyScope::Write => "write",
            KeyScope::Admin => "admin",
            KeyScope::Portal => "portal",
        }
    }

    /// The scope of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<KeyScope> {
        KeyScope::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyScopes(u8);

impl KeyScopes {
    /// These scopes.
    #[must_use]
    pub const fn of(scopes: &[KeyScope]) -> KeyScopes {
        let (mut bits, mut index) = (0, 0);
        while index < scopes.len() {
            bits |= 1 << scopes[index] as u8;
            index += 1;
        }
        KeyScopes(bits)
    }

    /// True if none is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if it has this one.
    #[must_use]
    pub fn has(self, scope: KeyScope) -> bool {
        self.meets(KeyScopes::of(&[scope]))
    }

    /// True if one of these is in it.
    #[must_use]
    pub fn meets(self, other: KeyScopes) -> bool {
        self.0 & other.0 != 0
    }

    /// Each of them, in the order of [`KeyScope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = KeyScope> {
        KeyScope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<KeyScope> for KeyScopes {
    fn from_iter<I: IntoIterator<Item = KeyScope>>(scopes: I) -> KeyScopes {
        scopes.into_iter().fold(KeyScopes(0), |all, scope| KeyScopes(all.0 | 1 << scope as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        for bits in 0..1_u32 << KeyScope::ALL.len() {
            let chosen: Vec<KeyScope> =
                KeyScope::ALL.into_iter().enumerate().filter(|(nth, _)| bits >> nth & 1 == 1).map(|(_, s)| s).collect();
            let set: KeyScopes = chosen.iter().copied().collect();
            assert_eq!((set, set.is_empty()), (KeyScopes::of(&chosen), chosen.is_empty()));
            assert_eq!(set.iter().collect::<Vec<_>>(), chosen);
        }
    }

    #[test]
    fn every_scope_has_a_word_of_its_own() {
        for scope in KeyScope::ALL {
            assert_eq!(KeyScope::of_word(scope.as_str()), Some(scope));
        }
        assert_eq!(KeyScope::of_word("Admin"), None);
    }

    #[test]
    fn a_key_is_live_until_it_expires_or_is_revoked() {
        let row = ApiKeyRow::plain([1; 32], "a".to_owned(), None, UnixMs(1));
        assert!(row.is_live(UnixMs(u64::MAX)));
        let expiring = ApiKeyRow { expires_at: Some(UnixMs(10)), ..row.clone() };
        assert_eq!((expiring.is_live(UnixMs(9)), expiring.is_live(UnixMs(10))), (true, false));
        assert!(!ApiKeyRow { revoked_at: Some(UnixMs(5)), ..row }.is_live(UnixMs(4)));
    }
}
