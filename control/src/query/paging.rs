//! Pages of lists: which rows a page has, how many it looks at, and where the pages beside it begin.
//!
//! A page begins beside a place, which is the key of a row. The server keeps nothing between pages: a place stays good
//! when rows come and go. There are no total counts, so no page costs more than its own rows.
//!
//! A page that a filter thins out looks at a bounded number of rows: [`PAGE_SCAN_MAX`] once it has found something, and
//! [`PAGE_SEARCH_MAX`] while it has not.

use super::bounds::{PAGE_SCAN_MAX, PAGE_SEARCH_MAX};
use crate::error::Error;
use storage::Direction;

/// Rows read in one step at most, for a page that is smaller.
const STEP_MAX: usize = 256;

/// Which end a list begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest (or first by name) first.
    #[default]
    Ascending,
    /// Newest (or last by name) first.
    Descending,
}

/// The place of a page in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<K> {
    /// At the beginning of the list.
    First,
    /// Behind this place.
    Behind(K),
    /// Before this place: the page ends there.
    Before(K),
}

/// One page that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// Items at most, from 1 to [`PAGE_MAX`](super::bounds::PAGE_MAX).
    pub limit: usize,
    /// Which end the list begins with.
    pub order: Order,
    /// The place of the page.
    pub start: Start<K>,
}

/// The items of a page, in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T, K> {
    /// The items.
    pub items: Vec<T>,
    /// The page before this one is the one before this place. None for an empty page.
    pub first: Option<K>,
    /// The next page is the one behind this place. None for an empty page.
    pub last: Option<K>,
    /// Nothing follows in the direction that was asked for. A page that is cut short for the rows or bytes that it
    /// looked at is not at the end, even if it found nothing.
    pub is_end: bool,
}

// === impl Page ===

impl<K> Page<K> {
    /// The place that it lies beside.
    #[must_use]
    pub fn place(&self) -> Option<&K> {
        match &self.start {
            Start::First => None,
            Start::Behind(place) | Start::Before(place) => Some(place),
        }
    }

    /// True if the page lies before its place and not behind it.
    #[must_use]
    pub fn is_back(&self) -> bool {
        matches!(self.start, Start::Before(_))
    }

    /// Which way rows are read.
    pub(super) fn direction(&self) -> Direction {
        match (self.order, self.is_back()) {
            (Order::Ascending, false) | (Order::Descending, true) => Direction::Forward,
            (Order::Descending, false) | (Order::Ascending, true) => Direction::Reverse,
        }
    }

    /// Items to find: one more than the page holds tells whether there is another page.
    pub(super) fn find_limit(&self) -> usize {
        self.limit + 1
    }

    /// Finds the items of this page. `source` reads a number of rows beyond a place in [`Page::direction`]; `place`
    /// gives a row's place; `keep` makes an item of a row, or leaves it out.
    ///
    /// # Errors
    /// Those of `source` and `keep`.
    pub(super) fn find<R, T>(
        &self,
        source: impl FnMut(Option<&K>, usize) -> Result<Vec<R>, Error>,
        place: impl Fn(&R) -> K,
        keep: impl FnMut(R) -> Result<Option<T>, Error>,
    ) -> Result<Listed<T, K>, Error>
    where
        K: Clone,
    {
        self.find_within(PAGE_SEARCH_MAX, source, place, keep)
    }

    /// As [`Page::find`], where at most `search_max` rows are looked at to find the first item.
    ///
    /// # Errors
    /// Those of `source` and `keep`.
    pub(super) fn find_within<R, T>(
        &self,
        search_max: usize,
        mut source: impl FnMut(Option<&K>, usize) -> Result<Vec<R>, Error>,
        place: impl Fn(&R) -> K,
        mut keep: impl FnMut(R) -> Result<Option<T>, Error>,
    ) -> Result<Listed<T, K>, Error>
    where
        K: Clone,
    {
        let (mut found, mut seen) = (Vec::new(), 0);
        let (mut at, mut step) = (self.place().cloned(), self.find_limit());
        loop {
            let rows = source(at.as_ref(), step)?;
            let is_last_step = rows.len() < step;
            for row in rows {
                if seen >= if found.is_empty() { search_max } else { PAGE_SCAN_MAX } {
                    return Ok(self.listed(found, at));
                }
                seen += 1;
                let key = place(&row);
                if let Some(item) = keep(row)? {
                    found.push((key.clone(), item));
                    if found.len() == self.find_limit() {
                        return Ok(self.listed(found, None));
                    }
                }
                at = Some(key);
            }
            if is_last_step {
                return Ok(self.listed(found, None));
            }
            step = (2 * step).min(STEP_MAX).max(self.find_limit());
        }
    }

