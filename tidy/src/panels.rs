//! The table behind the dashboard: rows of panels, each with its title, its unit and its expressions.
//!
//! In an expression, `@` stands for the matchers of job and instance, `$i` for the interval of rates. [`crate::board`] puts
//! them in.

/// A row of panels.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its title.
    pub title: &'static str,
    /// Its panels.
    pub panels: &'static [Panel],
}

/// A panel with lines over time.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// Grafana's name of the unit.
    pub unit: &'static str,
    /// Each line: its legend, and its expression.
    pub lines: &'static [(&'static str, &'static str)],
}

const fn panel(title: &'static str, unit: &'static str, lines: &'static [(&'static str, &'static str)]) -> Panel {
    Panel { title, unit, lines }
}

/// Things per second.
const RATE: &str = "cps";
/// Time.
const SECONDS: &str = "s";
/// Sizes.
const BYTES: &str = "bytes";
/// A share of one.
const SHARE: &str = "percentunit";
/// A number of things.
const NUMBER: &str = "short";

/// All rows, top to bottom.
pub const ROWS: &[Row] = &[
    Row { title: "Overview", panels: OVERVIEW },
    Row { title: "Taking messages in", panels: INGEST },
    Row { title: "The store", panels: STORE },
    Row { title: "Delivering", panels: DELIVERING },
    Row { title: "Where it waits", panels: WAITING },
    Row { title: "The API", panels: API },
    Row { title: "The process", panels: PROCESS },
];

const OVERVIEW: &[Panel] = &[
    panel(
        "Messages accepted, deliveries succeeded",
        RATE,
        &[
            ("accepted", "sum(rate(pinion_ingest_accepted_total{@}[$i]))"),
            ("succeeded", "sum(rate(pinion_deliveries_succeeded_total{@}[$i]))"),
        ],
    ),
    panel(
        "Attempts that succeed",
        SHARE,
        &[(
            "{{instance}}",
            "sum by (instance) (rate(pinion_attempts_total{@,outcome=\"success\"}[$i])) \
             / sum by (instance) (rate(pinion_attempts_total{@}[$i]))",
        )],
    ),
    panel(
        "From acceptance to success",
        SECONDS,
        &[
            ("p50", "histogram_quantile(0.5, sum by (le) (rate(pinion_delivery_latency_seconds_bucket{@}[$i])))"),
            ("p99", "histogram_quantile(0.99, sum by (le) (rate(pinion_delivery_latency_seconds_bucket{@}[$i])))"),
        ],
    ),
    panel(
        "Oldest delivery that waits for its first try",
        SECONDS,
        &[("{{instance}}", "max by (instance) (pinion_oldest_undelivered_age_seconds{@})")],
    ),
    panel(
        "Room on the disk",
        BYTES,
        &[
            ("free, {{instance}}", "pinion_disk_free_bytes{@}"),
            ("reserve, {{instance}}", "pinion_setting_bytes{@,setting=\"disk_reserve\"}"),
        ],
    ),
    panel("Versions", NUMBER, &[("{{version}}", "sum by (version) (pinion_build_info{@})")]),
];

const INGEST: &[Panel] = &[
    panel(
        "Messages refused",
        RATE,
        &[("{{reason}}", "sum by (reason) (rate(pinion_ingest_rejected_total{@}[$i])) > 0")],
    ),
    panel(
        "One commit",
        SECONDS,
        &[
            ("p50", "histogram_quantile(0.5, sum by (le) (rate(pinion_commit_duration_seconds_bucket{@}[$i])))"),
            ("p99", "histogram_quantile(0.99, sum by (le) (rate(pinion_commit_duration_seconds_bucket{@}[$i])))"),
            (
                "fdatasync p99",
                "histogram_quantile(0.99, sum by (le) (rate(pinion_fdatasync_duration_seconds_bucket{@}[$i])))",
            ),
        ],
    ),
    panel(
        "Messages in one commit",
        NUMBER,
        &[("mean", "sum(rate(pinion_commit_events_sum{@}[$i])) / sum(rate(pinion_commit_events_count{@}[$i]))")],
    ),
];

