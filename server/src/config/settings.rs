//! Every setting, declared once: this struct is the flags, the environment variables and the keys of `pinion.toml`.
//!
//! A setting that a layer does not name is `None` there. Defaults and bounds are in [`super::Config`] and in the engine.

use super::units::{ApiTier, CorsOrigin, Exception, Hours, Millis, PortRange, ProxyUrl, Range, Schedule, Size};
use engine::dispatch::KeptDetails;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// `human` on a terminal, `json` otherwise.
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object per line.
    Json,
}

/// Spread of retries over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RetryJitter {
    /// Exactly as scheduled.
    None,
    /// Up to 20 % earlier or later.
    Proportional,
    /// Between half of the gap and all of it.
    Equal,
    /// Between nothing and the gap.
    Full,
    /// Between the gap and one and a half of it.
    Additive,
}

/// The effect of a 4xx that has no meaning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnClientError {
    /// Retried like any failure.
    Retry,
    /// A dead letter at once.
    #[serde(alias = "dead_letter")]
    DeadLetter,
}

/// Under which names deliveries carry id, timestamp and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Names {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Webhook,
    /// `svix-id`, `svix-timestamp`, `svix-signature`.
    Svix,
    /// All six.
    Both,
}

/// The kind of signing secrets that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// HMAC-SHA256, `whsec_…`.
    Hmac,
    /// ed25519, `whsk_…`.
    Ed25519,
}

/// The attempts that keep details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Details {
    /// None.
    None,
    /// Those that did not succeed.
    Failures,
    /// All of them.
    All,
}

impl From<Details> for KeptDetails {
    fn from(setting: Details) -> KeptDetails {
        match setting {
            Details::None => KeptDetails::None,
            Details::Failures => KeptDetails::Failures,
            Details::All => KeptDetails::All,
        }
    }
}

impl From<KeptDetails> for Details {
    fn from(kept: KeptDetails) -> Details {
        match kept {
            KeptDetails::None => Details::None,
            KeptDetails::Failures => Details::Failures,
            KeptDetails::All => Details::All,
        }
    }
}

