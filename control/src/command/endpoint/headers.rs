//! Custom headers of an endpoint: replaced, changed. They lie on the disk sealed.
//!
//! The engine that sends them has the rules on names and values. A caller may send the headers as it read them, with
//! the names of the values that were kept back: those values stay.

use super::{Set, save_together};
use crate::checks::Checks;
use crate::command::{At, Changed, Command, Reach};
use crate::error::Error;
use crate::find::EndpointName;
use crate::limits::{HEADERS_PATCHED_MAX, Rules, TARGET_HEADERS_BYTES_MAX, TARGET_HEADERS_MAX};
use crate::patch::Patch;
use crate::seals::Seals;
use engine::prepare::check_headers;
use engine::seal::SealPurpose;
use model::{Endpoint, EndpointRef, SealedBytes};
use std::collections::BTreeMap;
use storage::Txn;
use zeroize::Zeroizing;

/// Families of names that nobody may set: proxies and clouds read them as their own. One that an endpoint has from
/// before this rule goes on being sent.
pub(super) const RESERVED_PREFIXES: [&str; 4] = ["x-svix-", "x-amzn-", "x-amz-", "x-google-"];

/// Name by value.
pub type Headers = BTreeMap<String, String>;

/// Replaces all custom headers of an endpoint.
pub struct PutHeaders {
    /// Whose.
    pub endpoint: EndpointName,
    /// Name by value.
    pub headers: Headers,
    /// Names of headers that keep the value that they have. A value that is given for one counts.
    pub kept: Vec<String>,
}

/// Sets some custom headers of an endpoint and removes others. The case of names does not count.
pub struct PatchHeaders {
    /// Whose.
    pub endpoint: EndpointName,
    /// Name by new value; one without a value is removed.
    pub headers: BTreeMap<String, Patch<String>>,
    /// Names to remove.
    pub removed: Vec<String>,
    /// Names of headers that must be there and keep the value that they have.
    pub kept: Vec<String>,
}

impl Command for PutHeaders {
    const NAME: &'static str = "endpoint.put-headers";
    type Thing = Endpoint;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        checks.count("headers", self.headers.len(), 0, HEADERS_PATCHED_MAX);
        check_names(checks, self.headers.keys());
        checks.count("sensitive", self.kept.len(), 0, HEADERS_PATCHED_MAX);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
        let PutHeaders { endpoint, headers, kept } = self;
        change(&endpoint, at, txn, |current| replaced(&current, headers, &kept))
    }
}

impl Command for PatchHeaders {
    const NAME: &'static str = "endpoint.patch-headers";
    type Thing = Endpoint;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    /// The names of one command are few, so that applying it, which is done where all writes are, takes no time.
    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        checks.count("headers", self.headers.len(), 0, HEADERS_PATCHED_MAX);
        let set = self.headers.iter().filter(|(_, value)| value.as_set().is_some());
        check_names(checks, set.map(|(name, _)| name));
        checks.count("deleteHeaders", self.removed.len(), 0, HEADERS_PATCHED_MAX);
        checks.count("sensitive", self.kept.len(), 0, HEADERS_PATCHED_MAX);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
        let PatchHeaders { endpoint, headers, removed, kept } = self;
        change(&endpoint, at, txn, |current| patched(current, headers, &removed, &kept))
    }
}

/// Sets an endpoint's headers to those that `after` makes of the present ones.
fn change(
    endpoint: &EndpointName,
    at: &At<'_>,
    txn: &mut Txn<'_>,
    after: impl FnOnce(Headers) -> Result<Headers, Error>,
) -> Result<Changed<Endpoint>, Error> {
    let old = endpoint.find(txn)?;
    let headers = after(open_headers(at.seals, &old)?)?;
    let mut checks = Checks::default();
    check_all(&mut checks, &headers);
    checks.finish()?;
    let sealed_headers = seal_headers(at.seals, old.target(), &headers)?;
    let row = Endpoint { sealed_headers, updated_at: at.now, ..old.clone() };
    save_together(at, txn, old, row, &Set::Headers)
}

/// The headers that replace `current`.
///
/// # Errors
/// [`Error::Invalid`] for a name whose value is to stay and that is not there.
fn replaced(current: &Headers, headers: Headers, kept: &[String]) -> Result<Headers, Error> {
    let mut after = headers;
    for (name, value) in values_of(current, kept)? {
        if !after.keys().any(|given| given.eq_ignore_ascii_case(name)) {
            after.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(after)
}

/// The headers that `current` becomes.
///
/// # Errors
/// [`Error::Invalid`] for a name whose value is to stay and that is not there.
fn patched(
    current: Headers,
    headers: BTreeMap<String, Patch<String>>,
    removed: &[String],
    kept: &[String],
) -> Result<Headers, Error> {
    values_of(&current, kept)?;
    let mut after: BTreeMap<String, (String, String)> =
        current.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), (name, value))).collect();
    for name in removed {
        after.remove(&name.to_ascii_lowercase());
    }
    for (name, value) in headers {
        after.remove(&name.to_ascii_lowercase());
        if let Patch::Set(value) = value {
            after.insert(name.to_ascii_lowercase(), (name, value));
        }
    }
    Ok(after.into_values().collect())
}

