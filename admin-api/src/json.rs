//! Bodies and queries into values, with the field's path when they do not fit.
//!
//! The plain parser runs first; only when it fails does a second one, which keeps track of the path, run to say where.
//! So a good request pays nothing for the precision of the bad one's answer. No validation of meaning.

use crate::error::{ApiError, ValidationItem};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::de::{Deserialize, DeserializeOwned, Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// An answer that is JSON already.
#[derive(Debug)]
pub(crate) struct JsonBytes(pub(crate) Vec<u8>);

impl IntoResponse for JsonBytes {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.0.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// A body without the byte order mark that some clients lead it with. RFC 8259, 8.1: it may be ignored.
pub(crate) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// Reads a JSON object; values may borrow from it. An empty body reads as `{}`: clients send none when all is optional.
///
/// # Errors
/// 422 with the path of the field that does not fit. A list is refused: serde would take one for a struct, its items
/// for the fields in the order of their declaration.
pub(crate) fn from_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let body = without_mark(body);
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(ApiError::invalid(["body"], "must be an object", "type_error"));
    }
    any_from_body(body)
}

/// Reads any JSON, lists too.
///
/// # Errors
/// 422 with the path of the value that does not fit.
pub(crate) fn any_from_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let body = without_mark(body);
    serde_json::from_slice(body).map_err(|first| {
        let mut parser = serde_json::Deserializer::from_slice(body);
        let (path, error) = match serde_path_to_error::deserialize::<_, T>(&mut parser) {
            Ok(_) => (Vec::new(), first),
            Err(error) => (segments(error.path()), error.into_inner()),
        };
        let kind = match error.classify() {
            serde_json::error::Category::Data => "type_error",
            _ => "value_error.jsondecode",
        };
        invalid("body", path, plain(&error.to_string()), kind)
    })
}

/// Reads a query string. A parameter that comes more than once counts as one list, its values joined by commas. So do
/// `name[]` and `name[0]`: some clients write a list so.
///
/// # Errors
/// 422 with the name of the parameter that does not fit.
pub(crate) fn from_query<T: DeserializeOwned>(query: Option<&str>) -> Result<T, ApiError> {
    let query = joined(query.unwrap_or(""));
    let parser = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(parser).map_err(|error| {
        let path = segments(error.path());
        invalid("query", path, error.into_inner().to_string(), "type_error")
    })
}

/// Repeated parameters made one.
fn joined(query: &str) -> Cow<'_, str> {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    let (mut repeated, mut places) = (false, HashMap::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let name = match list_name(&name) {
            Some(plain) => {
                repeated = true;
                Cow::Owned(plain.to_owned())
            }
            None => name,
        };
        match places.get(&name) {
            Some(place) => {
                let (_, values): &mut (_, Cow<'_, str>) = &mut pairs[*place];
                values.to_mut().push(',');
                values.to_mut().push_str(&value);
                repeated = true;
            }
            None => {
                places.insert(name.clone(), pairs.len());
                pairs.push((name, value));
            }
        }
    }
    if !repeated {
        return Cow::Borrowed(query);
    }
    Cow::Owned(form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
}

/// The name of a list whose item is written `name[]` or `name[0]`.
fn list_name(name: &str) -> Option<&str> {
    let (plain, index) = name.strip_suffix(']')?.split_once('[')?;
    index.bytes().all(|byte| byte.is_ascii_digit()).then_some(plain)
}

/// The items of a JSON list as text, at most `most` of them: reading stops there.
pub(crate) struct Items<'a> {
    pub(crate) items: Vec<&'a RawValue>,
    /// True if there are more.
    pub(crate) more: bool,
}

/// Reads a JSON list no further than `most` items; the text behind them is not even looked at.
///
/// # Errors
/// 422 when it is no list, or broken as far as it was read.
pub(crate) fn items_from_body(body: &[u8], most: usize) -> Result<Items<'_>, ApiError> {
    let mut found = Items { items: Vec::new(), more: false };
    let mut parser = serde_json::Deserializer::from_slice(without_mark(body));
    let read = parser.deserialize_seq(ItemsVisitor { found: &mut found, most });
    match read.and_then(|()| parser.end()) {
        Ok(()) => Ok(found),
        Err(_) if found.more => Ok(found),
        Err(error) => {
            let kind = match error.classify() {
                serde_json::error::Category::Data => "type_error",
                _ => "value_error.jsondecode",
            };
            Err(invalid("body", Vec::new(), plain(&error.to_string()), kind))
        }
    }
}

