//! Limits on requests, as HTTP shows them: 429 with `Retry-After`, and on every answer to a caller who has a limit
//! `X-RateLimit-Limit`, `-Remaining` and `-Reset`, of the tighter one where there are two.
//!
//! The limits themselves are in [`control::rate`]. A caller without one costs a look at two fields. Requests are counted
//! after authentication: a stranger uses nobody's limit up.

use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::state::ApiState;
use axum::extract::FromRequestParts;
use axum::response::Response;
use control::query::key::KnownKey;
use control::rate::{By, Empty, Ruling, Standing, Tiers, tighter};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use metrics::Counter;
use model::{ApiKeyRow, AppId, metric};
use std::num::NonZeroU32;
use std::time::Instant;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The label of requests that the limit of a key was held against.
const OF_KEY: &str = "key";

/// The clock of all buckets, and the counts of requests by limit.
pub(crate) struct Meter {
    since: Instant,
    /// Passed and refused, of keys and then of each tier.
    counted: Vec<[Counter; 2]>,
}

impl Meter {
    /// Of these tiers. Registers all series, so that the first refusal shows as an increase.
    pub(crate) fn new(tiers: &Tiers) -> Meter {
        let counters = |tier: &str| {
            ["passed", "refused"].map(|outcome| {
                let labels = [("tier", tier.to_owned()), ("outcome", outcome.to_owned())];
                let counter = metrics::counter!(metric::API_RATE_LIMITED_REQUESTS, &labels);
                counter.increment(0);
                counter
            })
        };
        let names = tiers.iter().map(|tier| tier.name.as_str());
        Meter { since: Instant::now(), counted: [OF_KEY].into_iter().chain(names).map(counters).collect() }
    }

    fn count(&self, ruling: &Ruling, requests: NonZeroU32) {
        let place = match ruling.by {
            By::Key => 0,
            By::Tier(place) => place + 1,
        };
        if let Some(counters) = self.counted.get(place) {
            counters[usize::from(ruling.answer.is_err())].increment(requests.get().into());
        }
    }
}

/// The limits that a request is held against. Left with it for a handler that counts more than one.
#[derive(Clone, Debug)]
pub(crate) struct Limited {
    key: Option<ApiKeyRow>,
    app: Option<AppId>,
}

impl Limited {
    /// Takes so many more requests out of the limits.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`], or 422 for more than the limit ever has at once.
    pub(crate) fn take(&self, state: &ApiState, requests: u32) -> Result<Option<Standing>, ApiError> {
        let Some(requests) = NonZeroU32::new(requests) else { return Ok(None) };
        let now = state.meter.since.elapsed();
        let of_key = self.key.as_ref().and_then(|key| state.control.limits().take_of_key(key, requests, now));
        let of_app = match self.app {
            Some(app) if of_key.is_none_or(|ruling| ruling.answer.is_ok()) => {
                state.control.take_of_app(app, requests, now)?
            }
            _ => None,
        };
        of_key.iter().chain(&of_app).for_each(|ruling| state.meter.count(ruling, requests));
        let Some(Ruling { answer, standing, .. }) = tighter(of_key, of_app) else { return Ok(None) };
        match answer {
            Ok(()) => Ok(Some(standing)),
            Err(Empty::For(wait)) => {
                let retry_after_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Err(ApiError::RateLimited { standing, retry_after_s })
            }
            Err(Empty::MoreThanFull) => {
                let msg = format!("has more messages than the rate limit allows at once, {}", standing.limit);
                Err(ApiError::invalid(["body"], msg, "value_error.list.max_items"))
            }
        }
    }
}

/// Takes one request out of the limits of its key and application, and leaves them with the request. None if there are
/// none.
///
/// # Errors
/// As [`Limited::take`].
pub(crate) fn take_one(
    state: &ApiState,
    parts: &mut Parts,
    key: &KnownKey,
    app: Option<AppId>,
) -> Result<Option<Standing>, ApiError> {
    let limited = Limited { key: key.row.clone(), app };
    let standing = limited.take(state, 1)?;
    parts.extensions.insert(limited);
    Ok(standing)
}

impl FromRequestParts<ApiState> for Limited {
    type Rejection = ApiError;

    /// Those of the request; no limit if there are none.
    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Limited, ApiError> {
        Ok(parts.extensions.remove().unwrap_or(Limited { key: None, app: None }))
    }
}

/// Tells the caller how much of its limit is left, if that was noted with the answer.
pub(crate) fn tell(state: &ApiState, response: &mut Response) {
    let Some(Standing { limit, remaining, full_in }) = response.extensions().get().copied() else { return };
    let full_ms = u64::try_from(full_in.as_millis()).unwrap_or(u64::MAX);
    let full_at = Timestamp(state.now().plus_ms(full_ms)).to_string();
    let headers = response.headers_mut();
    headers.insert(LIMIT, HeaderValue::from(limit));
    headers.insert(REMAINING, HeaderValue::from(remaining));
    // A time has no character that a header may not have.
    headers.extend(HeaderValue::try_from(full_at).ok().map(|value| (RESET, value)));
}
