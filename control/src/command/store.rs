//! The store as a whole: that it was backed up, which shows all of it to somebody, and that it came of a backup. Both
//! change nothing but the audit log.

use super::{At, Changed, Command, Reach, Thing};
use crate::error::Error;
use crate::snapshot::Fields;
use model::{AppId, UnixMs};
use storage::Txn;

/// Notes that a backup is being taken.
pub struct BackUp;

/// Notes that the store was made of a backup.
pub struct Restore {
    /// The commit that the backup stands at.
    pub commit: u64,
    /// When it was taken: what came later is lost.
    pub taken: UnixMs,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeStore {
    /// The backup that it came of, by its commit and time; none for one that goes on.
    from_backup: Option<(u64, UnixMs)>,
}

impl Thing for WholeStore {
    const KIND: &'static str = "store";

    fn app(&self) -> Option<AppId> {
        None
    }

    fn id(&self) -> String {
        "store".to_owned()
    }

    fn fields(&self) -> Fields {
        Fields::default()
            .with("backupCommit", self.from_backup.map(|(commit, _)| commit))
            .with("backupTaken", self.from_backup.map(|(_, taken)| taken.0))
    }
}

impl Command for BackUp {
    const NAME: &'static str = "store.backup";
    type Thing = WholeStore;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn apply(self, _: &At<'_>, _: &mut Txn<'_>) -> Result<Changed<WholeStore>, Error> {
        Ok(Changed::Seen(WholeStore { from_backup: None }))
    }
}

impl Command for Restore {
    const NAME: &'static str = "store.restore";
    type Thing = WholeStore;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn apply(self, _: &At<'_>, _: &mut Txn<'_>) -> Result<Changed<WholeStore>, Error> {
        Ok(Changed::Created(WholeStore { from_backup: Some((self.commit, self.taken)) }))
    }
}