const STORE: &[Panel] = &[
    panel(
        "Bytes",
        BYTES,
        &[("files", "sum(pinion_store_size_bytes{@})"), ("{{kind}}", "sum by (kind) (pinion_retained_bytes{@})")],
    ),
    panel(
        "Checkpoints",
        SECONDS,
        &[("p99", "histogram_quantile(0.99, sum by (le) (rate(pinion_checkpoint_duration_seconds_bucket{@}[$i])))")],
    ),
    panel(
        "Time that commits wait for checkpoints",
        SHARE,
        &[("{{instance}}", "sum by (instance) (rate(pinion_checkpoint_wait_seconds_sum{@}[$i]))")],
    ),
    panel(
        "Removed by retention",
        RATE,
        &[("{{kind}}", "sum by (kind) (rate(pinion_retention_removed_total{@}[$i])) > 0")],
    ),
    panel(
        "Bytes removed by retention",
        "Bps",
        &[("{{kind}}", "sum by (kind) (rate(pinion_retention_removed_bytes_total{@}[$i]))")],
    ),
    panel(
        "Lost: damaged, or too old before it was tried",
        NUMBER,
        &[
            ("damaged reads", "sum(increase(pinion_damaged_reads_total{@}[1h]))"),
            ("expired untried", "sum(increase(pinion_expired_untried_total{@}[1h]))"),
        ],
    ),
    panel(
        "Backups in a day",
        NUMBER,
        &[("{{outcome}}", "sum by (outcome) (increase(pinion_backups_total{@}[1d])) > 0")],
    ),
    panel(
        "Retention's time behind the clock",
        SECONDS,
        &[("{{instance}}", "max by (instance) (pinion_retention_clock_lag_seconds{@})")],
    ),
];

const DELIVERING: &[Panel] = &[
    panel("Attempts by outcome", RATE, &[("{{outcome}}", "sum by (outcome) (rate(pinion_attempts_total{@}[$i])) > 0")]),
    panel(
        "One attempt",
        SECONDS,
        &[
            ("p50", "histogram_quantile(0.5, sum by (le) (rate(pinion_attempt_duration_seconds_bucket{@}[$i])))"),
            ("p99", "histogram_quantile(0.99, sum by (le) (rate(pinion_attempt_duration_seconds_bucket{@}[$i])))"),
        ],
    ),
    panel(
        "From due to started",
        SECONDS,
        &[
            ("p50", "histogram_quantile(0.5, sum by (le) (rate(pinion_schedule_lag_seconds_bucket{@}[$i])))"),
            ("p99", "histogram_quantile(0.99, sum by (le) (rate(pinion_schedule_lag_seconds_bucket{@}[$i])))"),
        ],
    ),
    panel("Attempts in flight", NUMBER, &[("{{instance}}", "sum by (instance) (pinion_attempts_in_flight{@})")]),
    panel(
        "Attempts not made for want of something of ours",
        RATE,
        &[("{{lack}}", "sum by (lack) (rate(pinion_attempts_not_made_total{@}[$i]))")],
    ),
    panel(
        "Failures",
        RATE,
        &[
            ("retries", "sum(rate(pinion_retries_scheduled_total{@}[$i]))"),
            ("given up: {{reason}}", "sum by (reason) (rate(pinion_dead_letters_total{@}[$i])) > 0"),
            ("displaced", "sum(rate(pinion_dead_letters_displaced_total{@}[$i]))"),
        ],
    ),
    panel(
        "Endpoints in one hour",
        NUMBER,
        &[
            ("disabled: {{reason}}", "sum by (reason) (increase(pinion_endpoints_disabled_total{@}[1h]))"),
            ("warned", "sum(increase(pinion_endpoint_warnings_total{@}[1h]))"),
            ("switched to {{to}}", "sum by (to) (increase(pinion_failover_total{@}[1h]))"),
        ],
    ),
    panel(
        "Connections closed as floods",
        RATE,
        &[
            ("HTTP/2: {{frame}}", "sum by (frame) (rate(pinion_http2_abuse_total{@}[$i])) > 0"),
            ("TLS", "sum(rate(pinion_tls_abuse_total{@}[$i]))"),
        ],
    ),
];

