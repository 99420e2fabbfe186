//! Pages of lists: `limit`, `iterator`, `order` in, `{data, iterator, prevIterator, done}` out.
//!
//! An iterator is the key of the item that a page ended (or, led by `-`, began) with. It carries its place itself: it
//! stays good when items come and go, and the server keeps nothing between pages. There are no total counts: no page
//! costs more than its own rows.
//!
//! A page that a filter thins out looks at a bounded number of rows: [`PAGE_SCAN_MAX`] once it has found something, and
//! [`PAGE_SEARCH_MAX`] while it has not. One that ends for this reason says `done: false`.

use crate::dto::fields::ListResponse;
use crate::error::ApiError;
use crate::limits::{PAGE_DEFAULT, PAGE_MAX, PAGE_SCAN_MAX, PAGE_SEARCH_MAX};
use serde::Deserialize;
use storage::Direction;
use utoipa::{IntoParams, ToSchema};

/// Leads an iterator that goes back.
const BACK: char = '-';

/// Which end a list begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ordering {
    /// Oldest (or first by name) first.
    #[default]
    Ascending,
    /// Newest (or last by name) first.
    Descending,
}

/// The parameters of a list that can be had from either end.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// What the page before gave, or an item's id: the page begins behind it. Led by `-`, the page ends before it.
    iterator: Option<String>,
    /// Default: `ascending`; of endpoints `descending`.
    #[param(inline)]
    order: Option<Ordering>,
}

impl PageQuery {
    /// # Errors
    /// 422 for a limit out of bounds or an iterator that is none.
    pub(crate) fn page<K>(&self, read_key: impl FnOnce(&str) -> Option<K>) -> Result<Page<K>, ApiError> {
        self.page_in(Ordering::Ascending, read_key)
    }

    /// As [`PageQuery::page`], of a list that is in this order when the caller does not say.
    ///
    /// # Errors
    /// 422 for a limit out of bounds or an iterator that is none.
    pub(crate) fn page_in<K>(
        &self,
        default: Ordering,
        read_key: impl FnOnce(&str) -> Option<K>,
    ) -> Result<Page<K>, ApiError> {
        Page::new(self.limit, self.iterator.as_deref(), self.order.unwrap_or(default), read_key)
    }
}

/// What is asked of one page.
#[derive(Clone, Debug)]
pub(crate) struct Page<K> {
    /// Items at most.
    pub(crate) limit: usize,
    /// The item it begins behind.
    pub(crate) after: Option<K>,
    /// Whether it is a page before rather than behind that item.
    is_back: bool,
    order: Ordering,
    /// The iterator that was given, unless it goes back: what an empty page gives in turn, so that a caller can go on
    /// from there when there is more one day.
    given: Option<String>,
}

impl<K> Page<K> {
    /// # Errors
    /// 422 for a limit out of bounds or an iterator that is none.
    pub(crate) fn new(
        limit: Option<u64>,
        iterator: Option<&str>,
        order: Ordering,
        read_key: impl FnOnce(&str) -> Option<K>,
    ) -> Result<Page<K>, ApiError> {
        let limit = limit.unwrap_or(PAGE_DEFAULT as u64);
        if !(1..=PAGE_MAX as u64).contains(&limit) {
            let msg = format!("must be between 1 and {PAGE_MAX}");
            return Err(ApiError::invalid(["query", "limit"], msg, "value_error.number.range"));
        }
        let iterator = iterator.filter(|text| !text.is_empty());
        let back = iterator.and_then(|text| text.strip_prefix(BACK));
        let after = match back.or(iterator) {
            Some(text) => Some(read_key(text).ok_or_else(|| {
                ApiError::invalid(["query", "iterator"], "is not an iterator of this list", "value_error.iterator")
            })?),
            None => None,
        };
        // `limit` is at most PAGE_MAX here.
        let given = iterator.filter(|_| back.is_none()).map(str::to_owned);
        Ok(Page { limit: limit as usize, after, is_back: back.is_some(), order, given })
    }

    /// What the answer gives to go on with: the key that it ended with, or else what was given.
    pub(crate) fn next_iterator(&self, last: Option<String>) -> Option<String> {
        last.or_else(|| self.given.clone())
    }

    /// Whether it is a page before rather than behind its iterator.
    pub(crate) fn is_back(&self) -> bool {
        self.is_back
    }

    /// Which way rows are read.
    pub(crate) fn direction(&self) -> Direction {
        match (self.order, self.is_back) {
            (Ordering::Ascending, false) | (Ordering::Descending, true) => Direction::Forward,
            (Ordering::Descending, false) | (Ordering::Ascending, true) => Direction::Reverse,
        }
    }

