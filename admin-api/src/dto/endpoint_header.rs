//! Custom headers of an endpoint: set, patched and shown, with those that carry credentials left out.
//!
//! A body may have the headers as they were read, with the names of the values that were withheld: those values stay.
//! The command decides which names may be sent.

use control::Patch;
use control::command::endpoint::{Headers, PatchHeaders, PutHeaders};
use control::find::EndpointName;
use engine::dispatch::is_sensitive_header;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

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
    /// The command.
    pub(crate) fn into_command(self, endpoint: EndpointName) -> PutHeaders {
        PutHeaders { endpoint, headers: self.headers, kept: self.sensitive.unwrap_or_default() }
    }
}

impl EndpointHeadersPatchIn {
    /// The command.
    pub(crate) fn into_command(self, endpoint: EndpointName) -> PatchHeaders {
        PatchHeaders {
            endpoint,
            headers: self.headers,
            removed: self.delete_headers.unwrap_or_default(),
            kept: self.sensitive.unwrap_or_default(),
        }
    }
}

impl From<Headers> for EndpointHeadersOut {
    fn from(headers: Headers) -> EndpointHeadersOut {
        let (sensitive, shown): (Headers, Headers) =
            headers.into_iter().partition(|(name, _)| is_sensitive_header(name));
        EndpointHeadersOut { headers: shown, sensitive: sensitive.into_keys().collect() }
    }
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
}
