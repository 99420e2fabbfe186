//! How long dead letters are kept: the days of their endpoint, else those of its application, else the server's time.
//!
//! Each row that sets days has an entry in an index. A sweep asks the index and not the rows: one seek a page where nobody
//! sets any, and two short reads for each endpoint of an application that does.

use crate::read::Read;
use crate::rows::{KeyRange, dead_letter, dead_letter_days};
use crate::store::{Direction, StoreError};
use crate::tables::{get_row, put_value, scan};
use crate::txn::Txn;
use model::{AppId, EndpointId, EndpointRef, UnixMs};

/// A day in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// The endpoint number of an application's own entry: no endpoint has it.
const OF_APP: EndpointId = EndpointId(0);

/// The times by which a sweep goes.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// The time from which days are reckoned back.
    pub time: UnixMs,
    /// Dead letters of before go where neither endpoint nor application sets days.
    pub by_server: UnixMs,
}

/// The times of the endpoints that one page of a sweep meets, in the order of their keys.
pub(super) struct Times {
    kept: Kept,
    /// False when nobody sets days.
    any: bool,
    /// The application met last: false when nothing of it sets days, and the time of its own days.
    app: Option<(AppId, bool, UnixMs)>,
    /// The endpoint met last.
    endpoint: Option<(EndpointRef, UnixMs)>,
}

/// Keeps the entry of an endpoint right.
///
/// # Errors
/// Whatever the store reports.
pub(in crate::tables) fn note(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    before: Option<u16>,
    days: Option<u16>,
) -> Result<(), StoreError> {
    if before == days {
        return Ok(());
    }
    let key = dead_letter_days::encode(target.app, target.endpoint);
    match days {
        Some(days) => put_value(txn, key, dead_letter_days::to_value(&days)),
        None => {
            txn.delete(key);
            Ok(())
        }
    }
}

/// Keeps the entry of an application right.
///
/// # Errors
/// Whatever the store reports.
pub(in crate::tables) fn note_of_app(
    txn: &mut Txn<'_>,
    app: AppId,
    before: Option<u16>,
    days: Option<u16>,
) -> Result<(), StoreError> {
    note(txn, EndpointRef { app, endpoint: OF_APP }, before, days)
}

/// Makes the entry of an endpoint what its row says; true if it was something else. After rows were lost.
pub(crate) fn mend(txn: &mut Txn<'_>, target: EndpointRef, days: Option<u16>) -> Result<bool, StoreError> {
    let before = match own_days(txn, target) {
        // Zero days are set by nobody, so a damaged entry is always another one.
        Err(StoreError::CorruptRow { .. }) => Some(0),
        read => read?,
    };
    note(txn, target, before, days)?;
    Ok(before != days)
}

/// As [`mend`], of an application.
pub(crate) fn mend_of_app(txn: &mut Txn<'_>, app: AppId, days: Option<u16>) -> Result<bool, StoreError> {
    mend(txn, EndpointRef { app, endpoint: OF_APP }, days)
}

