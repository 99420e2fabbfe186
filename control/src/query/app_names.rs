//! Which application a path names: the answer of the last time, while no application has changed since.
//!
//! Every message that is pushed asks this. Reading and decoding a row of the store for it is a thirtieth of the whole
//! cost of a message. [`Control`](crate::Control) owns the names; they are bounded by [`NAMES_MAX`] and forgotten
//! all at once when there are more. It keeps no rows: a caller that needs more than the number reads the row.

use crate::error::Error;
use crate::find::find_application;
use foldhash::HashMap;
use model::AppId;
use std::sync::{PoisonError, RwLock};
use storage::Read;

/// Names that are remembered.
const NAMES_MAX: usize = 16_384;

/// The longest name that is remembered, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Names of applications, ids and uids alike.
#[derive(Default)]
pub(crate) struct AppNames(RwLock<Known>);

#[derive(Default)]
struct Known {
    version: u64,
    names: HashMap<Box<str>, AppId>,
}

impl AppNames {
    /// The application of an id or a uid. `version` tells whether any has changed since the last time: it was read
    /// before this call.
    pub(crate) fn find(&self, read: &(impl Read + ?Sized), version: u64, text: &str) -> Result<Option<AppId>, Error> {
        // A panic cannot leave it in disorder: each name is put in on its own.
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.version == version
            && let Some(app) = known.names.get(text)
        {
            return Ok(Some(*app));
        }
        drop(known);
        let Some(found) = find_application(read, text)? else { return Ok(None) };
        if text.len() <= NAME_BYTES_MAX {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if known.version < version || known.names.len() >= NAMES_MAX {
                known.names.clear();
            }
            // A name that was read at an older version may be outdated.
            if known.version <= version {
                known.version = version;
                known.names.insert(text.into(), found.id);
            }
        }
        Ok(Some(found.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::{put_app, write};
    use storage::store::MemoryStore;

    fn put(store: &MemoryStore, id: u32, uid: &str) {
        write(store, |txn| put_app(txn, id, uid));
    }

    #[test]
    fn what_is_known_holds_for_its_version_and_no_other() {
        let (store, names) = (MemoryStore::default(), AppNames::default());
        let find = |version, text: &str| names.find(&store, version, text).unwrap();
        assert_eq!(find(0, "acme"), None);
        put(&store, 1, "acme");
        assert_eq!(find(1, "acme"), Some(AppId(1)), "that there was none is not remembered");
        put(&store, 2, "acme");
        assert_eq!(find(1, "acme"), Some(AppId(1)), "nobody said that it changed");
        assert_eq!(find(2, "acme"), Some(AppId(2)));
        // One that asked before the change and comes late does not take the new answer away, nor leave an old one.
        assert_eq!(find(1, "acme"), Some(AppId(2)));
        assert_eq!(names.0.read().unwrap().version, 2);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let (store, names) = (MemoryStore::default(), AppNames::default());
        put(&store, 1, "acme");
        {
            let mut known = names.0.write().unwrap();
            known.names.extend((0..NAMES_MAX).map(|n| (n.to_string().into(), AppId(9))));
        }
        assert_eq!(names.find(&store, 0, "acme").unwrap(), Some(AppId(1)));
        assert_eq!(names.0.read().unwrap().names.len(), 1);
    }
}
