//! Pages of lists as clients ask for them: `limit`, `iterator`, `order` in, `{data, iterator, prevIterator, done}` out.
//!
//! An iterator is the text of the place that a page ended with or, led by `-`, began with. Which rows a page has is
//! [`control::query::paging`]'s.

use crate::dto::fields::ListResponse;
use crate::error::ApiError;
use crate::limits::PAGE_DEFAULT;
use control::query::bounds::PAGE_MAX;
use control::query::paging::{Listed, Order, Page, Start};
use model::id::{IdKind, IdParts};
use serde::Deserialize;
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

impl From<Ordering> for Order {
    fn from(ordering: Ordering) -> Order {
        match ordering {
            Ordering::Ascending => Order::Ascending,
            Ordering::Descending => Order::Descending,
        }
    }
}

/// The parameters of a list that can be had from either end.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// The iterator that the page before gave, or an item's id: the page begins behind it. Led by `-`, the page ends
    /// before it.
    iterator: Option<String>,
    /// Default: `ascending`; of endpoints `descending`.
    #[param(inline)]
    order: Option<Ordering>,
}

impl PageQuery {
    /// # Errors
    /// 422 for a limit out of bounds or an iterator that is none.
    pub(crate) fn page<K>(&self, read_place: impl FnOnce(&str) -> Option<K>) -> Result<AskedPage<K>, ApiError> {
        self.page_in(Ordering::Ascending, read_place)
    }

    /// As [`PageQuery::page`], of a list that is in this order when the caller does not say.
    ///
    /// # Errors
    /// 422 for a limit out of bounds or an iterator that is none.
    pub(crate) fn page_in<K>(
        &self,
        default: Ordering,
        read_place: impl FnOnce(&str) -> Option<K>,
    ) -> Result<AskedPage<K>, ApiError> {
        AskedPage::new(self.limit, self.iterator.as_deref(), self.order.unwrap_or(default), read_place)
    }
}

/// A page that a client asks for.
#[derive(Clone, Debug)]
pub(crate) struct AskedPage<K> {
    /// The page.
    pub(crate) page: Page<K>,
    /// The iterator that was given, unless it goes back. An empty page gives it in turn, so that a caller can go on
    /// from there when there is more one day.
    given: Option<String>,
}

impl<K> AskedPage<K> {
    /// # Errors
    /// 422 for a limit out of bounds or an iterator that is none.
    pub(crate) fn new(
        limit: Option<u64>,
        iterator: Option<&str>,
        order: Ordering,
        read_place: impl FnOnce(&str) -> Option<K>,
    ) -> Result<AskedPage<K>, ApiError> {
        let limit = limit.unwrap_or(PAGE_DEFAULT as u64);
        if !(1..=PAGE_MAX as u64).contains(&limit) {
            let msg = format!("must be between 1 and {PAGE_MAX}");
            return Err(ApiError::invalid(["query", "limit"], msg, "value_error.number.range"));
        }
        let read = |text: &str| {
            read_place(text).ok_or_else(|| {
                ApiError::invalid(["query", "iterator"], "is not an iterator of this list", "value_error.iterator")
            })
        };
        let iterator = iterator.filter(|text| !text.is_empty());
        let (start, given) = match (iterator, iterator.and_then(|text| text.strip_prefix(BACK))) {
            (None, _) => (Start::First, None),
            (Some(_), Some(back)) => (Start::Before(read(back)?), None),
            (Some(text), None) => (Start::Behind(read(text)?), Some(text.to_owned())),
        };
        // `limit` is at most PAGE_MAX here.
        Ok(AskedPage { page: Page { limit: limit as usize, order: order.into(), start }, given })
    }

    /// The answer with the items of the page, each shown by `show`; `text` writes a place as an iterator.
    pub(crate) fn respond<T, P, O: ToSchema>(
        &self,
        listed: Listed<T, P>,
        text: impl Fn(&P) -> String,
        show: impl FnMut(&T) -> O,
    ) -> ListResponse<O> {
        ListResponse {
            data: listed.items.iter().map(show).collect(),
            iterator: listed.last.as_ref().map(&text).or_else(|| self.given.clone()),
            prev_iterator: listed.first.as_ref().map(|place| format!("{BACK}{}", text(place))),
            done: listed.is_end,
        }
    }
}

/// Reads an id of this kind as a place. Whether the thing exists yet does not matter.
pub(crate) fn place_of(kind: IdKind) -> impl Fn(&str) -> Option<IdParts> {
    move |text| IdParts::from_text(kind, text)
}

/// Writes [`place_of`].
pub(crate) fn text_of(kind: IdKind) -> impl Fn(&IdParts) -> String {
    move |place| place.to_text(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(limit: Option<u64>, iterator: Option<&str>) -> Result<AskedPage<u32>, ApiError> {
        AskedPage::new(limit, iterator, Ordering::Ascending, |text| text.parse().ok())
    }

    #[test]
    fn an_iterator_leads_on_or_back() {
        assert_eq!(
            asked(None, Some("")).unwrap().page,
            Page { limit: 50, order: Order::Ascending, start: Start::First }
        );
        assert_eq!(asked(None, Some("7")).unwrap().page.start, Start::Behind(7));
        assert_eq!(asked(None, Some("-7")).unwrap().page.start, Start::Before(7));
        let listed = Listed { items: vec![1, 2], first: Some(1), last: Some(2), is_end: false };
        let response = asked(None, None).unwrap().respond(listed, u32::to_string, |item| *item);
        assert_eq!((response.iterator.as_deref(), response.prev_iterator.as_deref()), (Some("2"), Some("-1")));
        assert!(!response.done);
    }

    #[test]
    fn an_empty_page_can_be_gone_on_from() {
        let empty = || Listed::<u32, u32> { items: Vec::new(), first: None, last: None, is_end: true };
        let end = asked(None, Some("5")).unwrap().respond(empty(), u32::to_string, |item| *item);
        assert_eq!((end.data.len(), end.done, end.iterator.as_deref()), (0, true, Some("5")));
        let start = asked(None, Some("-1")).unwrap().respond(empty(), u32::to_string, |item| *item);
        assert_eq!((start.done, start.iterator, start.prev_iterator), (true, None, None));
    }

    #[test]
    fn a_limit_out_of_bounds_and_a_foreign_iterator_are_refused() {
        for (limit, iterator) in [(0, None), (251, None), (5, Some("x")), (5, Some("-x"))] {
            assert!(asked(Some(limit), iterator).is_err());
        }
    }
}