fn own_days(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<u16>, StoreError> {
    get_row(read, &dead_letter_days::encode(target.app, target.endpoint), dead_letter_days::from_value)
}

/// True if the index has an entry in `range`, or gets one in this transaction.
fn has_any(txn: &Txn<'_>, range: &KeyRange) -> Result<bool, StoreError> {
    Ok(!scan(txn, range, 1, Direction::Forward)?.is_empty() || !txn.written(range).is_empty())
}

// === impl Kept ===

impl Kept {
    fn after_days(&self, days: u16) -> UnixMs {
        UnixMs(self.time.0.saturating_sub(u64::from(days) * DAY_MS))
    }
}

// === impl Times ===

impl Times {
    pub(super) fn new(txn: &Txn<'_>, kept: Kept) -> Result<Times, StoreError> {
        Ok(Times { kept, any: has_any(txn, &dead_letter_days::all())?, app: None, endpoint: None })
    }

    /// The dead letter with this key goes if it was given up before this time.
    pub(super) fn of(&mut self, txn: &Txn<'_>, key: &[u8]) -> Result<UnixMs, StoreError> {
        if !self.any {
            return Ok(self.kept.by_server);
        }
        let (target, _) = dead_letter::decode(key)?;
        if let Some((known, before)) = self.endpoint
            && known == target
        {
            return Ok(before);
        }
        let (is_set, by_app) = self.of_app(txn, target.app)?;
        let own = if is_set { own_days(txn, target)? } else { None };
        let before = own.map_or(by_app, |days| self.kept.after_days(days));
        self.endpoint = Some((target, before));
        Ok(before)
    }

    fn of_app(&mut self, txn: &Txn<'_>, app: AppId) -> Result<(bool, UnixMs), StoreError> {
        if let Some((known, is_set, before)) = self.app
            && known == app
        {
            return Ok((is_set, before));
        }
        let is_set = has_any(txn, &dead_letter_days::of_app(app))?;
        let days = if is_set { own_days(txn, EndpointRef { app, endpoint: OF_APP })? } else { None };
        let before = days.map_or(self.kept.by_server, |days| self.kept.after_days(days));
        self.app = Some((app, is_set, before));
        Ok((is_set, before))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{put, sweep};
    use super::*;
    use crate::tables::testing::{TestStore, letter, plain_endpoint, target};
    use crate::tables::{application, endpoint};
    use model::{Application, Endpoint, Policy, Seq};

    const NOW: UnixMs = UnixMs(100 * DAY_MS);

    /// The server keeps 30 days.
    const KEPT: Kept = Kept { time: NOW, by_server: UnixMs(70 * DAY_MS) };

    fn set_app(store: &TestStore, app: u32, days: Option<u16>) {
        let policy = Policy { dead_letter_retention_days: days, ..Policy::default() };
        let row = Application { policy, ..Application::plain(AppId(app), UnixMs(1)) };
        store.write(|txn| application::put(txn, &row));
    }

    fn set(store: &TestStore, target: EndpointRef, days: Option<u16>) {
        let row = Endpoint { dead_letter_retention_days: days, ..plain_endpoint(target) };
        store.write(|txn| endpoint::put(txn, &row));
    }

    /// A dead letter for each of these ages in days.
    fn give_up(store: &TestStore, target: EndpointRef, ages: &[u64]) {
        store.write(|txn| ages.iter().try_for_each(|age| put(txn, target, Seq(*age), &letter(NOW.0 - age * DAY_MS))));
    }

    /// Sweeps two rows at a time.
    fn sweep_all(store: &TestStore) {
        let mut position = None;
        loop {
            let mut next = None;
            store.write(|txn| {
                next = sweep(txn, position.take(), KEPT, 2)?.next;
                Ok(())
            });
            if next.is_none() {
                return;
            }
            position = next;
        }
    }

    /// Ages of the dead letters that are left.
    fn ages(store: &TestStore, target: EndpointRef) -> Vec<u64> {
        let letters = super::super::list(store, target, None, 100, Direction::Forward).unwrap();
        letters.iter().map(|(seq, _)| seq.0).collect()
    }

    #[test]
    fn the_endpoint_counts_else_its_application_else_the_server() {
        let store = TestStore::default();
        set_app(&store, 1, Some(7));
        set(&store, target(1, 1), Some(60));
        set(&store, target(1, 2), None);
        set_app(&store, 2, None);
        set(&store, target(2, 1), None);
        set(&store, target(2, 2), Some(1));
        let all = [target(1, 1), target(1, 2), target(2, 1), target(2, 2), target(3, 1)];
        for target in all {
            give_up(&store, target, &[1, 2, 7, 8, 30, 31, 60, 61]);
        }
        sweep_all(&store);
        let by_server = vec![1, 2, 7, 8, 30];
        let left = [vec![1, 2, 7, 8, 30, 31, 60], vec![1, 2, 7], by_server.clone(), vec![1], by_server];
        assert_eq!(all.map(|target| ages(&store, target)), left);
    }

    #[test]
    fn an_entry_follows_its_row_and_goes_with_it() {
        let store = TestStore::default();
        let entries = || scan(&store, &dead_letter_days::all(), 10, Direction::Forward).unwrap().len();
        set_app(&store, 1, Some(7));
        set(&store, target(1, 1), Some(60));
        set(&store, target(1, 2), Some(60));
        assert_eq!(entries(), 3);
        set(&store, target(1, 1), Some(2));
        assert_eq!(own_days(&store, target(1, 1)).unwrap(), Some(2));
        set(&store, target(1, 1), None);
        set_app(&store, 1, None);
        assert_eq!(entries(), 1);
        store.write(|txn| endpoint::remove(txn, &plain_endpoint(target(1, 2))));
        set_app(&store, 1, Some(7));
        store.write(|txn| application::remove(txn, &Application::plain(AppId(1), UnixMs(1))));
        assert_eq!(entries(), 0);
    }

    #[test]
    fn days_that_are_set_in_the_commit_of_a_sweep_count() {
        let store = TestStore::default();
        give_up(&store, target(1, 1), &[31, 61]);
        store.write(|txn| {
            let row = Endpoint { dead_letter_retention_days: Some(60), ..plain_endpoint(target(1, 1)) };
            endpoint::put(txn, &row)?;
            sweep(txn, None, KEPT, 100).map(drop)
        });
        assert_eq!(ages(&store, target(1, 1)), [31]);
    }

    #[test]
    fn an_entry_that_is_lost_or_left_over_is_mended() {
        let store = TestStore::default();
        let mended = |days| {
            let mut mended = false;
            store.write(|txn| {
                mended = mend(txn, target(1, 1), days)?;
                Ok(())
            });
            mended
        };
        assert_eq!([Some(3), Some(3), None, None].map(mended), [true, false, true, false]);
        assert_eq!((own_days(&store, target(1, 1)).unwrap(), store.row_count()), (None, 0));
    }
}