    /// Rows to read: one more than the page holds tells whether there is another page.
    pub(crate) fn read_limit(&self) -> usize {
        self.limit + 1
    }

    /// Makes the page of rows read in [`Page::direction`], at most [`Page::read_limit`] of them.
    pub(crate) fn respond<R, T: ToSchema>(
        &self,
        mut rows: Vec<R>,
        key: impl Fn(&R) -> String,
        show: impl FnMut(&R) -> T,
    ) -> ListResponse<T> {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        if self.is_back {
            rows.reverse();
        }
        ListResponse {
            iterator: self.next_iterator(rows.last().map(&key)),
            prev_iterator: rows.first().map(|row| format!("{BACK}{}", key(row))),
            data: rows.iter().map(show).collect(),
            done: !has_more,
        }
    }

    /// Finds the rows of this page that a filter keeps, within the bound on rows that are looked at. `source` reads a step
    /// of rows behind a key in [`Page::direction`], and `place` gives a row's key and iterator.
    ///
    /// # Errors
    /// Those of `source` and `keeps`.
    pub(crate) fn find<R>(
        &self,
        mut source: impl FnMut(Option<&K>, usize) -> Result<Vec<R>, ApiError>,
        place: impl Fn(&R) -> (K, String),
        mut keeps: impl FnMut(&R) -> Result<bool, ApiError>,
    ) -> Result<Found<R>, ApiError>
    where
        K: Clone,
    {
        let mut found = Found { rows: Vec::new(), stopped_at: None };
        let (mut seen, mut after, mut last) = (0, self.after.clone(), None);
        loop {
            let step = source(after.as_ref(), self.read_limit())?;
            let is_end = step.len() < self.read_limit();
            for row in step {
                if seen >= if found.rows.is_empty() { PAGE_SEARCH_MAX } else { PAGE_SCAN_MAX } {
                    return Ok(Found { stopped_at: last, ..found });
                }
                seen += 1;
                let (key, iterator) = place(&row);
                (after, last) = (Some(key), Some(iterator));
                if keeps(&row)? {
                    found.rows.push(row);
                    if found.rows.len() == self.read_limit() {
                        return Ok(found);
                    }
                }
            }
            if is_end {
                return Ok(found);
            }
        }
    }

    /// As [`Page::respond`], of rows that were found.
    pub(crate) fn respond_found<R, T: ToSchema>(
        &self,
        found: Found<R>,
        key: impl Fn(&R) -> String,
        show: impl FnMut(&R) -> T,
    ) -> ListResponse<T> {
        let mut list = self.respond(found.rows, key, show);
        if let Some(at) = found.stopped_at {
            self.cut_short(&mut list, &at);
        }
        list
    }

    /// Says of a page that rows behind `last_seen` were not looked at: it is gone on with from there.
    pub(crate) fn cut_short<T: ToSchema>(&self, list: &mut ListResponse<T>, last_seen: &str) {
        list.done = false;
        if self.is_back {
            list.prev_iterator = Some(format!("{BACK}{last_seen}"));
        } else {
            list.iterator = Some(last_seen.to_owned());
        }
    }
}

/// The rows that a page keeps of those that it looked at.
#[derive(Debug)]
pub(crate) struct Found<R> {
    rows: Vec<R>,
    /// The iterator of the last row that was looked at, when the page ended for having looked at so many.
    stopped_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [u32; 5] = [1, 2, 3, 4, 5];

    /// A list of [`ROWS`] as a table would read it.
    fn list(limit: u64, iterator: Option<&str>, order: Ordering) -> (Vec<u32>, ListResponse<u32>) {
        let page = Page::new(Some(limit), iterator, order, |text| text.parse::<u32>().ok()).unwrap();
        let rows: Vec<u32> = match page.direction() {
            Direction::Forward => {
                ROWS.iter().copied().filter(|row| page.after.is_none_or(|after| *row > after)).collect()
            }
            Direction::Reverse => {
                ROWS.iter().rev().copied().filter(|row| page.after.is_none_or(|after| *row < after)).collect()
            }
        };
        let rows: Vec<u32> = rows.into_iter().take(page.read_limit()).collect();
        let response = page.respond(rows, ToString::to_string, |row| *row);
        (response.data.clone(), response)
    }