struct ItemsVisitor<'f, 'a> {
    found: &'f mut Items<'a>,
    most: usize,
}

impl<'a> Visitor<'a> for ItemsVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element::<&'a RawValue>()? {
            if self.found.items.len() == self.most {
                self.found.more = true;
                return Err(serde::de::Error::custom("too many"));
            }
            self.found.items.push(item);
        }
        Ok(())
    }
}

fn invalid(root: &str, mut path: Vec<String>, mut msg: String, mut kind: &'static str) -> ApiError {
    // The parser reports a missing field at its parent; callers look for it under its own name.
    if let Some(missing) = msg.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        path.push(missing.to_owned());
        (msg, kind) = ("field required".to_owned(), "value_error.missing");
    }
    // So it does with one that is not known, or else it names the field already.
    if let Some(unknown) = msg.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
        if path.last().is_none_or(|last| last != unknown) {
            path.push(unknown.to_owned());
        }
        kind = "value_error.extra";
    }
    let loc = std::iter::once(root.to_owned()).chain(path).collect();
    ApiError::Invalid(vec![ValidationItem { loc, msg, kind: Cow::Borrowed(kind) }])
}

fn segments(path: &Path) -> Vec<String> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect()
}

/// The message without "at line 1 column 17" when that is all there is to say of one line.
fn plain(message: &str) -> String {
    match message.split_once(" at line 1 column ") {
        Some((what, _)) => what.to_owned(),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[allow(dead_code)]
        delays: Vec<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Outer {
        #[allow(dead_code)]
        retry_policy: Inner,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Query {
        limit: Option<u32>,
        types: Option<String>,
    }

    fn loc<T: fmt::Debug>(result: Result<T, ApiError>) -> String {
        match result {
            Err(ApiError::Invalid(items)) => items[0].loc.join("."),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wrong_type_is_named_with_its_whole_path() {
        assert_eq!(loc(from_body::<Outer>(br#"{"retryPolicy":{"delays":[1,"x"]}}"#)), "body.retryPolicy.delays.1");
    }

    #[test]
    fn a_field_that_is_not_known_is_named_where_it_is_refused() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            #[allow(dead_code)]
            inner: Option<Box<Strict>>,
        }
        assert_eq!(loc(from_body::<Strict>(br#"{"app":"a"}"#)), "body.app");
        assert_eq!(loc(from_body::<Strict>(br#"{"inner":{"inner":{"app":1}}}"#)), "body.inner.inner.app");
    }

    #[test]
    fn malformed_and_empty_bodies_are_about_the_body() {
        assert!(loc(from_body::<Outer>(b"{")).starts_with("body"));
        assert_eq!(loc(from_body::<Outer>(b"")), "body.retryPolicy");
        assert_eq!(loc(from_body::<Outer>(b"[]")), "body");
        assert_eq!(loc(from_body::<Outer>(br#" [{"delays":[1]}]"#)), "body");
        assert_eq!(loc(from_body::<Outer>(b"\xff")), "body");
    }

    #[test]
    fn a_query_takes_lists_once_or_repeated() {
        let once: Query = from_query(Some("types=a%2Cb&limit=3")).unwrap();
        let repeated: Query = from_query(Some("types=a&limit=3&types=b")).unwrap();
        assert_eq!(once, repeated);
        assert_eq!(loc(from_query::<Query>(Some("limit=x"))), "query.limit");
        assert_eq!(from_query::<Query>(None).unwrap(), Query { limit: None, types: None });
    }

    #[test]
    fn a_list_may_be_written_with_brackets() {
        let plain: Query = from_query(Some("types=a,b&limit=3")).unwrap();
        for query in
            ["types[]=a&limit=3&types[]=b", "types%5B0%5D=a&types%5B1%5D=b&limit=3", "types[0]=a&limit=3&types=b"]
        {
            assert_eq!(from_query::<Query>(Some(query)).unwrap(), plain, "{query}");
        }
    }

    #[test]
    fn a_parameter_that_is_not_known_is_named() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            #[allow(dead_code)]
            limit: Option<u32>,
        }
        assert_eq!(loc(from_query::<Strict>(Some("limit=1&tag=x"))), "query.tag");
        assert_eq!(loc(from_query::<Strict>(Some("a[b]=x"))), "query.a[b]");
    }
}
