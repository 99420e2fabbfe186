//! Messages: of an application, of an endpoint with how their deliveries stand, and the endpoints of one message.
//!
//! Standings are computed when they are asked for: a delivery that went well has no row that could be listed.

use super::bounds::PAGE_SCAN_MAX;
use super::log::{MessageFilter, page_of};
use super::paging::{Listed, Page};
use super::status::{Standing, StatusFilter};
use crate::error::Error;
use engine::Standings;
use engine::delivery_state::delivery_state_of_deleted;
use model::id::IdParts;
use model::{AppId, Endpoint, EndpointId, Event};
use storage::Read;
use storage::tables::deleted_endpoint;

/// An endpoint of a message.
#[derive(Clone, Debug)]
pub struct Destination {
    /// As it is, or as it was shown when it was deleted.
    pub endpoint: Endpoint,
    /// It was deleted, and its attempts are kept yet.
    pub is_deleted: bool,
    /// The state of the message's delivery to it.
    pub standing: Standing,
}

/// Messages of an application; newest first in descending order.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list(
    read: &(impl Read + ?Sized),
    app: AppId,
    filter: &MessageFilter,
    page: &Page<IdParts>,
) -> Result<Listed<Event, IdParts>, Error> {
    let Listed { items, first, last, is_end } = page_of(read, app, filter, page, |_| Ok(Some(())))?;
    Ok(Listed { items: items.into_iter().map(|(event, ())| event).collect(), first, last, is_end })
}

/// Messages that were for an endpoint when it came to them, or were sent by hand. One whose attempts are past their
/// retention is left out: the end of its delivery is not known.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list_of_endpoint(
    read: &(impl Read + ?Sized),
    endpoint: &Endpoint,
    filter: &MessageFilter,
    statuses: StatusFilter,
    page: &Page<IdParts>,
) -> Result<Listed<(Event, Standing), IdParts>, Error> {
    let standings = Standings::read(read, endpoint)?;
    page_of(read, endpoint.app, filter, page, |event| {
        let standing = Standing::of_delivery(&standings.of(read, event)?);
        Ok(standing.filter(|standing| statuses.passes(standing.status)))
    })
}

/// Endpoints of a message in the order of creation; deleted ones for as long as their attempts are kept. A page looks
/// at [`PAGE_SCAN_MAX`] endpoints at most.
///
/// # Errors
/// Damage, and any error of the store.
pub fn destinations(
    read: &(impl Read + ?Sized),
    event: &Event,
    page: &Page<IdParts>,
) -> Result<Listed<Destination, IdParts>, Error> {
    let source = |after: Option<&IdParts>, limit| {
        let after = after.map(|parts| EndpointId(parts.number));
        Ok(deleted_endpoint::list_with_living(read, event.app, after, limit, page.direction())?)
    };
    let place = |(row, _): &(Endpoint, bool)| super::endpoint::place_of(row);
    page.find_within(PAGE_SCAN_MAX, source, place, |(endpoint, is_deleted)| {
        let state = match is_deleted {
            true => delivery_state_of_deleted(read, endpoint.target(), event.seq)?,
            false => Standings::read(read, &endpoint)?.of(read, event)?,
        };
        Ok(Standing::of_destination(&state).map(|standing| Destination { endpoint, is_deleted, standing }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::paging::{Order, Start};
    use crate::query::testing::{APP, append, message, plain_endpoint, put_endpoints, store_of};
    use proptest::prelude::*;
    use storage::store::MemoryStore;

    /// A store with messages of types `a` and `b`, by turns as `kinds` says, large where it says so.
    fn store(kinds: &[(bool, bool)]) -> MemoryStore {
        let store = store_of(|txn| put_endpoints(txn, 1));
        append(
            &store,
            kinds.iter().zip(1..).map(|(&(is_b, is_large), seq)| {
                message(seq, if is_b { "b" } else { "a" }, if is_large { 400_000 } else { 10 })
            }),
        );
        store
    }

    /// Every page of a list, followed to its end.
    fn pages<T>(list: impl Fn(Start<IdParts>) -> Listed<T, IdParts>) -> Vec<Listed<T, IdParts>> {
        let (mut pages, mut start) = (Vec::new(), Start::First);
        loop {
            let listed = list(start);
            let is_end = listed.is_end;
            start = listed.last.map_or(start, Start::Behind);
            pages.push(listed);
            if is_end {
                return pages;
            }
        }
    }

    proptest! {
        #[test]
        fn pages_of_messages_show_each_once_and_lead_back_to_the_same(
            kinds in proptest::collection::vec(any::<(bool, bool)>(), 0..12),
            limit in 1usize..5,
            since in 0u64..14,
        ) {
            let store = store(&kinds);
            let filter = MessageFilter {
                event_types: ["b".to_owned()].into(),
                after: Some(model::UnixMs(10 * since)),
                ..MessageFilter::default()
            };
            let at = |start| list(&store, APP, &filter, &Page { limit, order: Order::Descending, start }).unwrap();
            let seqs = |listed: &Listed<Event, IdParts>| -> Vec<u64> {
                listed.items.iter().map(|event| event.seq.0).collect()
            };
            let pages = pages(at);
            let is_wanted = |seq: &u64| kinds[*seq as usize - 1].0 && *seq >= since;
            let expected: Vec<u64> = (1..=kinds.len() as u64).rev().filter(is_wanted).collect();
            prop_assert_eq!(pages.iter().flat_map(seqs).collect::<Vec<u64>>(), expected);
            for pair in pages.windows(2) {
                prop_assert!(pair[0].items.len() <= limit);
                // A page that ended early for its bytes may come back in more than one part.
                let Some(first) = pair[1].first else { continue };
                let mut back = at(Start::Before(first));
                let mut shown = seqs(&back);
                while shown.len() < pair[0].items.len() {
                    back = at(Start::Before(back.first.unwrap()));
                    shown = [seqs(&back), shown].concat();
                }
                prop_assert!(shown.ends_with(&seqs(&pair[0])), "{:?} {:?}", shown, seqs(&pair[0]));
            }
        }
    }

    #[test]
    fn deliveries_of_an_endpoint_are_listed_with_how_they_stand_and_its_endpoints_with_deleted_ones() {
        let store = store(&[(false, false), (true, false)]);
        let page = Page { limit: 9, order: Order::Descending, start: Start::First };
        let statuses = StatusFilter::default();
        let listed = list_of_endpoint(&store, &plain_endpoint(1), &MessageFilter::default(), statuses, &page).unwrap();
        let standing = Standing { status: model::DeliveryStatus::Sending, next_attempt: None };
        assert!(listed.items.iter().all(|(_, found)| *found == standing) && listed.items.len() == 2);
        let event = &listed.items[0].0;
        let of_message = destinations(&store, event, &Page { order: Order::Ascending, ..page }).unwrap();
        assert_eq!(of_message.items.len(), 1);
        assert!(of_message.is_end && !of_message.items[0].is_deleted);
    }
}
