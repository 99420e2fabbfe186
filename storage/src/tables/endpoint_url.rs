//! Past URLs of endpoints: the URL that an attempt called stays known when the endpoint moves.
//!
//! The URLs of an endpoint are numbered from 0. An attempt keeps the number, which costs it nothing while that is 0.
//! Rows are of past URLs only: the present one is in the endpoint's row, and its number is the one behind the last row.
//! So an endpoint that never moved has none, and the last row stays for as long as the endpoint's attempts.
//!
//! No credentials: the user info of a URL is masked. A URL that is too long for a row is cut, and ends in an ellipsis.
//!
//! - *Bound:* [`KEPT_MAX`] rows of an endpoint. The URL of an attempt from before those is not known.

use crate::read::Read;
use crate::rows::endpoint_url::{self, PastUrl};
use crate::store::{Direction, INLINE_MAX_BYTES, StoreError};
use crate::tables::sweep::{self, SweepPosition, Swept};
use crate::tables::{get_row, log, put_value, scan};
use crate::txn::Txn;
use model::{EndpointRef, UnixMs, mask_user_info};

/// Past URLs of one endpoint that are kept.
const KEPT_MAX: u32 = 64;

/// Milliseconds after a URL was replaced in which an attempt may still begin with it: the URL was taken before.
const LATE_MS: u64 = 600_000;

/// Bytes of a URL that are kept at most: with the rest of the row they fit a value.
const URL_BYTES_MAX: usize = INLINE_MAX_BYTES - 64;

/// The number of an endpoint's present URL.
///
/// # Errors
/// Whatever the store reports, or a corrupt key.
pub fn number(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<u32, StoreError> {
    let rows = scan(read, &endpoint_url::of_endpoint(target), 1, Direction::Reverse)?;
    let last = rows.first().map(|(key, _)| endpoint_url::decode(key)).transpose()?;
    Ok(last.map_or(0, |(_, number)| number.saturating_add(1)))
}

/// The URL of a number, masked; `present` is the one in the endpoint's row. None when it is not known any more.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    wanted: u32,
    present: &str,
) -> Result<Option<String>, StoreError> {
    let past: Option<PastUrl> = get_row(read, &endpoint_url::encode(target, wanted), endpoint_url::from_value)?;
    match past {
        Some(past) => Ok(Some(past.url)),
        None => Ok((wanted >= number(read, target)?).then(|| mask_user_info(present))),
    }
}

/// The number of an endpoint's present URL as a transaction leaves it: an endpoint may move twice in one.
///
/// # Errors
/// Whatever the store reports, or a corrupt key.
pub(super) fn next_number(txn: &Txn<'_>, target: EndpointRef) -> Result<u32, StoreError> {
    match txn.last_in(&endpoint_url::of_endpoint(target))? {
        Some((key, _)) => Ok(endpoint_url::decode(&key)?.1.saturating_add(1)),
        None => Ok(0),
    }
}

/// An endpoint moves: keeps the URL that it had until `now`. Answers the number of the new one.
///
/// # Errors
/// Whatever the store reports; a refusal when the row is too large.
pub(super) fn keep(txn: &mut Txn<'_>, target: EndpointRef, url: &str, now: UnixMs) -> Result<u32, StoreError> {
    let number = next_number(txn, target)?;
    let past = PastUrl { url: fitting(url), until: now };
    put_value(txn, endpoint_url::encode(target, number), endpoint_url::to_value(&past))?;
    if let Some(oldest) = number.checked_sub(KEPT_MAX) {
        txn.delete(endpoint_url::encode(target, oldest));
    }
    Ok(number.saturating_add(1))
}

/// A URL as it is kept.
pub(super) fn fitting(url: &str) -> String {
    let mut url = mask_user_info(url);
    if url.len() > URL_BYTES_MAX {
        let end = (0..=URL_BYTES_MAX).rev().find(|end| url.is_char_boundary(*end)).unwrap_or(0);
        url.truncate(end);
        url.push('…');
    }
    url
}

/// Forgets the URLs of an endpoint whose attempts are gone.
///
/// # Errors
/// Whatever the store reports.
pub(super) fn forget(txn: &mut Txn<'_>, target: EndpointRef) -> Result<(), StoreError> {
    // Never more than are kept.
    for (key, _) in scan(txn, &endpoint_url::of_endpoint(target), KEPT_MAX as usize + 1, Direction::Forward)? {
        txn.delete(key);
    }
    Ok(())
}

