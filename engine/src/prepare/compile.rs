//! From an endpoint's row to its plan: secrets opened, headers checked, policies filled in with defaults.

use super::effective::effective;
use super::failover::FailoverPolicy;
use super::filter::Filter;
use super::headers::fixed_headers;
use super::plan::{BackupSending, LanePolicy, Plan, Sending, TimedKey, Unmakeable};
use super::reference::Reference;
use super::sign::SigningKey;
use super::signature_format::Form;
use crate::config::EngineConfig;
use crate::dispatch::{CheckedUrl, Guard, OwnRoots, Target, check_url, join_user_info};
use crate::seal::{MasterKey, SealContext, SealPurpose};
use model::{AppSettings, Endpoint, Failover, PayloadMode, Policy, SealedBytes, SecretBytes, UnixMs};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Compiles plans.
pub struct Compiler {
    /// Bounds and defaults.
    pub config: Arc<EngineConfig>,
    /// Opens secrets.
    pub master: Arc<MasterKey>,
    /// Judges URLs.
    pub guard: Arc<Guard>,
}

impl Compiler {
    /// The plan of an endpoint's row whose URL has this number, in an application with these settings. Secrets that have
    /// expired by `now` are left out.
    #[must_use]
    pub fn plan(&self, row: &Endpoint, app: Option<&AppSettings>, url_number: u32, now: UnixMs) -> Plan {
        self.plan_with(row, app, url_number, None, now)
    }

    /// The same for an endpoint that may have a failover: `backup` is the row that it names, while there is one.
    #[must_use]
    pub fn plan_with(
        &self,
        row: &Endpoint,
        app: Option<&AppSettings>,
        url_number: u32,
        backup: Option<&Endpoint>,
        now: UnixMs,
    ) -> Plan {
        let (config, own, nothing) = (&self.config, row.policy(), Policy::default());
        let found = effective(&own, app.map_or(&nothing, |app| &app.policy), config);
        Plan {
            filter: Filter::of(row),
            policy: LanePolicy {
                retry: found.retry_policy.value.clone(),
                on_client_error: found.on_client_error.value,
                disable_after_failing_ms: config.disable_after_failing_ms,
                rate_limit: row.rate_limit,
                burst: row.burst,
                disable_after_failed_deliveries: found.disable_after_failed_deliveries.value,
                max_in_flight: found.max_in_flight.value,
                disabled: row.disabled.is_some(),
                order: row.order,
                on_give_up: row.on_give_up,
                paused: row.is_held(),
                failover: row.failover.as_ref().map(|failover| policy_of(failover, backup)),
            },
            url_number,
            timeout_ms: found.timeout_ms.value,
            details: config.attempt_details,
            sending: Arc::new(self.sending(row, now)),
            backup: row.failover.as_ref().zip(backup).map(|(failover, backup)| {
                Arc::new(BackupSending { sending: self.sending(backup, now), url_number: failover.url_number })
            }),
            own: (own != nothing).then(|| Box::new(own)),
        }
    }

    /// The same revision of an endpoint in an application whose policy is this now. Opens no secret: what is inherited lies
    /// in none.
    #[must_use]
    pub fn inherited(&self, plan: &Plan, app: &Policy) -> Plan {
        let nothing = Policy::default();
        let found = effective(plan.own.as_deref().unwrap_or(&nothing), app, &self.config);
        Plan {
            filter: plan.filter.clone(),
            policy: LanePolicy {
                retry: found.retry_policy.value.clone(),
                on_client_error: found.on_client_error.value,
                max_in_flight: found.max_in_flight.value,
                disable_after_failed_deliveries: found.disable_after_failed_deliveries.value,
                ..plan.policy.clone()
            },
            url_number: plan.url_number,
            timeout_ms: found.timeout_ms.value,
            details: plan.details,
            sending: plan.sending.clone(),
            backup: plan.backup.clone(),
            own: plan.own.clone(),
        }
    }

