//! Proof of control: the receiver of an endpoint is asked before anything is sent to it, if its application says so.
//!
//! The command that creates an endpoint, or moves it to another origin, writes a new challenge with it. The endpoint's
//! shard sends that later and not the request that made the change.

use super::save_endpoint;
use crate::command::{At, Changed, Command, Reach, Repeatable};
use crate::error::Error;
use crate::find::EndpointName;
use crate::limits::VERIFY_EVERY_MS;
use engine::dispatch::{Guard, check_url};
use model::{AppId, Endpoint, EndpointId, EndpointRef, UnixMs, Verification, hex};
use storage::Txn;
use storage::tables::{application, endpoint};

/// Asks the receiver of an unverified endpoint for its proof now, once in ten seconds at most.
pub struct VerifyEndpoint {
    /// Which one.
    pub endpoint: EndpointName,
}

impl Command for VerifyEndpoint {
    const NAME: &'static str = "endpoint.verify";
    type Thing = Endpoint;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Endpoint>, Error> {
        let old = self.endpoint.find(txn)?;
        let before = old.verification.clone().filter(|before| before.verified_at.is_none());
        let before = before.ok_or_else(|| Error::Conflict("the endpoint has nothing to prove".into()))?;
        if old.disabled.is_some() {
            return Err(Error::EndpointDisabled);
        }
        if let Some(wait_ms) = wait_ms(before.asked_at, at.now) {
            let of = "verification of an endpoint in ten seconds";
            let again_after_s = Some(wait_ms.div_ceil(1_000));
            return Err(Error::QuotaExceeded { quota: "verifications", of, most: 1, again_after_s });
        }
        let verification = Some(Verification { next_at: Some(at.now), asked_at: Some(at.now), ..before });
        save_endpoint(txn, Some(old.clone()), Endpoint { verification, ..old })
    }
}

impl Repeatable for VerifyEndpoint {
    fn place(&self, txn: &Txn<'_>) -> Result<(AppId, String), Error> {
        let target = self.endpoint.find(txn)?.target();
        Ok((target.app, format!("verify/{}", target.endpoint.0)))
    }

    fn number(changed: &Endpoint) -> u64 {
        changed.id.0.into()
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Endpoint>, Error> {
        let Ok(number) = u32::try_from(number) else { return Ok(None) };
        Ok(endpoint::get(txn, EndpointRef { app: self.endpoint.app, endpoint: EndpointId(number) })?)
    }
}

/// Milliseconds until somebody may ask again; none for now. A clock that was set back holds nobody up.
fn wait_ms(asked_at: Option<UnixMs>, now: UnixMs) -> Option<u64> {
    let asked_at = asked_at.filter(|asked_at| *asked_at <= now)?;
    VERIFY_EVERY_MS.checked_sub(now.since_ms(asked_at)).filter(|wait_ms| *wait_ms > 0)
}

/// Gives an endpoint that is new, or has another origin than before, a challenge if its application wants one. Without
/// that, another origin has nothing to prove.
///
/// # Errors
/// [`Error::NotFound`] when the application is gone.
pub(super) fn challenge(
    at: &At<'_>,
    txn: &Txn<'_>,
    before: Option<&Endpoint>,
    row: &mut Endpoint,
) -> Result<(), Error> {
    if before.is_some_and(|before| is_same_origin(&before.url, &row.url, &at.rules.guard)) {
        return Ok(());
    }
    let app = application::get(txn, row.app)?.ok_or(Error::NotFound("application"))?;
    row.verification = app.verification.then(|| Verification::new(hex(&at.draw.challenge), at.now));
    Ok(())
}

/// True if two URLs have the same scheme, host and port. One that cannot be read has an origin of its own.
fn is_same_origin(one: &str, other: &str, guard: &Guard) -> bool {
    if one == other {
        return true;
    }
    let (Ok(one), Ok(other)) = (check_url(one, guard), check_url(other, guard)) else { return false };
    one.uri().scheme() == other.uri().scheme() && one.host_and_port() == other.host_and_port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let guard = Guard::default();
        let same = |one: &str, other: &str| is_same_origin(one, other, &guard);
        assert!(same("https://a.example/x", "https://A.example/y?z=1"));
        assert!(same("https://***@a.example/x", "https://a.example/x"));
        for other in ["http://a.example/x", "https://b.example/x", "https://a.example:8443/x", "nonsense"] {
            assert!(!same("https://a.example/x", other), "{other}");
        }
    }

    #[test]
    fn somebody_may_ask_once_in_ten_seconds_whatever_the_clock_did() {
        let at = |asked: u64, now: u64| wait_ms(Some(UnixMs(asked)), UnixMs(now));
        assert_eq!((at(1_000, 1_000), at(1_000, 10_999), at(1_000, 11_000)), (Some(10_000), Some(1), None));
        assert_eq!((at(5_000, 1_000), wait_ms(None, UnixMs(0))), (None, None));
    }
}