const WAITING: &[Panel] = &[
    panel(
        "Endpoints",
        NUMBER,
        &[("active", "sum(pinion_endpoint_actors{@})"), ("behind", "sum(pinion_endpoints_behind{@})")],
    ),
    panel("Breakers", NUMBER, &[("{{state}}", "sum by (state) (pinion_breaker_endpoints{@})")]),
    panel("Breaker transitions", RATE, &[("{{to}}", "sum by (to) (rate(pinion_breaker_transitions_total{@}[$i]))")]),
    panel("Payloads in memory", BYTES, &[("{{instance}}", "sum by (instance) (pinion_queued_payload_bytes{@})")]),
    panel(
        "Left on disk, not judged by a filter",
        RATE,
        &[
            ("no room in memory", "sum(rate(pinion_mailbox_full_total{@}[$i]))"),
            ("filter errors", "sum(rate(pinion_filter_errors_total{@}[$i]))"),
        ],
    ),
    panel("Timers", NUMBER, &[("{{instance}}", "sum by (instance) (pinion_wheel_timers{@})")]),
    panel("Longest stall of a thread", SECONDS, &[("{{thread}}", "max by (thread) (pinion_longest_stall_seconds{@})")]),
];

const API: &[Panel] = &[
    panel("Requests by status", RATE, &[("{{code}}", "sum by (code) (rate(pinion_api_requests_total{@}[$i]))")]),
    panel(
        "One request, the slowest routes",
        SECONDS,
        &[(
            "{{method}} {{route}} p99",
            "topk(8, histogram_quantile(0.99, \
             sum by (le, method, route) (rate(pinion_api_request_duration_seconds_bucket{@}[$i]))))",
        )],
    ),
    panel(
        "Refused",
        RATE,
        &[
            ("no known key", "sum(rate(pinion_api_unauthorized_total{@}[$i]))"),
            ("quota: {{quota}}", "sum by (quota) (rate(pinion_quota_refusals_total{@}[$i])) > 0"),
            (
                "rate limit: {{tier}}",
                "sum by (tier) (rate(pinion_api_rate_limited_requests_total{@,outcome=\"refused\"}[$i])) > 0",
            ),
        ],
    ),
    panel(
        "Fullest quota of an application",
        SHARE,
        &[("{{quota}}", "max by (quota) (pinion_quota_used_ratio_max{@})")],
    ),
    panel(
        "Bodies and answers in memory",
        BYTES,
        &[("bodies", "sum(pinion_api_bodies_bytes{@})"), ("answers", "sum(pinion_api_answers_bytes{@})")],
    ),
    panel(
        "Connections",
        NUMBER,
        &[
            ("{{listener}}", "sum by (listener) (pinion_http_connections{@})"),
            ("{{listener}}, limit", "sum by (listener) (pinion_http_connections_limit{@})"),
        ],
    ),
    panel(
        "Connections accepted and closed",
        RATE,
        &[
            ("{{listener}}, accepted", "sum by (listener) (rate(pinion_http_connections_accepted_total{@}[$i]))"),
            (
                "{{listener}}, {{reason}}",
                "sum by (listener, reason) (rate(pinion_http_connections_closed_total{@}[$i])) > 0",
            ),
        ],
    ),
    panel(
        "Time until the certificate ends",
        SECONDS,
        &[("{{instance}}", "pinion_tls_certificate_end_timestamp_seconds{@} - time()")],
    ),
    panel(
        "Certificates read again in one hour",
        NUMBER,
        &[("{{outcome}}", "sum by (outcome) (increase(pinion_tls_reloads_total{@}[1h]))")],
    ),
];

const PROCESS: &[Panel] = &[
    panel("CPU", NUMBER, &[("{{instance}}, cores", "rate(process_cpu_seconds_total{@}[$i])")]),
    panel("Resident memory", BYTES, &[("{{instance}}", "process_resident_memory_bytes{@}")]),
    panel("File descriptors", SHARE, &[("{{instance}}", "process_open_fds{@} / process_max_fds{@}")]),
    panel("Threads", NUMBER, &[("{{instance}}", "process_threads{@}")]),
    panel("Time since the start", SECONDS, &[("{{instance}}", "time() - process_start_time_seconds{@}")]),
];
