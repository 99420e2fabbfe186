//! Merges the layers of settings into one configuration, and remembers the source of each value.
//!
//! This is the only file that maps settings to the configuration. A new setting is one line in [`apply`] and one in
//! [`settings_of`], and a test fails when either is missing.

use super::file::{self, FileSettings};
use super::settings::{Details, Kind, Names, OnClientError, RetryJitter, Settings};
use super::units::{ApiTier, CorsOrigin, Exception, PortRange, Range, Schedule, Size, Span};
use super::{Config, ConfigError};
use clap::ArgMatches;
use clap::parser::ValueSource;
use engine::EngineConfig;
use engine::config::SecretKind;
use engine::dispatch::SignatureHeaders;
use model::{ClientErrorPolicy, Jitter, RetryPolicy, Spacing};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// No layer set it.
    Default,
    /// A line of the file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { path, line } => write!(f, "{}:{line}", path.display()),
            Source::Environment(variable) => f.write_str(variable),
            Source::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// A checked configuration.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The merged configuration.
    pub(crate) config: Config,
    /// The source of each setting by name; a setting that is missing here has its default.
    pub(crate) sources: BTreeMap<String, Source>,
}

impl Loaded {
    /// The source of `setting`.
    pub(crate) fn source(&self, setting: &str) -> &Source {
        self.sources.get(setting).unwrap_or(&Source::Default)
    }
}

/// Reads the file and puts flags and environment, which clap has read already, over it.
///
/// # Errors
/// An invalid file, or a value out of its bounds: the first one.
pub(crate) fn load(
    file_path: Option<&Path>,
    command_line: Settings,
    matches: &ArgMatches,
) -> Result<Loaded, ConfigError> {
    let file = file::read(file_path)?;
    merge(file, command_line, |name| matches_source(matches, name))
}

/// The source of a setting that clap read.
fn matches_source(matches: &ArgMatches, name: &str) -> Option<Source> {
    let upper = name.to_uppercase();
    match matches.value_source(name)? {
        ValueSource::CommandLine => Some(Source::Flag(flag_name(name))),
        ValueSource::EnvVariable => Some(Source::Environment(format!("PINION_{upper}"))),
        _ => None,
    }
}

/// The flag of a setting.
fn flag_name(setting: &str) -> String {
    match setting {
        "allow_targets" => "allow-target".to_owned(),
        "ca_files" => "ca-file".to_owned(),
        "api_tiers" => "api-tier".to_owned(),
        "cors_origins" => "cors-origin".to_owned(),
        _ => setting.replace('_', "-"),
    }
}

/// Puts the layers over each other and checks the result. `source_of` gives the source of a setting of the command
/// line.
pub(super) fn merge(
    file: Option<FileSettings>,
    command_line: Settings,
    source_of: impl Fn(&str) -> Option<Source>,
) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded { config: Config::default(), sources: BTreeMap::new() };
    if let Some(FileSettings { path, settings, lines }) = file {
        for (name, line) in lines {
            loaded.sources.insert(name, Source::File { path: path.clone(), line });
        }
        apply(&mut loaded.config, settings);
    }
    for name in names(&command_line) {
        if let Some(source) = source_of(&name) {
            loaded.sources.insert(name, source);
        }
    }
    apply(&mut loaded.config, command_line);
    super::bounds::check(&loaded)?;
    Ok(loaded)
}

