//! Pages of lists: `limit`, `iterator`, `order` in, `{data, iterator, prevIterator, done}` out.
//!
//! An iterator is the key of the item that a page ended (or, led by `-`, began) with. It carries its place itself: it
//! stays good when items come and go, and the server keeps nothing between pages. Deliberately no total counts: no page
//! costs more than its own rows.

use crate::dto::fields::ListResponse;
use crate::error::ApiError;
use crate::limits::{PAGE_DEFAULT, PAGE_MAX};
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
pub(crate) struct PageQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// What the page before gave.
    iterator: Option<String>,
    /// Default: `ascending`.
    #[param(inline)]
    order: Option<Ordering>,
}

impl PageQuery {
    /// # Errors
    /// 422 for a limit out of bounds or an iterator that is none.
    pub(crate) fn page<K>(&self, read_key: impl FnOnce(&str) -> Option<K>) -> Result<Page<K>, ApiError> {
        Page::new(self.limit, self.iterator.as_deref(), self.order.unwrap_or_default(), read_key)
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

    /// Whether the answer is the last page. One that was gone back to has the one that it was reached from behind it,
    /// unless there is nothing to go on from.
    pub(crate) fn is_done(&self, has_more: bool, is_empty: bool) -> bool {
        !has_more && (!self.is_back || is_empty)
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
            done: self.is_done(has_more, rows.is_empty()),
        }
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
        assert!(!back.done);
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