    /// The page of the items that were found in [`Page::direction`], at most [`Page::find_limit`]. `stopped_at` is the
    /// last row that was looked at, where rows beyond it were not.
    pub(super) fn listed<T>(&self, mut found: Vec<(K, T)>, stopped_at: Option<K>) -> Listed<T, K>
    where
        K: Clone,
    {
        let is_end = found.len() <= self.limit && stopped_at.is_none();
        found.truncate(self.limit);
        if self.is_back() {
            found.reverse();
        }
        let (mut first, mut last) =
            (found.first().map(|(key, _)| key.clone()), found.last().map(|(key, _)| key.clone()));
        if stopped_at.is_some() {
            // It is gone on with from there, so that no row is looked at twice.
            *if self.is_back() { &mut first } else { &mut last } = stopped_at;
        }
        Listed { items: found.into_iter().map(|(_, item)| item).collect(), first, last, is_end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The page of the numbers from 1 to `count` that `keeps` lets through, and how many were looked at for it.
    fn page_of(page: &Page<u32>, count: u32, keeps: impl Fn(u32) -> bool) -> (Listed<u32, u32>, usize) {
        let mut seen = 0;
        let source = |after: Option<&u32>, limit: usize| {
            Ok(match page.direction() {
                Direction::Forward => {
                    (1..=count).filter(|row| after.is_none_or(|after| row > after)).take(limit).collect::<Vec<u32>>()
                }
                Direction::Reverse => {
                    (1..=count).rev().filter(|row| after.is_none_or(|after| row < after)).take(limit).collect()
                }
            })
        };
        let keep = |row: u32| {
            seen += 1;
            Ok(keeps(row).then_some(row))
        };
        (page.find(source, |row| *row, keep).unwrap(), seen)
    }

    fn page(limit: usize, order: Order, start: Start<u32>) -> Page<u32> {
        Page { limit, order, start }
    }

    proptest! {
        #[test]
        fn following_a_list_shows_every_item_once_and_going_back_shows_the_same_pages(
            count in 0u32..40,
            limit in 1usize..7,
            is_descending: bool,
            keeps in proptest::collection::vec(any::<bool>(), 41),
        ) {
            let order = if is_descending { Order::Descending } else { Order::Ascending };
            let keeps = |row: u32| keeps[row as usize];
            let (mut pages, mut start) = (Vec::new(), Start::First);
            loop {
                let (listed, _) = page_of(&page(limit, order, start), count, keeps);
                let is_end = listed.is_end;
                start = listed.last.map_or(start, Start::Behind);
                pages.push(listed);
                if is_end {
                    break;
                }
            }
            let shown: Vec<u32> = pages.iter().flat_map(|page| page.items.clone()).collect();
            let mut expected: Vec<u32> = (1..=count).filter(|row| keeps(*row)).collect();
            if is_descending {
                expected.reverse();
            }
            prop_assert_eq!(shown, expected);
            for (index, pair) in pages.windows(2).enumerate() {
                let before = pair[1].first.map_or(Start::First, Start::Before);
                let (back, _) = page_of(&page(limit, order, before), count, keeps);
                prop_assert_eq!(&back.items, &pair[0].items);
                prop_assert_eq!(back.is_end, index == 0, "only the first page has none before it");
            }
        }
    }

    #[test]
    fn a_full_last_page_is_the_end() {
        assert!(page_of(&page(5, Order::Ascending, Start::First), 5, |_| true).0.is_end);
        assert!(!page_of(&page(4, Order::Ascending, Start::First), 5, |_| true).0.is_end);
    }

    #[test]
    fn an_empty_page_has_no_places() {
        let (listed, _) = page_of(&page(2, Order::Ascending, Start::Behind(5)), 5, |_| true);
        assert_eq!(listed, Listed { items: Vec::new(), first: None, last: None, is_end: true });
    }

    #[test]
    fn a_filter_that_keeps_little_is_looked_for_within_a_bound() {
        let rare = 1_000 + PAGE_SCAN_MAX as u32;
        let (listed, _) = page_of(&page(2, Order::Ascending, Start::First), rare + 10, |row| row == rare);
        assert_eq!((listed.items, listed.is_end), (vec![rare], false), "the first page is not empty");
        let next = Start::Behind(listed.last.unwrap());
        let (listed, _) = page_of(&page(2, Order::Ascending, next), rare + 10, |row| row == rare);
        assert_eq!((listed.items.len(), listed.is_end), (0, true));

        let many = PAGE_SEARCH_MAX as u32 + 10;
        let (listed, seen) = page_of(&page(2, Order::Ascending, Start::First), many, |row| row == many);
        assert_eq!((listed.items.len(), listed.is_end, seen), (0, false, PAGE_SEARCH_MAX));
        let next = Start::Behind(listed.last.unwrap());
        let (listed, _) = page_of(&page(2, Order::Ascending, next), many, |row| row == many);
        assert_eq!((listed.items, listed.is_end), (vec![many], true));

        let (listed, _) = page_of(&page(2, Order::Ascending, Start::Before(many)), many, |row| row == 1);
        assert_eq!((listed.items.len(), listed.is_end, listed.first), (0, false, Some(10)));
        let (listed, _) = page_of(&page(2, Order::Ascending, Start::Before(10)), many, |row| row == 1);
        assert_eq!((listed.items, listed.is_end), (vec![1], true));
    }
}
