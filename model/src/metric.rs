//! The names of all metrics, in one place; docs/METRICS.md explains each.
//!
//! Base units only (`_seconds`, `_bytes`, `_total`), and no label that a tenant can grow: never an endpoint or message
//! id.

/// Counter: messages accepted.
pub const INGEST_ACCEPTED: &str = "pinion_ingest_accepted_total";
/// Counter, label `reason`: messages refused.
pub const INGEST_REJECTED: &str = "pinion_ingest_rejected_total";
/// Histogram: one commit, from batch to durable.
pub const COMMIT_SECONDS: &str = "pinion_commit_duration_seconds";
/// Histogram: the fdatasync in it.
pub const FDATASYNC_SECONDS: &str = "pinion_fdatasync_duration_seconds";
/// Histogram: one checkpoint of the redo log.
pub const CHECKPOINT_SECONDS: &str = "pinion_checkpoint_duration_seconds";
/// Histogram: the time that a commit waited for a checkpoint.
pub const CHECKPOINT_WAIT_SECONDS: &str = "pinion_checkpoint_wait_seconds";
/// Counter, label `outcome`: backups that ended.
pub const BACKUPS: &str = "pinion_backups_total";
/// Counter: reads that met a damaged part of the log and passed it over.
pub const DAMAGED_READS: &str = "pinion_damaged_reads_total";
/// Histogram: events in one commit.
pub const COMMIT_EVENTS: &str = "pinion_commit_events";
/// Counter, label `outcome`: attempts made.
pub const ATTEMPTS: &str = "pinion_attempts_total";
/// Counter, label `lack`: attempts that were not made for want of something of ours; each is tried again.
pub const ATTEMPTS_NOT_MADE: &str = "pinion_attempts_not_made_total";
/// Counter, label `frame`: HTTP/2 connections closed because their receiver flooded them.
pub const HTTP2_ABUSE: &str = "pinion_http2_abuse_total";
/// Counter: connections to receivers that were closed because TLS brought too little of a message.
pub const TLS_ABUSE: &str = "pinion_tls_abuse_total";
/// Histogram: one attempt.
pub const ATTEMPT_SECONDS: &str = "pinion_attempt_duration_seconds";
/// Counter: deliveries that succeeded.
pub const DELIVERED: &str = "pinion_deliveries_succeeded_total";
/// Histogram: from acceptance to success.
pub const DELIVERY_SECONDS: &str = "pinion_delivery_latency_seconds";
/// Histogram: from due to started.
pub const SCHEDULE_LAG_SECONDS: &str = "pinion_schedule_lag_seconds";
/// Gauge: attempts in flight.
pub const IN_FLIGHT: &str = "pinion_attempts_in_flight";
/// Counter: offers that found a mailbox full.
pub const MAILBOX_FULL: &str = "pinion_mailbox_full_total";
/// Counter: messages that a content filter could not judge.
pub const FILTER_ERRORS: &str = "pinion_filter_errors_total";
/// Gauge: endpoints that read their deliveries from disk.
pub const BEHIND: &str = "pinion_endpoints_behind";
/// Gauge, label `shard`: the age of the oldest delivery that waits for its first try, in memory or on disk.
pub const OLDEST_SECONDS: &str = "pinion_oldest_undelivered_age_seconds";
/// Gauge, label `state`: endpoints with an actor by the state of their breaker.
pub const BREAKERS: &str = "pinion_breaker_endpoints";
/// Counter, label `to`: breaker transitions.
pub const BREAKER_TRANSITIONS: &str = "pinion_breaker_transitions_total";
/// Gauge: timers in the wheels.
pub const WHEEL_TIMERS: &str = "pinion_wheel_timers";
/// Gauge, label `thread`: the longest time in the last minute that a thread did nothing else.
pub const LONGEST_STALL_SECONDS: &str = "pinion_longest_stall_seconds";
/// Gauge: endpoint actors.
pub const ACTORS: &str = "pinion_endpoint_actors";
/// Counter: retries scheduled.
pub const RETRIES: &str = "pinion_retries_scheduled_total";
/// Counter, label `reason`: deliveries given up.
pub const DEAD_LETTERS: &str = "pinion_dead_letters_total";
/// Counter: dead letters that made room for newer ones of an application at its quota.
pub const DEAD_LETTERS_EVICTED: &str = "pinion_dead_letters_displaced_total";
/// Counter, label `reason`: endpoints disabled by their answers.
pub const ENDPOINTS_DISABLED: &str = "pinion_endpoints_disabled_total";
/// Warnings that half of the failed deliveries that disable an endpoint came in a row.
pub const ENDPOINT_WARNINGS: &str = "pinion_endpoint_warnings_total";
/// Counter, label `to`: switches between an endpoint and its backup.
pub const FAILOVERS: &str = "pinion_failover_total";
/// Gauge: bytes of payloads queued in memory.
pub const QUEUED_BYTES: &str = "pinion_queued_payload_bytes";
/// Gauge: the store on disk.
pub const STORE_BYTES: &str = "pinion_store_size_bytes";
/// Gauge: room that the store may grow by.
pub const DISK_FREE_BYTES: &str = "pinion_disk_free_bytes";
/// Counter, label `kind`: rows that retention removed.
pub const RETENTION_REMOVED: &str = "pinion_retention_removed_total";
/// Counter, label `kind`: bytes that retention removed.
pub const RETENTION_REMOVED_BYTES: &str = "pinion_retention_removed_bytes_total";
/// Counter: positions of the log that retention removed before an endpoint came to them.
pub const EXPIRED_UNTRIED: &str = "pinion_expired_untried_total";
/// Gauge, label `kind`: bytes retained.
pub const RETAINED_BYTES: &str = "pinion_retained_bytes";
/// Gauge: how far the time that retention goes by is behind the clock.
pub const RETENTION_LAG_SECONDS: &str = "pinion_retention_clock_lag_seconds";
/// Gauge, always 1, label `version`.
pub const BUILD_INFO: &str = "pinion_build_info";
/// Counter, labels `method`, `route`, `code`: API requests.
pub const API_REQUESTS: &str = "pinion_api_requests_total";
/// Histogram, labels `method`, `route`: API requests.
pub const API_SECONDS: &str = "pinion_api_request_duration_seconds";
/// Counter: API requests refused for want of a known key.
pub const API_UNAUTHORIZED: &str = "pinion_api_unauthorized_total";
/// Gauge: room taken by larger bodies of API requests.
pub const API_BODIES_BYTES: &str = "pinion_api_bodies_bytes";
/// Gauge: room taken by larger answers that API clients have not read yet.
pub const API_ANSWERS_BYTES: &str = "pinion_api_answers_bytes";
/// Counter, label `quota`: API requests that asked for more than an application may have.
pub const QUOTA_REFUSALS: &str = "pinion_quota_refusals_total";
/// Counter, labels `tier` and `outcome`: API requests that a limit was held against.
pub const API_RATE_LIMITED_REQUESTS: &str = "pinion_api_rate_limited_requests_total";
/// Gauge, label `quota`: how full it is for the application that uses most of it.
pub const QUOTA_USED_RATIO_MAX: &str = "pinion_quota_used_ratio_max";
/// Gauge, label `listener`: open connections of an HTTP listener.
pub const CONNECTIONS: &str = "pinion_http_connections";
/// Gauge, label `listener`: connections that it takes at once.
pub const CONNECTIONS_LIMIT: &str = "pinion_http_connections_limit";
/// Counter, label `listener`: connections that it accepted.
pub const CONNECTIONS_ACCEPTED: &str = "pinion_http_connections_accepted_total";
/// Counter, labels `listener`, `reason`: connections that it closed by itself.
pub const CONNECTIONS_CLOSED: &str = "pinion_http_connections_closed_total";
/// Counter, label `outcome`: changed or asked-for certificates of the API listener that were read.
pub const TLS_RELOADS: &str = "pinion_tls_reloads_total";
/// Gauge: when the API listener's certificate ends, in Unix time.
pub const TLS_CERTIFICATE_END: &str = "pinion_tls_certificate_end_timestamp_seconds";
/// Gauge, label `setting`: a configured time, to draw a bound beside the quantity it bounds.
pub const SETTING_SECONDS: &str = "pinion_setting_seconds";
/// Gauge, label `setting`: a configured size.
pub const SETTING_BYTES: &str = "pinion_setting_bytes";
/// Gauge, label `setting`: a configured speed.
pub const SETTING_BYTES_PER_SECOND: &str = "pinion_setting_bytes_per_second";
/// Gauge, label `setting`: a configured number of things.
pub const SETTING_NUMBER: &str = "pinion_setting_number";