/// The names of the settings that a layer sets.
pub(super) fn names(settings: &Settings) -> Vec<String> {
    toml::Table::try_from(settings).map(|table| table.into_iter().map(|(name, _)| name).collect()).unwrap_or_default()
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

/// A number of the file in the width that the configuration has; the bounds catch a number that does not fit.
fn narrow<T: TryFrom<u64>>(value: u64, largest: T) -> T {
    T::try_from(value).unwrap_or(largest)
}

/// Puts the values of `settings` into `config`.
pub(super) fn apply(config: &mut Config, mut settings: Settings) {
    apply_api(config, &settings);
    set(&mut config.listen, settings.listen);
    config.tls_cert = settings.tls_cert.take().or(config.tls_cert.take());
    config.tls_key = settings.tls_key.take().or(config.tls_key.take());
    let origins = settings.cors_origins.take().map(|list| list.into_iter().map(|CorsOrigin(origin)| origin).collect());
    set(&mut config.cors_origins, origins);
    let tiers = settings.api_tiers.take().map(|list| list.into_iter().map(|ApiTier(tier)| tier).collect());
    set(&mut config.api_tiers, tiers);
    config.default_api_tier = settings.default_api_tier.take().or(config.default_api_tier.take());
    set(&mut config.metrics_listen, settings.metrics_listen);
    set(&mut config.data_dir, settings.data_dir.take());
    set(&mut config.ca_files, settings.ca_files.take());
    config.egress_proxy = settings.egress_proxy.take().or(config.egress_proxy.take());
    let except = settings.egress_proxy_except.take();
    let except = except.map(|list| list.into_iter().map(|Exception(except)| except).collect());
    set(&mut config.egress_proxy_except, except);
    config.root_key_file = settings.root_key_file.take().or(config.root_key_file.take());
    config.master_key_file = settings.master_key_file.take().or(config.master_key_file.take());
    set(&mut config.log_format, settings.log_format);
    set(&mut config.log_level, settings.log_level.take());
    set(&mut config.store_cache_bytes, settings.store_cache_bytes.map(|Size(bytes)| bytes));
    set(&mut config.store_log_bytes, bytes(settings.store_log_bytes));
    apply_engine(&mut config.engine, settings);
}

/// A size in bytes as this machine counts them.
fn bytes(size: Option<Size>) -> Option<usize> {
    size.map(|Size(bytes)| narrow(bytes, usize::MAX))
}

/// The part of [`apply`] for the listener and the API.
fn apply_api(config: &mut Config, settings: &Settings) {
    let http = &mut config.http;
    set(&mut http.max_connections, settings.max_connections);
    set(&mut http.max_url_bytes, bytes(settings.max_url_bytes));
    set(&mut http.max_header_bytes, bytes(settings.max_header_bytes));
    set(&mut http.header_read_timeout_ms, settings.header_read_timeout_ms.map(|Span(ms)| ms));

    let api = &mut config.api;
    set(&mut api.body_bytes, bytes(settings.max_body_bytes));
    set(&mut api.batch_body_bytes, bytes(settings.max_batch_body_bytes));
    set(&mut api.bodies_bytes, bytes(settings.max_bodies_bytes));
    set(&mut api.answers_bytes, bytes(settings.max_answers_bytes));
    set(&mut api.body_bytes_per_s, bytes(settings.min_body_bytes_per_s));
    set(&mut api.batch_items, settings.max_batch_items);
    set(&mut api.concurrent_requests, settings.max_concurrent_requests);
    set(&mut api.request_timeout, settings.request_timeout_ms.map(|Span(ms)| Duration::from_millis(ms)));
    let quotas = &mut api.quotas;
    set(&mut quotas.endpoints, settings.max_endpoints_per_app);
    set(&mut quotas.api_keys, settings.max_api_keys_per_app);
    set(&mut quotas.event_types, settings.max_event_types);
    set(&mut quotas.running_jobs, settings.max_running_jobs_per_app);
    set(&mut quotas.jobs, settings.max_jobs_per_app);
}

/// The part of [`apply`] for the engine.
fn apply_engine(engine: &mut EngineConfig, settings: Settings) {
    set(&mut engine.shards, settings.shards);
    set(&mut engine.allow_targets, settings.allow_targets.map(|list| list.into_iter().map(|Range(net)| net).collect()));
    set(
        &mut engine.target_ports,
        settings.target_ports.map(|list| list.into_iter().map(|PortRange(ports)| ports).collect()),
    );
    set(&mut engine.attempt_timeout_ms, settings.attempt_timeout_ms.map(|Span(ms)| narrow(ms, u32::MAX)));
    set(&mut engine.max_in_flight_per_endpoint, settings.max_in_flight);
    set(&mut engine.max_in_flight_per_shard, settings.max_in_flight_per_shard);
    set(&mut engine.mailbox_capacity, settings.mailbox_capacity);
    set(&mut engine.queue_memory_bytes_per_shard, bytes(settings.queue_memory_bytes_per_shard));
    set(&mut engine.retries_in_memory, settings.retries_in_memory);
    set(&mut engine.disable_after_failing_ms, settings.disable_after_failing_hours.map(|Span(ms)| ms));
    set(&mut engine.retire_after_idle_ms, settings.retire_after_idle_ms.map(|Span(ms)| ms));
    set(&mut engine.attempt_details, settings.attempt_details.map(Into::into));
    set(&mut engine.response_kept_bytes, bytes(settings.response_kept_bytes));
    set(&mut engine.response_read_bytes, bytes(settings.response_read_bytes));
    set(&mut engine.disk_reserve_bytes, settings.disk_reserve_bytes.map(|Size(bytes)| bytes));
    set(&mut engine.ingest_queue_capacity, settings.ingest_queue_capacity);
    set(&mut engine.ingest_queue_bytes, bytes(settings.ingest_queue_bytes));
    set(&mut engine.backup_queue_bytes, bytes(settings.backup_queue_bytes));
    set(&mut engine.commit_max_events, settings.commit_max_events);
    set(&mut engine.idempotency_ms, settings.idempotency_hours.map(|Span(ms)| ms));
    set(&mut engine.quotas.dead_letters, settings.max_dead_letters_per_app);
    set(&mut engine.quotas.idempotency_keys, settings.max_idempotency_keys_per_app);
    set(&mut engine.quotas.scheduled_messages, settings.max_scheduled_messages_per_app);
    let retention = &mut engine.retention;
    set(&mut retention.events_ms, settings.retain_events_hours.map(|Span(ms)| ms));
    set(&mut retention.attempts_ms, settings.retain_attempts_hours.map(|Span(ms)| ms));
    set(&mut retention.jobs_ms, settings.retain_jobs_hours.map(|Span(ms)| ms));
    set(&mut retention.jobs_of_app, settings.retain_jobs_per_app);
    set(&mut retention.dead_letters_ms, settings.retain_dead_letters_hours.map(|Span(ms)| ms));
    set(&mut retention.bytes, settings.retain_bytes.map(|Size(bytes)| bytes));
    set(&mut retention.audit_ms, settings.retain_audit_hours.map(|Span(ms)| ms));
    set(&mut retention.audit_records, settings.retain_audit_records);
    set(&mut engine.drain_timeout_ms, settings.drain_timeout_ms.map(|Span(ms)| ms));
    set(&mut engine.on_client_error, settings.on_client_error.map(client_error_policy));
    set(&mut engine.retry_policy.jitter, settings.retry_jitter.map(jitter));
    set(&mut engine.https_only, settings.https_only);
    set(&mut engine.signature_headers, settings.signature_headers.map(signature_headers));
    set(&mut engine.public_url, settings.public_url.map(|url| url.trim_end_matches('/').to_owned()));
    set(&mut engine.secret_kind, settings.secret_kind.map(secret_kind));
    if let Some(Schedule(gaps)) = settings.retry_schedule {
        let delays_ms = gaps.into_iter().map(|Span(ms)| ms).collect();
        engine.retry_policy = schedule(delays_ms, engine.retry_policy.jitter);
    }
}

/// The policy of a list of gaps: one attempt more than there are gaps.
fn schedule(delays_ms: Vec<u64>, jitter: Jitter) -> RetryPolicy {
    RetryPolicy {
        max_attempts: narrow(delays_ms.len() as u64 + 1, u16::MAX),
        max_delay_ms: delays_ms.iter().copied().max().unwrap_or(0).max(RetryPolicy::standard().max_delay_ms),
        spacing: Spacing::Schedule { delays_ms },
        jitter,
    }
}

fn client_error_policy(setting: OnClientError) -> ClientErrorPolicy {
    match setting {
        OnClientError::Retry => ClientErrorPolicy::Retry,
        OnClientError::DeadLetter => ClientErrorPolicy::DeadLetter,
    }
}

fn signature_headers(setting: Names) -> SignatureHeaders {
    match setting {
        Names::Webhook => SignatureHeaders::Webhook,
        Names::Svix => SignatureHeaders::Svix,
        Names::Both => SignatureHeaders::Both,
    }
}

fn secret_kind(setting: Kind) -> SecretKind {
    match setting {
        Kind::Hmac => SecretKind::Hmac,
        Kind::Ed25519 => SecretKind::Ed25519,
    }
}

fn jitter(setting: RetryJitter) -> Jitter {
    match setting {
        RetryJitter::None => Jitter::None,
        RetryJitter::Proportional => Jitter::Proportional,
        RetryJitter::Equal => Jitter::Equal,
        RetryJitter::Full => Jitter::Full,
        RetryJitter::Additive => Jitter::Additive,
    }
}

/// The layer that would give exactly `config`, as `--print-config` shows it.
pub(super) fn settings_of(config: &Config) -> Settings {
    Settings {
        listen: Some(config.listen),
        tls_cert: config.tls_cert.clone(),
        tls_key: config.tls_key.clone(),
        cors_origins: Some(config.cors_origins.iter().cloned().map(CorsOrigin).collect()),
        metrics_listen: Some(config.metrics_listen),
        data_dir: Some(config.data_dir.clone()),
        egress_proxy: config.egress_proxy.clone(),
        egress_proxy_except: Some(config.egress_proxy_except.iter().cloned().map(Exception).collect()),
        ca_files: Some(config.ca_files.clone()),
        root_key_file: config.root_key_file.clone(),
        master_key_file: config.master_key_file.clone(),
        log_format: Some(config.log_format),
        log_level: Some(config.log_level.clone()),
        max_connections: Some(config.http.max_connections),
        max_url_bytes: size(config.http.max_url_bytes),
        max_header_bytes: size(config.http.max_header_bytes),
        header_read_timeout_ms: Some(Span(config.http.header_read_timeout_ms)),
        max_body_bytes: size(config.api.body_bytes),
        max_batch_body_bytes: size(config.api.batch_body_bytes),
        max_bodies_bytes: size(config.api.bodies_bytes),
        max_answers_bytes: size(config.api.answers_bytes),
        min_body_bytes_per_s: size(config.api.body_bytes_per_s),
        max_batch_items: Some(config.api.batch_items),
        max_concurrent_requests: Some(config.api.concurrent_requests),
        request_timeout_ms: Some(Span(u64::try_from(config.api.request_timeout.as_millis()).unwrap_or(u64::MAX))),
        api_tiers: Some(config.api_tiers.iter().cloned().map(ApiTier).collect()),
        default_api_tier: config.default_api_tier.clone(),
        max_endpoints_per_app: Some(config.api.quotas.endpoints),
        max_api_keys_per_app: Some(config.api.quotas.api_keys),
        max_event_types: Some(config.api.quotas.event_types),
        max_running_jobs_per_app: Some(config.api.quotas.running_jobs),
        max_jobs_per_app: Some(config.api.quotas.jobs),
        store_cache_bytes: Some(Size(config.store_cache_bytes)),
        store_log_bytes: size(config.store_log_bytes),
        ..engine_settings(&config.engine)
    }
}

fn size(bytes: usize) -> Option<Size> {
    Some(Size(bytes as u64))
}

/// The part of [`settings_of`] from the engine's configuration.
fn engine_settings(engine: &EngineConfig) -> Settings {
    let retry_policy = &engine.retry_policy;
    Settings {
        allow_targets: Some(engine.allow_targets.iter().copied().map(Range).collect()),
        https_only: Some(engine.https_only),
        signature_headers: Some(match engine.signature_headers {
            SignatureHeaders::Webhook => Names::Webhook,
            SignatureHeaders::Svix => Names::Svix,
            SignatureHeaders::Both => Names::Both,
        }),
        public_url: (!engine.public_url.is_empty()).then(|| engine.public_url.clone()),
        secret_kind: Some(match engine.secret_kind {
            SecretKind::Hmac => Kind::Hmac,
            SecretKind::Ed25519 => Kind::Ed25519,
        }),
        target_ports: Some(engine.target_ports.iter().cloned().map(PortRange).collect()),
        max_dead_letters_per_app: Some(engine.quotas.dead_letters),
        max_idempotency_keys_per_app: Some(engine.quotas.idempotency_keys),
        max_scheduled_messages_per_app: Some(engine.quotas.scheduled_messages),
        drain_timeout_ms: Some(Span(engine.drain_timeout_ms)),
        disk_reserve_bytes: Some(Size(engine.disk_reserve_bytes)),
        ingest_queue_capacity: Some(engine.ingest_queue_capacity),
        ingest_queue_bytes: size(engine.ingest_queue_bytes),
        backup_queue_bytes: size(engine.backup_queue_bytes),
        commit_max_events: Some(engine.commit_max_events),
        idempotency_hours: Some(Span(engine.idempotency_ms)),
        retain_events_hours: Some(Span(engine.retention.events_ms)),
        retain_attempts_hours: Some(Span(engine.retention.attempts_ms)),
        retain_jobs_hours: Some(Span(engine.retention.jobs_ms)),
        retain_jobs_per_app: Some(engine.retention.jobs_of_app),
        retain_dead_letters_hours: Some(Span(engine.retention.dead_letters_ms)),
        retain_bytes: Some(Size(engine.retention.bytes)),
        retain_audit_hours: Some(Span(engine.retention.audit_ms)),
        retain_audit_records: Some(engine.retention.audit_records),
        shards: Some(engine.shards),
        attempt_timeout_ms: Some(Span(engine.attempt_timeout_ms.into())),
        max_in_flight: Some(engine.max_in_flight_per_endpoint),
        max_in_flight_per_shard: Some(engine.max_in_flight_per_shard),
        mailbox_capacity: Some(engine.mailbox_capacity),
        queue_memory_bytes_per_shard: size(engine.queue_memory_bytes_per_shard),
        retries_in_memory: Some(engine.retries_in_memory),
        retire_after_idle_ms: Some(Span(engine.retire_after_idle_ms)),
        attempt_details: Some(Details::from(engine.attempt_details)),
        response_kept_bytes: size(engine.response_kept_bytes),
        response_read_bytes: size(engine.response_read_bytes),
        retry_schedule: match &retry_policy.spacing {
            Spacing::Schedule { delays_ms } => Some(Schedule(delays_ms.iter().copied().map(Span).collect())),
            _ => None,
        },
        retry_jitter: Some(match retry_policy.jitter {
            Jitter::None => RetryJitter::None,
            Jitter::Proportional => RetryJitter::Proportional,
            Jitter::Equal => RetryJitter::Equal,
            Jitter::Full => RetryJitter::Full,
            Jitter::Additive => RetryJitter::Additive,
        }),
        on_client_error: Some(match engine.on_client_error {
            ClientErrorPolicy::Retry => OnClientError::Retry,
            ClientErrorPolicy::DeadLetter => OnClientError::DeadLetter,
        }),
        disable_after_failing_hours: Some(Span(engine.disable_after_failing_ms)),
        ..Settings::default()
    }
}
