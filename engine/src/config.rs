//! Every bound and default of the engine in one place, checked before anything starts.
//!
//! Plain values: where they come from (flags, environment, file) is the server's business.

use crate::dispatch::{Egress, KeptDetails, RootCertificate, SignatureHeaders};
use crate::retention::Limits;
use ipnet::IpNet;
use model::{ClientErrorPolicy, RetryPolicy};
use std::ops::RangeInclusive;
use storage::writer::WriterQuotas;

/// Bounds and defaults. [`EngineConfig::default`] is what the documentation states.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Threads that deliver, each with its own endpoints, wheel and connections; 1 to 256. Default: the cores.
    pub shards: usize,
    /// Address ranges that are allowed as targets although they are special (loopback, private, …).
    pub allow_targets: Vec<IpNet>,
    /// Ports that targets may be on; none means any.
    pub target_ports: Vec<RangeInclusive<u16>>,
    /// Under which names deliveries carry id, timestamp and signature. Default: both.
    pub signature_headers: SignatureHeaders,
    /// The URL under which receivers reach this server's API, without a slash at its end; empty for none. It begins the
    /// URL of a payload that is sent as a reference.
    pub public_url: String,
    /// The kind of the signing secrets that are made for endpoints that bring none. Default: HMAC-SHA256.
    pub secret_kind: SecretKind,
    /// Targets must be `https`.
    pub https_only: bool,
    /// Root certificates that are trusted for targets besides Mozilla's; [`crate::dispatch::read_roots`] reads them.
    pub extra_roots: Vec<RootCertificate>,
    /// The proxy that targets are reached through; none means directly.
    pub egress: Option<Egress>,
    /// For endpoints without a policy of their own.
    pub retry_policy: RetryPolicy,
    /// Effect of a 4xx without a meaning of its own, for endpoints that do not say.
    pub on_client_error: ClientErrorPolicy,
    /// Deadline of one attempt, from name resolution to the last byte of the answer; 100 to 120,000.
    pub attempt_timeout_ms: u32,
    /// Attempts at once to one endpoint that does not say; 1 to 512.
    pub max_in_flight_per_endpoint: u16,
    /// Attempts at once on one shard; 1 to 65,536. One application may have half of them, and less while others have
    /// some: see `fairness`.
    pub max_in_flight_per_shard: usize,
    /// Deliveries that wait in memory for one endpoint; the rest waits on disk; 1 to 65,536.
    pub mailbox_capacity: usize,
    /// Bytes of payloads that wait in memory on one shard, over all its endpoints. Each endpoint may have its equal
    /// share even when others have taken more, so all together may hold twice this, and one event each.
    pub queue_memory_bytes_per_shard: usize,
    /// Retries of one endpoint held in memory, nearest first; the rest waits on disk; 1 to 65,536.
    pub retries_in_memory: usize,
    /// An endpoint that only failed for this long is disabled; 0 switches this off. Default: 5 days.
    pub disable_after_failing_ms: u64,
    /// An endpoint without work for this long gives up its actor.
    pub retire_after_idle_ms: u64,
    /// The attempts that keep details in the history. Default: those that did not succeed.
    pub attempt_details: KeptDetails,
    /// Bytes of a response body kept in the attempt history; at most 4,096.
    pub response_kept_bytes: usize,
    /// Bytes of a response body read before the connection is dropped.
    pub response_read_bytes: usize,
    /// Messages are refused while the disk has less room than this, so that deliveries can go on being settled; 0
    /// switches this off. More than what may wait for the writer and what one checkpoint writes.
    pub disk_reserve_bytes: u64,
    /// Requests that wait for the writer; more are refused as busy.
    pub ingest_queue_capacity: usize,
    /// Bytes of payloads that wait for the writer; more are refused as busy.
    pub ingest_queue_bytes: usize,
    /// Bytes of commits that wait for a backup while it reads the rest; a backup that lags further behind ends.
    pub backup_queue_bytes: usize,
    /// Events in one commit at most.
    pub commit_max_events: usize,
    /// Time in ms for which an `Idempotency-Key` is remembered.
    pub idempotency_ms: u64,
    /// Most dead letters and idempotency keys that an application may have.
    pub quotas: WriterQuotas,
    /// Limits of the past that is kept.
    pub retention: Limits,
    /// Interval in ms at which retention looks for rows past their limits.
    pub retention_period_ms: u64,
    /// Time in ms that a stop waits for attempts in flight.
    pub drain_timeout_ms: u64,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        const MIB: usize = 1 << 20;
        const HOUR_MS: u64 = 3_600_000;
        EngineConfig {
            shards: std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(256),
            allow_targets: Vec::new(),
            target_ports: Vec::new(),
            signature_headers: SignatureHeaders::default(),
            public_url: String::new(),
            secret_kind: SecretKind::default(),
            https_only: false,
            extra_roots: Vec::new(),
            egress: None,
            retry_policy: RetryPolicy::standard(),
            on_client_error: ClientErrorPolicy::Retry,
            attempt_timeout_ms: 15_000,
            max_in_flight_per_endpoint: 64,
            max_in_flight_per_shard: 8_192,
            mailbox_capacity: 4_096,
            queue_memory_bytes_per_shard: 32 * MIB,
            retries_in_memory: 256,
            disable_after_failing_ms: 120 * HOUR_MS,
            retire_after_idle_ms: 30_000,
            attempt_details: KeptDetails::default(),
            response_kept_bytes: 1_024,
            response_read_bytes: 64 * 1024,
            disk_reserve_bytes: 256 * MIB as u64,
            ingest_queue_capacity: 4_096,
            ingest_queue_bytes: 64 * MIB,
            backup_queue_bytes: 64 * MIB,
            commit_max_events: 4_096,
            idempotency_ms: 24 * HOUR_MS,
            quotas: WriterQuotas::default(),
            retention: Limits {
                events_ms: 30 * 24 * HOUR_MS,
                attempts_ms: 30 * 24 * HOUR_MS,
                jobs_ms: 30 * 24 * HOUR_MS,
                jobs_of_app: 1_000,
                dead_letters_ms: 30 * 24 * HOUR_MS,
                audit_ms: 365 * 24 * HOUR_MS,
                audit_records: 1_000_000,
                bytes: 0,
            },
            retention_period_ms: 10_000,
            drain_timeout_ms: 8_000,
        }
    }
}

