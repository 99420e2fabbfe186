//! Custom headers of an endpoint: set, patched and shown, with those that carry credentials left out.
//!
//! Deliberately no list of forbidden names: what may be sent is for `engine::dispatch::request` to say.

use crate::dto::fields::Patch;
use crate::limits::HEADERS_PATCHED_MAX;
use crate::validate::Checks;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Names that carry credentials by their nature.
const SENSITIVE_NAMES: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
/// What in a name says that its value is a credential.
const SENSITIVE_PARTS: [&str; 7] = ["auth", "token", "secret", "password", "credential", "api-key", "apikey"];

/// Name by value.
pub(crate) type Headers = BTreeMap<String, String>;

/// All custom headers anew.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct EndpointHeadersIn {
    /// Name by value.
    pub(crate) headers: Headers,
}

/// Changes to custom headers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointHeadersPatchIn {
    /// Name by new value; null removes.
    #[schema(value_type = std::collections::BTreeMap<String, Option<String>>)]
    headers: BTreeMap<String, Patch<String>>,
    /// Names to remove.
    delete_headers: Option<Vec<String>>,
}

/// Custom headers as they are shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointHeadersOut {
    /// Those that may be shown.
    headers: Headers,
    /// Names of those whose values are kept back.
    sensitive: Vec<String>,
}

impl EndpointHeadersPatchIn {
    /// Notes what is wrong before anything is applied: the names of one patch are few, so that applying it, which is done
    /// where all writes are, takes no time.
    pub(crate) fn check(&self, checks: &mut Checks) {
        checks.count("headers", self.headers.len(), 0, HEADERS_PATCHED_MAX);
        let names = self.delete_headers.iter().map(Vec::len);
        names.for_each(|count| {
            checks.count("deleteHeaders", count, 0, HEADERS_PATCHED_MAX);
        });
    }

    /// What `current` becomes. Names are the same whatever their case.
    pub(crate) fn apply(self, current: Headers) -> Headers {
        let mut after: BTreeMap<String, (String, String)> =
            current.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), (name, value))).collect();
        for name in self.delete_headers.unwrap_or_default() {
            after.remove(&name.to_ascii_lowercase());
        }
        for (name, value) in self.headers {
            after.remove(&name.to_ascii_lowercase());
            if let Patch::Set(value) = value {
                after.insert(name.to_ascii_lowercase(), (name, value));
            }
        }
        after.into_values().collect()
    }
}

impl From<Headers> for EndpointHeadersOut {
    fn from(headers: Headers) -> EndpointHeadersOut {
        let (sensitive, shown): (Headers, Headers) = headers.into_iter().partition(|(name, _)| is_sensitive(name));
        EndpointHeadersOut { headers: shown, sensitive: sensitive.into_keys().collect() }
    }
}

fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SENSITIVE_NAMES.contains(&name.as_str()) || SENSITIVE_PARTS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn values_that_carry_credentials_are_not_shown() {
        let all =
            headers(&[("Authorization", "canary"), ("X-Api-Key", "canary"), ("x-auth-token", "canary"), ("x-id", "7")]);
        let out = EndpointHeadersOut::from(all);
        assert!(!serde_json::to_string(&out).unwrap().contains("canary"));
        assert_eq!(out.headers, headers(&[("x-id", "7")]));
        assert_eq!(out.sensitive, ["Authorization", "X-Api-Key", "x-auth-token"]);
    }

    #[test]
    fn a_patch_sets_replaces_whatever_the_case_and_removes() {
        let body = r#"{"headers":{"x-a":"2","X-B":null,"x-new":"n"},"deleteHeaders":["x-C"]}"#;
        let patch: EndpointHeadersPatchIn = serde_json::from_str(body).unwrap();
        let after = patch.apply(headers(&[("X-A", "1"), ("x-b", "1"), ("x-c", "1"), ("x-d", "1")]));
        assert_eq!(after, headers(&[("x-a", "2"), ("x-d", "1"), ("x-new", "n")]));
    }
}