    fn sending(&self, row: &Endpoint, now: UnixMs) -> Result<Sending, Unmakeable> {
        let url = self.url(row)?;
        let keys = self.keys(row, now)?;
        let custom = self.custom_headers(row)?;
        let custom = custom.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = fixed_headers(url.authorization(), custom).map_err(Unmakeable::here)?;
        let own_roots = match &*row.ca_pem {
            "" => None,
            pem => Some(OwnRoots::new(pem, &self.config.extra_roots).map_err(Unmakeable::here)?),
        };
        let form = match &row.signature_format {
            None => None,
            Some(format) => Some(Box::new(Form::of(format, &headers).map_err(Unmakeable::here)?)),
        };
        let mut target =
            Target::new(&url, headers, self.config.signature_headers, own_roots).map_err(Unmakeable::here)?;
        if form.as_ref().is_some_and(|form| !form.is_standard()) {
            target = target.without_signature();
        }
        let reference = match &row.payload_mode {
            None | Some(PayloadMode::Full) => None,
            Some(PayloadMode::Reference { app }) => Some(Box::new(Reference::new(&self.config.public_url, app))),
        };
        Ok(Sending { target: Arc::new(target), keys, form, reference })
    }

    /// The URL with its user name and password, if it has some.
    fn url(&self, row: &Endpoint) -> Result<CheckedUrl, Unmakeable> {
        let Some(sealed) = &row.sealed_user_info else { return Ok(check_url(&row.url, &self.guard)?) };
        let opened = self.open(row, SealPurpose::UserInfo, sealed)?;
        let user_info =
            std::str::from_utf8(opened.expose()).map_err(|_| Unmakeable::here("a user name is not text"))?;
        Ok(check_url(&join_user_info(&row.url, user_info), &self.guard)?)
    }

    fn keys(&self, row: &Endpoint, now: UnixMs) -> Result<Vec<TimedKey>, Unmakeable> {
        let mut keys = Vec::with_capacity(row.secrets.len());
        for secret in row.secrets.iter().filter(|secret| secret.expires_at.is_none_or(|at| at > now)) {
            let opened = self.open(row, SealPurpose::SigningSecret, &secret.sealed)?;
            let text =
                std::str::from_utf8(opened.expose()).map_err(|_| Unmakeable::here("a signing secret is not text"))?;
            let key = SigningKey::parse(text).map_err(Unmakeable::here)?;
            keys.push(TimedKey { key, expires_at: secret.expires_at });
        }
        if keys.is_empty() { Err(Unmakeable::unsigned()) } else { Ok(keys) }
    }

    fn custom_headers(&self, row: &Endpoint) -> Result<BTreeMap<String, String>, Unmakeable> {
        let Some(sealed) = &row.sealed_headers else { return Ok(BTreeMap::new()) };
        let opened = self.open(row, SealPurpose::Headers, sealed)?;
        serde_json::from_slice(opened.expose()).map_err(|_| Unmakeable::here("the stored headers are not readable"))
    }

    fn open(&self, row: &Endpoint, purpose: SealPurpose, sealed: &SealedBytes) -> Result<SecretBytes, Unmakeable> {
        let context = SealContext { app: row.app, endpoint: row.id, purpose };
        self.master.open(sealed, context).map_err(Unmakeable::here)
    }
}

fn policy_of(failover: &Failover, backup: Option<&Endpoint>) -> FailoverPolicy {
    FailoverPolicy {
        backup: failover.backup,
        threshold: failover.threshold,
        auto_switch: failover.auto_switch,
        auto_return: failover.auto_return,
        probe_interval_ms: u64::from(failover.probe_interval_minutes) * 60_000,
        to_backup: failover.to_backup,
        switches: failover.switches,
        since: failover.since().unwrap_or_default(),
        backup_ready: backup.is_some_and(|backup| backup.disabled.is_none() && !backup.is_held()),
    }
}
