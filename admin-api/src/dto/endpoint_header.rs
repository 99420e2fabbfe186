//! Custom headers of an endpoint: set, patched and shown, with those that carry credentials left out.
//!
//! A body may be what was read, with the names of the values that were withheld: those values stay. Which names may be
//! sent is for `engine::dispatch::request` to say.

use crate::dto::fields::Patch;
use crate::error::ApiError;
use crate::limits::HEADERS_PATCHED_MAX;
use crate::validate::Checks;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Names that carry credentials by their nature.
const SENSITIVE_NAMES: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
/// Parts of a name which show that its value is a credential.
const SENSITIVE_PARTS: [&str; 7] = ["auth", "token", "secret", "password", "credential", "api-key", "apikey"];

/// Families of names that the API does not let anybody set: proxies and clouds read them as their own. One that an endpoint
/// has from before this rule goes on being sent.
const RESERVED_PREFIXES: [&str; 4] = ["x-svix-", "x-amzn-", "x-amz-", "x-google-"];

/// Name by value.
pub(crate) type Headers = BTreeMap<String, String>;

/// All custom headers anew: one that is not named is removed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointHeadersIn {
    /// Name by value.
    headers: Headers,
    /// Names of headers that keep the value that they have, as a read lists those whose values are kept back.
    sensitive: Option<Vec<String>>,
}

/// Changes to custom headers: one that is not named stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EndpointHeadersPatchIn {
    /// Name by new value; null removes.
    #[schema(value_type = std::collections::BTreeMap<String, Option<String>>)]
    headers: BTreeMap<String, Patch<String>>,
    /// Names to remove.
    delete_headers: Option<Vec<String>>,
    /// Names of headers that keep the value that they have.
    sensitive: Option<Vec<String>>,
}

/// Custom headers as they are shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointHeadersOut {
    /// Those that may be shown.
    headers: Headers,
    /// Names of those whose values are kept back.
    sensitive: Vec<String>,
}

impl EndpointHeadersIn {
    /// Notes what is wrong with the names and their number, before anything is applied.
    pub(crate) fn check(&self, checks: &mut Checks) {
        checks.count("headers", self.headers.len(), 0, HEADERS_PATCHED_MAX);
        check_names(checks, self.headers.keys());
        check_sensitive(checks, self.sensitive.as_deref());
    }

    /// The headers that replace `current`. A value that is given counts, whether or not its name is listed as sensitive too.
    ///
    /// # Errors
    /// 422 for a name whose value is to stay and that is not there.
    pub(crate) fn apply(self, current: &Headers) -> Result<Headers, ApiError> {
        let mut after = self.headers;
        for (name, value) in kept(current, self.sensitive.as_deref())? {
            if !after.keys().any(|given| given.eq_ignore_ascii_case(name)) {
                after.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(after)
    }
}

/// Notes names that a caller may not set.
pub(crate) fn check_names<'a>(checks: &mut Checks, names: impl Iterator<Item = &'a String>) {
    let is_reserved = |name: &&String| {
        let name = name.to_ascii_lowercase();
        RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    for name in names.take(HEADERS_PATCHED_MAX).filter(is_reserved) {
        checks.wrong(&["headers", name], "cannot be set", "value_error.header");
    }
}

fn check_sensitive(checks: &mut Checks, names: Option<&[String]>) {
    checks.count("sensitive", names.map_or(0, <[String]>::len), 0, HEADERS_PATCHED_MAX);
}

/// The headers of these names, whatever their case.
fn kept<'a>(current: &'a Headers, names: Option<&[String]>) -> Result<Vec<(&'a str, &'a str)>, ApiError> {
    let each = names.unwrap_or_default().iter().enumerate().map(|(index, name)| {
        let found = current.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(name, value)| (name.as_str(), value.as_str())).ok_or_else(|| {
            let msg = "there is no header of this name that could keep its value";
            ApiError::invalid(["body", "sensitive", &index.to_string()], msg, "value_error.missing")
        })
    });
    each.collect()
}

impl EndpointHeadersPatchIn {
    /// Notes what is wrong before anything is applied: the names of one patch are few, so that applying it, which is done
    /// where all writes are, takes no time.
    pub(crate) fn check(&self, checks: &mut Checks) {
        checks.count("headers", self.headers.len(), 0, HEADERS_PATCHED_MAX);
        let set = self.headers.iter().filter(|(_, value)| value.as_set().is_some());
        check_names(checks, set.map(|(name, _)| name));
        let names = self.delete_headers.iter().map(Vec::len);
        names.for_each(|count| {
            checks.count("deleteHeaders", count, 0, HEADERS_PATCHED_MAX);
        });
        check_sensitive(checks, self.sensitive.as_deref());
    }

    /// The headers that `current` becomes. Names are the same whatever their case.
    ///
    /// # Errors
    /// 422 for a name whose value is to stay and that is not there.
    pub(crate) fn apply(self, current: Headers) -> Result<Headers, ApiError> {
        kept(&current, self.sensitive.as_deref())?;
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
        Ok(after.into_values().collect())
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
        let after = patch.apply(headers(&[("X-A", "1"), ("x-b", "1"), ("x-c", "1"), ("x-d", "1")])).unwrap();
        assert_eq!(after, headers(&[("x-a", "2"), ("x-d", "1"), ("x-new", "n")]));
    }

    #[test]
    fn what_was_read_can_be_put_back_and_a_value_that_was_kept_back_stays() {
        let current = headers(&[("Authorization", "canary"), ("x-id", "7"), ("X-Token", "other")]);
        let put = |body: &str| serde_json::from_str::<EndpointHeadersIn>(body).unwrap().apply(&current);
        let read = serde_json::to_string(&EndpointHeadersOut::from(current.clone())).unwrap();
        assert_eq!(put(&read).unwrap(), current);
        let after = put(r#"{"headers":{"x-id":"8"},"sensitive":["authorization"]}"#).unwrap();
        assert_eq!(after, headers(&[("Authorization", "canary"), ("x-id", "8")]), "X-Token was not named");
        let after = put(r#"{"headers":{"AUTHORIZATION":"new"},"sensitive":["Authorization"]}"#).unwrap();
        assert_eq!(after, headers(&[("AUTHORIZATION", "new")]));
        let error = put(r#"{"headers":{},"sensitive":["x-token","x-none"]}"#).unwrap_err();
        assert_eq!(error.items().unwrap()[0].loc, ["body", "sensitive", "1"]);
        let body = r#"{"headers":{"x-id":null},"sensitive":["x-token"]}"#;
        let patch: EndpointHeadersPatchIn = serde_json::from_str(body).unwrap();
        assert_eq!(patch.apply(current).unwrap(), headers(&[("Authorization", "canary"), ("X-Token", "other")]));
    }
}