/// One layer of configuration. Durations and sizes take a number in the unit of their name, or a text with a unit
/// (`15s`, `5d`, `64MiB`).
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Address of the HTTP API; port 0 takes a free one.
    #[arg(long, env = "PINION_LISTEN", value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// PEM file with the certificate of the HTTP API, the server's own first; with it the API speaks TLS only. A changed
    /// file is taken within 10 s, or at SIGHUP.
    #[arg(long, env = "PINION_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with the private key of that certificate.
    #[arg(long, env = "PINION_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Origins of pages that may call the API from a browser with a key (CORS), such as `https://dashboard.example.com`; `*`
    /// for any. Never with cookies. Default: none.
    #[arg(long = "cors-origin", env = "PINION_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) cors_origins: Option<Vec<CorsOrigin>>,
    /// URL under which receivers reach this API, such as `https://hooks.example.com`: begins the URL of messages that are
    /// sent as a reference. Default: none, and they name a path.
    #[arg(long, env = "PINION_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Address of /metrics, /livez and /readyz; always without TLS.
    #[arg(long, env = "PINION_METRICS_LISTEN", value_name = "ADDR")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Folder of the store and the generated keys; one process at a time.
    #[arg(long, env = "PINION_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Loopback, private or special ranges that endpoints may be in all the same.
    #[arg(long = "allow-target", env = "PINION_ALLOW_TARGETS", value_name = "CIDR", value_delimiter = ',')]
    pub(crate) allow_targets: Option<Vec<Range>>,
    /// Ports that endpoints may be on, such as `443,8000-8999`. Default: any.
    #[arg(long, env = "PINION_TARGET_PORTS", value_name = "PORT", value_delimiter = ',')]
    pub(crate) target_ports: Option<Vec<PortRange>>,
    /// Proxy that endpoints are reached through: http://, socks5:// (Pinion resolves names) or socks5h:// (the proxy does),
    /// with user name and password if it wants them.
    #[arg(long, env = "PINION_EGRESS_PROXY", value_name = "URL", hide_env_values = true)]
    pub(crate) egress_proxy: Option<ProxyUrl>,
    /// Endpoints that are reached directly all the same: a range for those given as an address, or a host name with all
    /// below it.
    #[arg(long, env = "PINION_EGRESS_PROXY_EXCEPT", value_name = "CIDR|HOST", value_delimiter = ',')]
    pub(crate) egress_proxy_except: Option<Vec<Exception>>,
    /// Endpoints must be https://.
    #[arg(long, env = "PINION_HTTPS_ONLY", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) https_only: Option<bool>,
    /// PEM file with root certificates that endpoints' certificates may lead to, besides Mozilla's; may be repeated.
    /// Default: the file that SSL_CERT_FILE names, if it is set.
    #[arg(long = "ca-file", env = "PINION_CA_FILES", value_name = "FILE", value_delimiter = ',')]
    pub(crate) ca_files: Option<Vec<PathBuf>>,
    /// File with the root key; or the key itself in PINION_ROOT_KEY. Default: generated as DATA/root.key.
    #[arg(long, env = "PINION_ROOT_KEY_FILE", value_name = "FILE")]
    pub(crate) root_key_file: Option<PathBuf>,
    /// File with the master key (32 bytes in base64); or the key itself in PINION_MASTER_KEY. Default: generated as
    /// DATA/master.key.
    #[arg(long, env = "PINION_MASTER_KEY_FILE", value_name = "FILE")]
    pub(crate) master_key_file: Option<PathBuf>,

    /// How log lines look.
    #[arg(long, env = "PINION_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Level of the log: error, warn, info, debug, trace, or directives such as `info,engine=debug`.
    #[arg(long, env = "PINION_LOG_LEVEL", value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,

    /// Connections of the HTTP API at once; beyond, the longest idle one of the address that has most makes room.
    #[arg(long, env = "PINION_MAX_CONNECTIONS", value_name = "N")]
    pub(crate) max_connections: Option<usize>,
    /// Longest request target; a longer one is answered 414.
    #[arg(long, env = "PINION_MAX_URL_BYTES", value_name = "SIZE")]
    pub(crate) max_url_bytes: Option<Size>,
    /// Largest request head; a larger one is answered 431.
    #[arg(long, env = "PINION_MAX_HEADER_BYTES", value_name = "SIZE")]
    pub(crate) max_header_bytes: Option<Size>,
    /// How long a connection may take to send a request head, and stay idle between two.
    #[arg(long, env = "PINION_HEADER_READ_TIMEOUT_MS", value_name = "MS")]
    pub(crate) header_read_timeout_ms: Option<Millis>,
    /// Body of one API request, and so of one message with its payload.
    #[arg(long, env = "PINION_MAX_BODY_BYTES", value_name = "SIZE")]
    pub(crate) max_body_bytes: Option<Size>,
    /// Body of one batch of messages.
    #[arg(long, env = "PINION_MAX_BATCH_BODY_BYTES", value_name = "SIZE")]
    pub(crate) max_batch_body_bytes: Option<Size>,
    /// All API request bodies over 16 KiB that are in memory at once, half of it for one key; more are refused as busy.
    #[arg(long, env = "PINION_MAX_BODIES_BYTES", value_name = "SIZE")]
    pub(crate) max_bodies_bytes: Option<Size>,
    /// All API answers over 16 KiB that clients have not read yet, half of it for one key; more are refused as busy.
    #[arg(long, env = "PINION_MAX_ANSWERS_BYTES", value_name = "SIZE")]
    pub(crate) max_answers_bytes: Option<Size>,
    /// Bytes per second that an API request body must come with after its first 5 s; a slower one is answered 408.
    #[arg(long, env = "PINION_MIN_BODY_BYTES_PER_S", value_name = "SIZE")]
    pub(crate) min_body_bytes_per_s: Option<Size>,
    /// Messages of one batch.
    #[arg(long, env = "PINION_MAX_BATCH_ITEMS", value_name = "N")]
    pub(crate) max_batch_items: Option<usize>,
    /// API requests answered at once, half of them for one key; more are refused as busy.
    #[arg(long, env = "PINION_MAX_CONCURRENT_REQUESTS", value_name = "N")]
    pub(crate) max_concurrent_requests: Option<usize>,
    /// How long one API request may take, its body included.
    #[arg(long, env = "PINION_REQUEST_TIMEOUT_MS", value_name = "MS")]
    pub(crate) request_timeout_ms: Option<Millis>,
    /// Tiers of applications' use of the API, each NAME=REQUESTS/SECONDS, such as `free=100/60`; the messages of a batch
    /// count. An application names its own as `apiTier`. Default: none.
    #[arg(long = "api-tier", env = "PINION_API_TIERS", value_name = "TIER", value_delimiter = ',')]
    pub(crate) api_tiers: Option<Vec<ApiTier>>,
    /// Tier of applications that name none. Default: none, and they are not limited.
    #[arg(long, env = "PINION_DEFAULT_API_TIER", value_name = "NAME")]
    pub(crate) default_api_tier: Option<String>,
    /// Endpoints of one application; more are refused.
    #[arg(long, env = "PINION_MAX_ENDPOINTS_PER_APP", value_name = "N")]
    pub(crate) max_endpoints_per_app: Option<u32>,
    /// API keys that are limited to one application; more are refused.
    #[arg(long, env = "PINION_MAX_API_KEYS_PER_APP", value_name = "N")]
    pub(crate) max_api_keys_per_app: Option<u32>,
    /// Event types of the catalogue, archived ones too; more are refused.
    #[arg(long, env = "PINION_MAX_EVENT_TYPES", value_name = "N")]
    pub(crate) max_event_types: Option<u32>,
    /// Jobs of one application (recover, replay, redrive, purge) that run or wait for their time; more are refused until one
    /// has ended.
    #[arg(long, env = "PINION_MAX_RUNNING_JOBS_PER_APP", value_name = "N")]
    pub(crate) max_running_jobs_per_app: Option<u32>,
    /// Jobs of one application that are kept, ended ones too; more are refused until retention has removed some.
    #[arg(long, env = "PINION_MAX_JOBS_PER_APP", value_name = "N")]
    pub(crate) max_jobs_per_app: Option<u32>,
    /// Dead letters of one application; beyond, its oldest make room for new ones.
    #[arg(long, env = "PINION_MAX_DEAD_LETTERS_PER_APP", value_name = "N")]
    pub(crate) max_dead_letters_per_app: Option<u32>,
    /// Idempotency keys of one application that are remembered; requests with another one are refused (429).
    #[arg(long, env = "PINION_MAX_IDEMPOTENCY_KEYS_PER_APP", value_name = "N")]
    pub(crate) max_idempotency_keys_per_app: Option<u32>,
    /// Messages of one application whose time has not come; another one is refused (422).
    #[arg(long, env = "PINION_MAX_SCHEDULED_MESSAGES_PER_APP", value_name = "N")]
    pub(crate) max_scheduled_messages_per_app: Option<u32>,
    /// How long a stop waits for requests and attempts in flight.
    #[arg(long, env = "PINION_DRAIN_TIMEOUT_MS", value_name = "MS")]
    pub(crate) drain_timeout_ms: Option<Millis>,

    /// Memory for cached pages of the store.
    #[arg(long, env = "PINION_STORE_CACHE_BYTES", value_name = "SIZE")]
    pub(crate) store_cache_bytes: Option<Size>,
    /// Room on the disk that is kept for settling deliveries: with less, messages are refused (507); 0 switches this off.
    #[arg(long, env = "PINION_DISK_RESERVE_BYTES", value_name = "SIZE")]
    pub(crate) disk_reserve_bytes: Option<Size>,
    /// Each of the two files of the store's redo log, and as much memory: a larger one makes checkpoints rarer, and a start
    /// after a crash longer.
    #[arg(long, env = "PINION_STORE_LOG_BYTES", value_name = "SIZE")]
    pub(crate) store_log_bytes: Option<Size>,
    /// Requests that wait for the writer; more are refused as busy.
    #[arg(long, env = "PINION_INGEST_QUEUE_CAPACITY", value_name = "N")]
    pub(crate) ingest_queue_capacity: Option<usize>,
    /// Bytes of payloads that wait for the writer; more are refused as busy.
    #[arg(long, env = "PINION_INGEST_QUEUE_BYTES", value_name = "SIZE")]
    pub(crate) ingest_queue_bytes: Option<Size>,
    /// Bytes of commits that wait for a backup while it reads the rest; a backup that lags further behind ends.
    #[arg(long, env = "PINION_BACKUP_QUEUE_BYTES", value_name = "SIZE")]
    pub(crate) backup_queue_bytes: Option<Size>,
    /// Events in one commit at most.
    #[arg(long, env = "PINION_COMMIT_MAX_EVENTS", value_name = "N")]
    pub(crate) commit_max_events: Option<usize>,
    /// How long an idempotency key is remembered.
    #[arg(long, env = "PINION_IDEMPOTENCY_HOURS", value_name = "HOURS")]
    pub(crate) idempotency_hours: Option<Hours>,

    /// Messages are removed this long after they came in; 0 keeps them for ever.
    #[arg(long, env = "PINION_RETAIN_EVENTS_HOURS", value_name = "HOURS")]
    pub(crate) retain_events_hours: Option<Hours>,
    /// Attempts are removed after this long, and with their messages; 0 keeps them as long as those.
    #[arg(long, env = "PINION_RETAIN_ATTEMPTS_HOURS", value_name = "HOURS")]
    pub(crate) retain_attempts_hours: Option<Hours>,
    /// Jobs are removed this long after they ended; 0 keeps them for ever.
    #[arg(long, env = "PINION_RETAIN_JOBS_HOURS", value_name = "HOURS")]
    pub(crate) retain_jobs_hours: Option<Hours>,
    /// Jobs of one application: beyond, the oldest of those that have ended are removed; 0 sets no limit.
    #[arg(long, env = "PINION_RETAIN_JOBS_PER_APP", value_name = "N")]
    pub(crate) retain_jobs_per_app: Option<u32>,
    /// Dead letters are removed this long after the delivery was given up; 0 keeps them for ever.
    #[arg(long, env = "PINION_RETAIN_DEAD_LETTERS_HOURS", value_name = "HOURS")]
    pub(crate) retain_dead_letters_hours: Option<Hours>,
    /// Messages and attempts in all: beyond, the oldest messages are removed, delivered or not; 0 sets no limit. The
    /// store's files take about one and a half times as much.
    #[arg(long, env = "PINION_RETAIN_BYTES", value_name = "SIZE")]
    pub(crate) retain_bytes: Option<Size>,
    /// Records of the audit log are removed this long after they were made, by a hundred or more at once; 0 keeps them for
    /// ever.
    #[arg(long, env = "PINION_RETAIN_AUDIT_HOURS", value_name = "HOURS")]
    pub(crate) retain_audit_hours: Option<Hours>,
    /// Records of the audit log in all: beyond, the oldest are removed; 0 sets no limit.
    #[arg(long, env = "PINION_RETAIN_AUDIT_RECORDS", value_name = "N")]
    pub(crate) retain_audit_records: Option<u64>,

    /// Threads that deliver.
    #[arg(long, env = "PINION_SHARDS", value_name = "N")]
    pub(crate) shards: Option<usize>,
    /// Deadline of one attempt, from name resolution to the last byte of the answer.
    #[arg(long, env = "PINION_ATTEMPT_TIMEOUT_MS", value_name = "MS")]
    pub(crate) attempt_timeout_ms: Option<Millis>,
    /// Attempts at once to one endpoint that does not set its own.
    #[arg(long, env = "PINION_MAX_IN_FLIGHT", value_name = "N")]
    pub(crate) max_in_flight: Option<u16>,
    /// Attempts at once on one shard. One application may have as many of them as are free.
    #[arg(long, env = "PINION_MAX_IN_FLIGHT_PER_SHARD", value_name = "N")]
    pub(crate) max_in_flight_per_shard: Option<usize>,
    /// Deliveries that wait in memory for one endpoint; the rest waits on disk.
    #[arg(long, env = "PINION_MAILBOX_CAPACITY", value_name = "N")]
    pub(crate) mailbox_capacity: Option<usize>,
    /// Bytes of payloads that wait in memory on one shard.
    #[arg(long, env = "PINION_QUEUE_MEMORY_BYTES_PER_SHARD", value_name = "SIZE")]
    pub(crate) queue_memory_bytes_per_shard: Option<Size>,
    /// Retries of one endpoint held in memory; the rest waits on disk.
    #[arg(long, env = "PINION_RETRIES_IN_MEMORY", value_name = "N")]
    pub(crate) retries_in_memory: Option<usize>,
    /// An endpoint without work for this long gives up its memory.
    #[arg(long, env = "PINION_RETIRE_AFTER_IDLE_MS", value_name = "MS")]
    pub(crate) retire_after_idle_ms: Option<Millis>,
    /// Attempts that keep details in the history: headers of the answer, address, protocol and the time of each step.
    #[arg(long, env = "PINION_ATTEMPT_DETAILS", value_name = "ATTEMPTS")]
    pub(crate) attempt_details: Option<Details>,
    /// Bytes of an answer kept in the attempt history.
    #[arg(long, env = "PINION_RESPONSE_KEPT_BYTES", value_name = "SIZE")]
    pub(crate) response_kept_bytes: Option<Size>,
    /// Bytes of an answer read before the connection is dropped.
    #[arg(long, env = "PINION_RESPONSE_READ_BYTES", value_name = "SIZE")]
    pub(crate) response_read_bytes: Option<Size>,

    /// Names of the headers with id, timestamp and signature.
    #[arg(long, env = "PINION_SIGNATURE_HEADERS", value_name = "NAMES")]
    pub(crate) signature_headers: Option<Names>,
    /// Kind of the signing secrets that are made for endpoints that bring none.
    #[arg(long, env = "PINION_SECRET_KIND", value_name = "KIND")]
    pub(crate) secret_kind: Option<Kind>,
    /// Gaps before each retry, for endpoints without a policy of their own; `none` for a single attempt.
    #[arg(long, env = "PINION_RETRY_SCHEDULE", value_name = "GAPS")]
    pub(crate) retry_schedule: Option<Schedule>,
    /// How those gaps are spread.
    #[arg(long, env = "PINION_RETRY_JITTER", value_name = "JITTER")]
    pub(crate) retry_jitter: Option<RetryJitter>,
    /// Effect of a 4xx other than 408, 410, 425 and 429, for endpoints that do not set their own.
    #[arg(long, env = "PINION_ON_CLIENT_ERROR", value_name = "ACTION")]
    pub(crate) on_client_error: Option<OnClientError>,
    /// An endpoint that only failed for this long is disabled; 0 switches this off.
    #[arg(long, env = "PINION_DISABLE_AFTER_FAILING_HOURS", value_name = "HOURS")]
    pub(crate) disable_after_failing_hours: Option<Hours>,
}
