//! Batches: one body, many messages, one result for each in order.
//!
//! ```text
//! application/json      a JSON array of messages
//! application/x-ndjson  one message a line; empty lines do not count
//! ```
//! An item that is wrong is reported and leaves the others alone; only a body that is no such list fails as a whole.
//! The messages themselves are not parsed here: items are cut out as text.

use crate::error::ApiError;
use crate::json::{items_from_body, without_mark};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

/// The result of one message of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchItemOut {
    /// Its place in the batch, from 0.
    pub(crate) index: usize,
    /// As the status of a single message would be: 202 taken, else why not.
    pub(crate) status: u16,
    /// The message's id, when it was taken now or before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// Why not, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
    /// Why not, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// The result of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchOut {
    /// The number of items that were taken, now or before.
    pub(crate) accepted: usize,
    /// The number of items that were not taken.
    pub(crate) rejected: usize,
    /// One for each item, in order.
    pub(crate) data: Vec<BatchItemOut>,
}

impl BatchItemOut {
    /// One that was not taken.
    pub(crate) fn refused(index: usize, error: &ApiError) -> BatchItemOut {
        error.count_refusal();
        BatchItemOut {
            index,
            status: error.status().as_u16(),
            id: None,
            code: Some(error.code()),
            detail: Some(error.detail()),
        }
    }
}

/// Cuts a batch into its items, each with memory of its own: one that waits for a slow endpoint must not hold the whole
/// body.
///
/// # Errors
/// 422 when it is no list, empty, or longer than `items_max`.
pub(crate) fn split(body: &Bytes, content_type: Option<&str>, items_max: usize) -> Result<Vec<Bytes>, ApiError> {
    let is_lines =
        content_type.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/x-ndjson"));
    let items: Vec<Bytes> = if is_lines {
        // One more than allowed is enough to know.
        let lines =
            without_mark(body).split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        lines.take(items_max + 1).map(Bytes::copy_from_slice).collect()
    } else {
        let read = items_from_body(body, items_max)?;
        if read.more {
            return Err(wrong_count(items_max));
        }
        read.items.into_iter().map(|raw| Bytes::copy_from_slice(raw.get().as_bytes())).collect()
    };
    if items.is_empty() || items.len() > items_max {
        return Err(wrong_count(items_max));
    }
    Ok(items)
}

fn wrong_count(items_max: usize) -> ApiError {
    ApiError::invalid(["body"], format!("a batch has 1 to {items_max} messages"), "value_error.list.length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(body: &'static str, content_type: Option<&str>) -> Option<Vec<Bytes>> {
        split(&Bytes::from_static(body.as_bytes()), content_type, 3).ok()
    }

    #[test]
    fn an_array_and_lines_give_the_same_items() {
        let array = items("[{\"a\":1}, 7]", Some("application/json; charset=utf-8")).unwrap();
        let lines = items("{\"a\":1}\r\n\n7", Some("application/x-ndjson")).unwrap();
        assert_eq!(array, lines);
        assert_eq!(array[0], "{\"a\":1}");
    }

    #[test]
    fn a_batch_is_neither_empty_nor_too_long_nor_something_else() {
        for body in ["[]", "[1,2,3,4]", "{}", "[1,", ""] {
            assert!(items(body, None).is_none(), "{body}");
        }
        assert!(items("\n \n", Some("application/x-ndjson")).is_none());
        assert!(items("1\n2\n3\n4\n", Some("application/x-ndjson")).is_none());
        assert_eq!(items("[1,2,3]", None).unwrap().len(), 3);
    }

    #[test]
    fn a_broken_line_is_an_item_of_its_own() {
        assert_eq!(items("{\"a\":\n{}", Some("application/x-ndjson")).unwrap().len(), 2);
    }
}
