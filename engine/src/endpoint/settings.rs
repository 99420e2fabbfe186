//! An endpoint's row made ready to use: secrets opened, headers checked, policies filled in with defaults.
//!
//! Deliberately built anew whenever the row changes or a rotated secret expires, never patched.

use crate::config::EngineConfig;
use crate::dispatch::{CheckedUrl, Guard, OwnRoots, SigningKey, Target, TargetError, check_url, join_user_info};
use crate::endpoint::filter::Filter;
use crate::endpoint::lane::LanePolicy;
use crate::pace::AppPace;
use crate::seal::{MasterKey, SealContext, SealPurpose};
use http::Uri;
use model::{Endpoint, OutcomeClass, UnixMs};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What attempts to an endpoint need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to and signed by whom; or why no request can be made, e.g. another master key.
    pub target: Result<Arc<Target>, Unmakeable>,
    /// Which events are for it.
    pub filter: Arc<Filter>,
    /// Deadline of one attempt.
    pub timeout_ms: u32,
    /// What its lane is to keep to.
    pub policy: LanePolicy,
    /// Which of the endpoint's URLs the target has.
    pub url_number: u32,
    /// The pace of its application as a whole, if that has one.
    pub pace: Option<Arc<AppPace>>,
    /// When these settings are to be built again: the next secret expires.
    pub stale_at: Option<UnixMs>,
}

/// Why no request can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmakeable {
    /// What each attempt shows.
    pub outcome: OutcomeClass,
    /// The same for the attempt history. Never a secret.
    pub words: String,
}

impl Unmakeable {
    /// For a reason that lies here, not with the endpoint.
    fn here(words: impl ToString) -> Unmakeable {
        Unmakeable { outcome: OutcomeClass::InternalError, words: words.to_string() }
    }
}

impl From<TargetError> for Unmakeable {
    /// An address that is refused now, though it was allowed when the URL was set, is as good as refused when dialled.
    fn from(error: TargetError) -> Unmakeable {
        match error {
            TargetError::Refused(_) | TargetError::RefusedPort(_) | TargetError::NotHttps => {
                Unmakeable { outcome: OutcomeClass::Refused, words: error.to_string() }
            }
            other => Unmakeable::here(other),
        }
    }
}

impl Settings {
    /// Builds them from a row and its application's pace.
    #[must_use]
    pub fn of(
        row: &Endpoint,
        pace: Option<Arc<AppPace>>,
        config: &EngineConfig,
        master: &MasterKey,
        guard: &Guard,
        now: UnixMs,
    ) -> Settings {
        Settings {
            target: target(row, config, master, guard, now).map(Arc::new),
            filter: Arc::new(Filter::of(row)),
            timeout_ms: row.timeout_ms.unwrap_or(config.attempt_timeout_ms),
            policy: LanePolicy {
                retry: row.retry_policy.clone().unwrap_or_else(|| config.retry_policy.clone()),
                on_client_error: row.on_client_error.unwrap_or(config.on_client_error),
                disable_after_failing_ms: config.disable_after_failing_ms,
                rate_limit: row.rate_limit,
                max_in_flight: row.max_in_flight.unwrap_or(config.max_in_flight_per_endpoint),
                disabled: row.disabled.is_some(),
            },
            url_number: 0,
            pace,
            stale_at: row.secrets.iter().filter_map(|secret| secret.expires_at).filter(|at| *at > now).min(),
        }
    }

    /// Where requests go to, if any can be made.
    #[must_use]
    pub fn uri(&self) -> Option<&Uri> {
        self.target.as_ref().ok().map(|target| target.uri())
    }
}

/// The URL with its user name and password, if it has some.
fn checked_url(row: &Endpoint, master: &MasterKey, guard: &Guard) -> Result<CheckedUrl, Unmakeable> {
    let Some(sealed) = &row.sealed_user_info else { return Ok(check_url(&row.url, guard)?) };
    let context = SealContext { app: row.app, endpoint: row.id, purpose: SealPurpose::UserInfo };
    let opened = master.open(sealed, context).map_err(Unmakeable::here)?;
    let user_info = std::str::from_utf8(opened.expose()).map_err(|_| Unmakeable::here("a user name is not text"))?;
    Ok(check_url(&join_user_info(&row.url, user_info), guard)?)
}

/// The request's unchanging parts.
fn target(
    row: &Endpoint,
    config: &EngineConfig,
    master: &MasterKey,
    guard: &Guard,
    now: UnixMs,
) -> Result<Target, Unmakeable> {
    let url = checked_url(row, master, guard)?;
    let context = |purpose| SealContext { app: row.app, endpoint: row.id, purpose };
    let mut keys = Vec::with_capacity(row.secrets.len());
    for secret in row.secrets.iter().filter(|secret| secret.expires_at.is_none_or(|at| at > now)) {
        let opened = master.open(&secret.sealed, context(SealPurpose::SigningSecret)).map_err(Unmakeable::here)?;
        let text =
            std::str::from_utf8(opened.expose()).map_err(|_| Unmakeable::here("a signing secret is not text"))?;
        keys.push(SigningKey::parse(text).map_err(Unmakeable::here)?);
    }
    let headers: BTreeMap<String, String> = match &row.sealed_headers {
        Some(sealed) => {
            let opened = master.open(sealed, context(SealPurpose::Headers)).map_err(Unmakeable::here)?;
            serde_json::from_slice(opened.expose())
                .map_err(|_| Unmakeable::here("the stored headers are not readable"))?
        }
        None => BTreeMap::new(),
    };
    let custom = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let target = Target::new(&url, custom, keys, config.signature_headers).map_err(Unmakeable::here)?;
    if row.ca_pem.is_empty() {
        return Ok(target);
    }
    Ok(target.with_own_roots(OwnRoots::new(&row.ca_pem, &config.extra_roots).map_err(Unmakeable::here)?))
}
