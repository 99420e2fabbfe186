//! The normal form of a request's path: one slash at its beginning, none at its end.
//!
//! Clients of earlier years end every path in a slash, and a base URL that ends in one makes paths begin with two. The
//! path is rewritten once, before routing, so that authorisation, limits and the labels of metrics see one form only. A
//! path in normal form, which nearly all are, costs two comparisons and no allocation.
//!
//! Dots are left as they are: `..` and `%2e%2e` are names like any other here, never steps upwards. A request for
//! `…/endpoint/..` is for an endpoint of that name, which there cannot be ([`crate::validate`] refuses it). Slashes
//! within a path, and `%2F` anywhere, stay too.

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;

/// Brings the path of `uri` into its normal form.
pub(crate) fn normalise(uri: &mut Uri) {
    let Some(normal) = normal(uri) else { return };
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(normal);
    // A part was replaced by one of its kind, so that the parts fit together as before.
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

/// The path in normal form with the query as it is; none when nothing is to change.
fn normal(uri: &Uri) -> Option<PathAndQuery> {
    let path = uri.path();
    let trimmed = trimmed(path);
    if trimmed.len() == path.len() {
        return None;
    }
    let mut text = String::with_capacity(path.len() + uri.query().map_or(0, |query| query.len() + 1));
    text.push_str(trimmed);
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(text)).ok()
}

/// The part of `path` that is its normal form.
fn trimmed(path: &str) -> &str {
    let leading = path.len() - path.trim_start_matches('/').len();
    if leading == path.len() {
        // Slashes alone (or the empty path of `CONNECT`): the first of them.
        return &path[..leading.min(1)];
    }
    path[leading.saturating_sub(1)..].trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(text: &str) -> String {
        let mut uri: Uri = text.parse().unwrap();
        normalise(&mut uri);
        uri.to_string()
    }

    #[test]
    fn slashes_at_both_ends_go_and_all_else_stays() {
        let table = [
            ("/api/v1/app/", "/api/v1/app"),
            ("/api/v1/app///", "/api/v1/app"),
            ("//api/v1/app/", "/api/v1/app"),
            ("///api/v1/app", "/api/v1/app"),
            ("/api/v1/app/?limit=3&q=/", "/api/v1/app?limit=3&q=/"),
            ("/api/v1/app/?", "/api/v1/app?"),
            ("http://host:80//api/v1/app/?a", "http://host:80/api/v1/app?a"),
            ("/", "/"),
            ("//", "/"),
            ("*", "*"),
            ("/api/v1/app//endpoint", "/api/v1/app//endpoint"),
            ("/api/v1/app/x/endpoint/..", "/api/v1/app/x/endpoint/.."),
            ("/api/v1/app/x/endpoint/%2e%2e/", "/api/v1/app/x/endpoint/%2e%2e"),
            ("/api/v1/app/x/endpoint/../", "/api/v1/app/x/endpoint/.."),
            ("/api/v1/app%2F", "/api/v1/app%2F"),
        ];
        for (text, expected) in table {
            assert_eq!(normalised(text), expected, "{text}");
            assert_eq!(normalised(expected), expected, "the normal form is its own");
        }
    }

    #[test]
    fn a_path_in_normal_form_is_not_made_anew() {
        for text in ["/api/v1/app/x/msg", "/api/v1/app?limit=1", "/", "*"] {
            assert!(normal(&text.parse().unwrap()).is_none(), "{text}");
        }
    }
}
