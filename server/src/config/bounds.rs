//! Every bound of the configuration, checked before anything starts; the engine checks its own.
//!
//! Values are checked after all layers are merged, so that the layer a value came from makes no difference.

use super::units::ProxyUrl;
use super::{Config, ConfigError, Loaded};
use admin_api::CORS_ORIGINS_MAX;
use control::rate::TiersError;
use engine::retry::schedule;

/// The setting behind a field of the engine's configuration.
pub(super) fn setting_of_engine_field(field: &'static str) -> &'static str {
    match field {
        "max_in_flight_per_endpoint" => "max_in_flight",
        "disable_after_failing_ms" => "disable_after_failing_hours",
        "idempotency_ms" => "idempotency_hours",
        "quotas.dead_letters" => "max_dead_letters_per_app",
        "quotas.idempotency_keys" => "max_idempotency_keys_per_app",
        "quotas.scheduled_messages" => "max_scheduled_messages_per_app",
        "retention.events_ms" => "retain_events_hours",
        "retention.attempts_ms" => "retain_attempts_hours",
        "retention.jobs_ms" => "retain_jobs_hours",
        "retention.jobs_of_app" => "retain_jobs_per_app",
        "retention.dead_letters_ms" => "retain_dead_letters_hours",
        "retention.bytes" => "retain_bytes",
        "retention.audit_ms" => "retain_audit_hours",
        "retention.audit_records" => "retain_audit_records",
        other => other,
    }
}

/// Bytes of the public URL at most: it is in every body that is a reference.
const PUBLIC_URL_LEN_MAX: usize = 512;
/// The same in words, with the rest.
pub(super) const PUBLIC_URL_RULE: &str =
    "must be http:// or https:// with a host, at most 512 bytes, without a user name or query";

/// True for none, and for one that a path may be put behind.
fn is_public_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return text.is_empty() };
    let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_host = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    has_scheme && has_host && uri.query().is_none() && !text.contains('#') && text.len() <= PUBLIC_URL_LEN_MAX
}

/// Every number of the server's own with its bounds, both included: setting, value, least, most.
pub(super) fn own(config: &Config) -> [(&'static str, u64, u64, u64); 19] {
    let http = &config.http;
    let api = &config.api;
    let request_timeout_ms = u64::try_from(api.request_timeout.as_millis()).unwrap_or(u64::MAX);
    [
        ("max_connections", http.max_connections as u64, 1, 65_536),
        ("max_url_bytes", http.max_url_bytes as u64, 256, 32 * 1024),
        ("max_header_bytes", http.max_header_bytes as u64, 8 * 1024, 1 << 20),
        ("header_read_timeout_ms", http.header_read_timeout_ms, 100, 600_000),
        ("max_body_bytes", api.body_bytes as u64, 1_024, 16 << 20),
        ("max_batch_body_bytes", api.batch_body_bytes as u64, 1_024, 256 << 20),
        ("max_bodies_bytes", api.bodies_bytes as u64, 1 << 20, 1 << 40),
        ("max_answers_bytes", api.answers_bytes as u64, 1 << 20, 1 << 40),
        ("min_body_bytes_per_s", api.body_bytes_per_s as u64, 1, 1 << 30),
        ("max_batch_items", api.batch_items as u64, 1, 10_000),
        ("max_concurrent_requests", api.concurrent_requests as u64, 1, 65_536),
        ("request_timeout_ms", request_timeout_ms, 100, 600_000),
        ("max_endpoints_per_app", api.quotas.endpoints.into(), 1, u32::MAX.into()),
        ("max_api_keys_per_app", api.quotas.api_keys.into(), 1, 10_000),
        ("max_event_types", api.quotas.event_types.into(), 1, 1_000_000),
        ("max_running_jobs_per_app", api.quotas.running_jobs.into(), 1, 10_000),
        ("max_jobs_per_app", api.quotas.jobs.into(), 1, 10_000_000),
        ("store_cache_bytes", config.store_cache_bytes, 1 << 20, 1 << 44),
        ("store_log_bytes", config.store_log_bytes as u64, 64 << 10, 1 << 30),
    ]
}

/// Checks every bound.
///
/// # Errors
/// The first setting that is out of its bounds, with where it came from.
pub(super) fn check(loaded: &Loaded) -> Result<(), ConfigError> {
    let out_of_bounds = |setting: &'static str, problem: String| ConfigError::Bound {
        origin: loaded.source(setting).to_string(),
        setting,
        problem,
    };
    let config = &loaded.config;
    for (setting, value, least, most) in own(config) {
        if value < least || value > most {
            return Err(out_of_bounds(setting, format!("must be between {least} and {most}")));
        }
    }
    if let Some(Err(error)) = config.egress_proxy.as_ref().map(ProxyUrl::read) {
        return Err(out_of_bounds("egress_proxy", format!("is no proxy: {error}")));
    }
    if !is_public_url(&config.engine.public_url) {
        return Err(out_of_bounds("public_url", PUBLIC_URL_RULE.to_owned()));
    }
    match (&config.tls_cert, &config.tls_key) {
        (Some(_), None) => return Err(out_of_bounds("tls_cert", "needs tls_key beside it".to_owned())),
        (None, Some(_)) => return Err(out_of_bounds("tls_key", "needs tls_cert beside it".to_owned())),
        (Some(_), Some(_)) | (None, None) => {}
    }
    if config.cors_origins.len() > CORS_ORIGINS_MAX {
        return Err(out_of_bounds("cors_origins", format!("must have at most {CORS_ORIGINS_MAX} entries")));
    }
    if let Err(error) = config.tiers() {
        let setting = if matches!(error, TiersError::Unknown(_)) { "default_api_tier" } else { "api_tiers" };
        return Err(out_of_bounds(setting, format!("cannot be taken: {error}")));
    }
    if schedule::validate(&config.engine.retry_policy).is_err() {
        let (most, longest_d) = (schedule::MAX_SCHEDULE_ENTRIES, schedule::MAX_DELAY_MS / 86_400_000);
        return Err(out_of_bounds(
            "retry_schedule",
            format!("must have at most {most} gaps of 1ms to {longest_d}d each"),
        ));
    }
    if crate::logging::filter(&config.log_level).is_none() {
        let problem = "must be a level (error, warn, info, debug, trace) or directives such as info,engine=debug";
        return Err(out_of_bounds("log_level", problem.to_owned()));
    }
    config.engine.validate().map_err(|error| {
        let setting = setting_of_engine_field(error.field);
        // Its bounds are in the unit of the engine's name for it.
        let field = if setting == error.field { String::new() } else { format!(" ({})", error.field) };
        out_of_bounds(setting, format!("must be between {} and {}{field}", error.least, error.most))
    })
}