/// Looks at the next `limit` past URLs and removes those that no remembered attempt can have called.
///
/// Attempts from before `before` are forgotten, and so are those of events that are gone. The last URL of an endpoint
/// stays, for its number.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn sweep(
    txn: &mut Txn<'_>,
    position: Option<SweepPosition>,
    before: UnixMs,
    limit: usize,
) -> Result<Swept, StoreError> {
    sweep::sweep(txn, endpoint_url::all(), position, limit, |txn, key, value| {
        let (target, number) = endpoint_url::decode(key)?;
        let row: PastUrl = endpoint_url::from_value(value)?;
        if txn.get(&endpoint_url::encode(target, number.saturating_add(1)))?.is_none() {
            return Ok(false);
        }
        let late = row.until.plus_ms(LATE_MS);
        let oldest = log::oldest(txn, target.app)?;
        Ok(late < before || oldest.is_some_and(|oldest| late < oldest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::endpoint;
    use crate::tables::testing::{TestStore, plain_endpoint, target};
    use model::Endpoint;

    fn shown(store: &TestStore, number: u32) -> Option<String> {
        let present = endpoint::get(store, target(1, 1)).unwrap().unwrap().url;
        get(store, target(1, 1), number, &present).unwrap()
    }

    fn moves(store: &TestStore, url: &str, at: u64) {
        let row = Endpoint { url: url.to_owned(), updated_at: UnixMs(at), ..plain_endpoint(target(1, 1)) };
        store.write(|txn| endpoint::put(txn, &row));
    }

    #[test]
    fn each_number_keeps_its_url_and_no_password() {
        let store = TestStore::default();
        moves(&store, "https://me:secret@a.example/", 1);
        let rows = store.row_count();
        moves(&store, "https://me:secret@a.example/", 2);
        assert_eq!((store.row_count(), number(&store, target(1, 1)).unwrap()), (rows, 0), "it did not move");
        moves(&store, "https://b.example/", 3);
        moves(&store, "https://c.example/", 4);
        let urls: Vec<_> = (0..4).map(|number| shown(&store, number).unwrap()).collect();
        let masked = "https://***@a.example/";
        assert_eq!(urls, [masked, "https://b.example/", "https://c.example/", "https://c.example/"]);
        assert_eq!(number(&store, target(1, 1)).unwrap(), 2);
        assert_eq!(number(&store, target(1, 2)).unwrap(), 0);
    }

    #[test]
    fn a_url_that_is_too_long_for_a_row_is_cut_and_its_endpoint_may_move_all_the_same() {
        let store = TestStore::default();
        moves(&store, &format!("https://a.example/{}", "ü".repeat(10_000)), 1);
        moves(&store, "https://b.example/", 2);
        let cut = shown(&store, 0).unwrap();
        assert!(cut.starts_with("https://a.example/ü") && cut.ends_with("ü…") && cut.len() > 8_000, "{}", cut.len());
    }

    #[test]
    fn an_endpoint_that_always_moves_keeps_a_bounded_number_and_the_oldest_is_not_known() {
        let store = TestStore::default();
        (0..=KEPT_MAX + 2).for_each(|at| moves(&store, &format!("https://{at}.example/"), at.into()));
        assert_eq!((shown(&store, 0), shown(&store, 1)), (None, None));
        assert_eq!(shown(&store, 2).as_deref(), Some("https://2.example/"));
        assert_eq!(number(&store, target(1, 1)).unwrap(), KEPT_MAX + 2);
    }

    #[test]
    fn what_no_attempt_can_have_called_goes_and_the_last_one_stays_for_its_number() {
        let store = TestStore::default();
        (0..4).for_each(|at| moves(&store, &format!("https://{at}.example/"), at * 10));
        store.write(|txn| sweep(txn, None, UnixMs(LATE_MS + 11), 10).map(drop));
        let urls: Vec<_> = (0..4).map(|number| shown(&store, number)).collect();
        assert_eq!((&urls[0], urls[1].as_deref()), (&None, Some("https://1.example/")));
        store.write(|txn| sweep(txn, None, UnixMs(u64::MAX), 10).map(drop));
        assert_eq!((shown(&store, 1), shown(&store, 2).as_deref()), (None, Some("https://2.example/")));
        assert_eq!(number(&store, target(1, 1)).unwrap(), 3);
        store.write(|txn| forget(txn, target(1, 1)));
        assert_eq!(number(&store, target(1, 1)).unwrap(), 0);
    }
}