/// The headers of these names, in any case.
fn values_of<'a>(current: &'a Headers, names: &[String]) -> Result<Vec<(&'a str, &'a str)>, Error> {
    let each = names.iter().enumerate().map(|(index, name)| {
        let found = current.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(name, value)| (name.as_str(), value.as_str())).ok_or_else(|| {
            let msg = "there is no header of this name that could keep its value";
            Error::invalid(&["sensitive", &index.to_string()], msg, "value_error.missing")
        })
    });
    each.collect()
}

/// Notes names that a caller may not set.
pub(super) fn check_names<'a>(checks: &mut Checks, names: impl Iterator<Item = &'a String>) {
    let is_reserved = |name: &&String| {
        let name = name.to_ascii_lowercase();
        RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    for name in names.take(HEADERS_PATCHED_MAX).filter(is_reserved) {
        checks.wrong(&["headers", name], "cannot be set", "value_error.header");
    }
}

/// Notes the faults of an endpoint's custom headers, taken together.
pub(super) fn check_all(checks: &mut Checks, headers: &Headers) {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > TARGET_HEADERS_MAX || bytes > TARGET_HEADERS_BYTES_MAX {
        let msg = format!("must be at most {TARGET_HEADERS_MAX}, of {TARGET_HEADERS_BYTES_MAX} bytes together");
        checks.wrong(&["headers"], msg, "value_error.list.length");
    } else if let Err(error) = check_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        checks.wrong(&["headers"], error.to_string(), "value_error.header");
    }
}

/// Custom headers as they lie on the disk; none when there are none.
pub(super) fn seal_headers(
    seals: &Seals,
    target: EndpointRef,
    headers: &Headers,
) -> Result<Option<SealedBytes>, Error> {
    if headers.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_vec(headers).map(Zeroizing::new).map_err(|error| {
        tracing::error!(%error, "headers could not be written");
        Error::Internal
    })?;
    seals.seal(target, SealPurpose::Headers, &json).map(Some)
}

/// The custom headers of an endpoint, in the clear.
///
/// # Errors
/// [`Error::Internal`] when they do not open.
pub fn open_headers(seals: &Seals, row: &Endpoint) -> Result<Headers, Error> {
    let Some(sealed) = &row.sealed_headers else { return Ok(Headers::new()) };
    let json = seals.open(row.target(), SealPurpose::Headers, sealed)?;
    serde_json::from_slice(json.expose()).map_err(|_| {
        tracing::error!(endpoint = row.public_id(), "stored headers could not be read");
        Error::Internal
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_patch_sets_replaces_whatever_the_case_and_removes() {
        let set = BTreeMap::from([
            ("x-a".to_owned(), Patch::Set("2".to_owned())),
            ("X-B".to_owned(), Patch::Clear),
            ("x-new".to_owned(), Patch::Set("n".to_owned())),
        ]);
        let current = headers(&[("X-A", "1"), ("x-b", "1"), ("x-c", "1"), ("x-d", "1")]);
        let after = patched(current, set, &names(&["x-C"]), &[]).unwrap();
        assert_eq!(after, headers(&[("x-a", "2"), ("x-d", "1"), ("x-new", "n")]));
    }

    #[test]
    fn a_value_that_was_kept_back_stays_and_one_that_is_given_counts() {
        let current = headers(&[("Authorization", "canary"), ("x-id", "7"), ("X-Token", "other")]);
        let put = |given: &[(&str, &str)], kept: &[&str]| replaced(&current, headers(given), &names(kept));
        let after = put(&[("x-id", "8")], &["authorization"]).unwrap();
        assert_eq!(after, headers(&[("Authorization", "canary"), ("x-id", "8")]), "X-Token was not named");
        let after = put(&[("AUTHORIZATION", "new")], &["Authorization"]).unwrap();
        assert_eq!(after, headers(&[("AUTHORIZATION", "new")]));
        let Err(Error::Invalid(wrong)) = put(&[], &["x-token", "x-none"]) else { panic!("x-none was kept") };
        assert_eq!(wrong[0].at, ["sensitive", "1"]);
        let set = BTreeMap::from([("x-id".to_owned(), Patch::Clear)]);
        let after = patched(current, set, &[], &names(&["x-token"])).unwrap();
        assert_eq!(after, headers(&[("Authorization", "canary"), ("X-Token", "other")]));
    }
}