/// The kind of a signing secret that is made here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecretKind {
    /// `whsec_…`: HMAC-SHA256, whose receiver knows the key.
    #[default]
    Hmac,
    /// `whsk_…`: ed25519, whose receiver knows the public key only.
    Ed25519,
}

impl SecretKind {
    /// The kind of a secret in its text form.
    #[must_use]
    pub fn of(text: &str) -> SecretKind {
        if text.starts_with("whsk_") { SecretKind::Ed25519 } else { SecretKind::Hmac }
    }
}

/// A setting outside its bounds.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field} must be between {least} and {most}")]
pub struct InvalidConfig {
    /// The setting's name.
    pub field: &'static str,
    /// Its least value.
    pub least: u64,
    /// Its greatest value.
    pub most: u64,
}

impl EngineConfig {
    /// Checks every bound.
    ///
    /// # Errors
    /// The first setting that is out of its bounds.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        for (field, value, least, most) in self.bounds() {
            if value < least || value > most {
                return Err(InvalidConfig { field, least, most });
            }
        }
        Ok(())
    }

    /// Every number with its bounds, both included: field, value, least, most.
    #[must_use]
    pub fn bounds(&self) -> [(&'static str, u64, u64, u64); 30] {
        const DAY_MS: u64 = 86_400_000;
        const MIB: u64 = 1 << 20;
        [
            ("shards", self.shards as u64, 1, 256),
            ("attempt_timeout_ms", self.attempt_timeout_ms.into(), 100, 120_000),
            ("max_in_flight_per_endpoint", self.max_in_flight_per_endpoint.into(), 1, 512),
            ("max_in_flight_per_shard", self.max_in_flight_per_shard as u64, 1, 65_536),
            ("mailbox_capacity", self.mailbox_capacity as u64, 1, 65_536),
            ("queue_memory_bytes_per_shard", self.queue_memory_bytes_per_shard as u64, MIB, 1 << 40),
            ("retries_in_memory", self.retries_in_memory as u64, 1, 65_536),
            ("disable_after_failing_ms", self.disable_after_failing_ms, 0, 365 * DAY_MS),
            ("retire_after_idle_ms", self.retire_after_idle_ms, 100, DAY_MS),
            ("response_kept_bytes", self.response_kept_bytes as u64, 0, 4_096),
            ("response_read_bytes", self.response_read_bytes as u64, 1_024, 16 * MIB),
            ("disk_reserve_bytes", self.disk_reserve_bytes, 0, 1 << 60),
            ("ingest_queue_capacity", self.ingest_queue_capacity as u64, 1, 1 << 20),
            ("ingest_queue_bytes", self.ingest_queue_bytes as u64, MIB, 1 << 40),
            ("backup_queue_bytes", self.backup_queue_bytes as u64, MIB, 1 << 40),
            ("commit_max_events", self.commit_max_events as u64, 1, 65_536),
            ("idempotency_ms", self.idempotency_ms, 0, 30 * DAY_MS),
            ("quotas.dead_letters", self.quotas.dead_letters.into(), 1, 1 << 31),
            ("quotas.idempotency_keys", self.quotas.idempotency_keys.into(), 1, 1 << 31),
            ("quotas.scheduled_messages", self.quotas.scheduled_messages.into(), 1, 1 << 31),
            ("retention.events_ms", self.retention.events_ms, 0, 3_650 * DAY_MS),
            ("retention.attempts_ms", self.retention.attempts_ms, 0, 3_650 * DAY_MS),
            ("retention.jobs_ms", self.retention.jobs_ms, 0, 3_650 * DAY_MS),
            ("retention.jobs_of_app", self.retention.jobs_of_app.into(), 0, 10_000_000),
            ("retention.dead_letters_ms", self.retention.dead_letters_ms, 0, 3_650 * DAY_MS),
            ("retention.audit_ms", self.retention.audit_ms, 0, 3_650 * DAY_MS),
            ("retention.audit_records", self.retention.audit_records, 0, 100_000_000),
            ("retention.bytes", self.retention.bytes, 0, 1 << 60),
            ("retention_period_ms", self.retention_period_ms, 10, DAY_MS),
            ("drain_timeout_ms", self.drain_timeout_ms, 0, 600_000),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_bounds() {
        assert_eq!(EngineConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_setting_out_of_bounds_is_named() {
        let config = EngineConfig { shards: 0, ..EngineConfig::default() };
        assert_eq!(config.validate().unwrap_err().field, "shards");
    }
}