    #[test]
    fn following_the_iterator_shows_every_item_once_in_either_order() {
        for (order, expected) in [(Ordering::Ascending, [1, 2, 3, 4, 5]), (Ordering::Descending, [5, 4, 3, 2, 1])] {
            let (mut seen, mut iterator) = (Vec::new(), None);
            loop {
                let (data, response) = list(2, iterator.as_deref(), order);
                seen.extend(data);
                if response.done {
                    break;
                }
                iterator = response.iterator;
            }
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_full_last_page_says_so() {
        assert!(list(5, None, Ordering::Ascending).1.done);
        assert!(!list(4, None, Ordering::Ascending).1.done);
    }

    #[test]
    fn the_previous_iterator_leads_back_to_the_same_page() {
        let (_, first) = list(2, None, Ordering::Descending);
        let (_, second) = list(2, first.iterator.as_deref(), Ordering::Descending);
        let (data, back) = list(2, second.prev_iterator.as_deref(), Ordering::Descending);
        assert_eq!(data, first.data);
        assert!(back.done, "this is the very start");
        let (_, third) = list(2, second.iterator.as_deref(), Ordering::Descending);
        let (data, back) = list(2, third.prev_iterator.as_deref(), Ordering::Descending);
        assert_eq!((data, back.done), (second.data, false));
    }

    /// The page of `numbers` that `keeps` passes, and how many rows were looked at for it.
    fn found(iterator: Option<&str>, count: u32, keeps: impl Fn(u32) -> bool) -> (ListResponse<u32>, usize) {
        let page = Page::new(Some(2), iterator, Ordering::Ascending, |text| text.parse::<u32>().ok()).unwrap();
        let mut seen = 0;
        let source = |after: Option<&u32>, limit: usize| {
            let behind = |row: &u32| {
                let after = after.copied();
                match page.direction() {
                    Direction::Forward => after.is_none_or(|after| *row > after),
                    Direction::Reverse => after.is_none_or(|after| *row < after),
                }
            };
            let all: Vec<u32> = match page.direction() {
                Direction::Forward => (1..=count).filter(behind).take(limit).collect(),
                Direction::Reverse => (1..=count).rev().filter(behind).take(limit).collect(),
            };
            Ok(all)
        };
        let kept = |row: &u32| {
            seen += 1;
            Ok(keeps(*row))
        };
        let found = page.find(source, |row| (*row, row.to_string()), kept).unwrap();
        (page.respond_found(found, ToString::to_string, |row| *row), seen)
    }

    #[test]
    fn a_filter_that_keeps_little_is_looked_for_within_a_bound() {
        let rare = 1_000 + PAGE_SCAN_MAX as u32;
        let (list, _) = found(None, rare + 10, |row| row == rare);
        assert_eq!((list.data, list.done), (vec![rare], false), "the first page is not empty");
        let (list, _) = found(list.iterator.as_deref(), rare + 10, |row| row == rare);
        assert_eq!((list.data.len(), list.done), (0, true));

        let many = PAGE_SEARCH_MAX as u32 + 10;
        let (list, seen) = found(None, many, |row| row == many);
        assert_eq!((list.data.len(), list.done, seen), (0, false, PAGE_SEARCH_MAX));
        let (list, _) = found(list.iterator.as_deref(), many, |row| row == many);
        assert_eq!((list.data, list.done), (vec![many], true));

        let back = format!("-{many}");
        let (list, _) = found(Some(&back), many, |row| row == 1);
        assert_eq!((list.data.len(), list.done, list.prev_iterator.as_deref()), (0, false, Some("-10")));
        let (list, _) = found(list.prev_iterator.as_deref(), many, |row| row == 1);
        assert_eq!((list.data, list.done), (vec![1], true));
    }

    #[test]
    fn an_empty_page_ends_the_list_and_can_be_gone_on_from() {
        let (data, end) = list(2, Some("5"), Ordering::Ascending);
        assert_eq!((data.len(), end.done, end.iterator.as_deref()), (0, true, Some("5")));
        let (data, start) = list(2, Some("-1"), Ordering::Ascending);
        assert_eq!((data.len(), start.done, start.iterator), (0, true, None));
    }

    #[test]
    fn a_limit_out_of_bounds_and_a_foreign_iterator_are_refused() {
        let read = |text: &str| text.parse::<u32>().ok();
        for (limit, iterator) in [(0, None), (251, None), (5, Some("x")), (5, Some("-x"))] {
            assert!(Page::new(Some(limit), iterator, Ordering::Ascending, read).is_err());
        }
        assert_eq!(Page::new(None, Some(""), Ordering::Ascending, read).unwrap().limit, PAGE_DEFAULT);
    }
}
