//! Configuration: flags over `PINION_*` environment over `pinion.toml` over defaults, checked before anything starts.
//!
//! ```text
//! Settings (flags + environment)  ─┐
//! Settings (pinion.toml)          ─┼─ merge ─▶ Config + where each value came from ─▶ print
//! Config::default()               ─┘
//! ```
//! A changed setting takes effect at the next start. Only the files that `tls_cert` and `tls_key` name are read again while
//! the server runs.

pub(crate) mod units;

mod settings;

mod bounds;
mod file;
mod merge;
mod print;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub(crate) use self::file::FileError;
pub(crate) use self::merge::{Loaded, Source, load};
pub(crate) use self::print::{Unit, defaults, numbers, print};
pub(crate) use self::settings::{LogFormat, Settings};

use admin_api::ApiLimits;
use control::rate::{Tier, Tiers, TiersError};
use engine::config::EngineConfig;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Everything the process runs with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Address of the HTTP API.
    pub(crate) listen: SocketAddr,
    /// PEM file with the API's certificate; none for plain HTTP.
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with its private key; there is one exactly when there is a certificate.
    pub(crate) tls_key: Option<PathBuf>,
    /// Origins of pages that may call the API from a browser; at most [`admin_api::CORS_ORIGINS_MAX`].
    pub(crate) cors_origins: Vec<admin_api::Origin>,
    /// Tiers of applications' use of the API.
    pub(crate) api_tiers: Vec<Tier>,
    /// The tier of applications that name none; one of them.
    pub(crate) default_api_tier: Option<String>,
    /// Address of the metrics listener.
    pub(crate) metrics_listen: SocketAddr,
    /// Folder of the store and the generated keys.
    pub(crate) data_dir: PathBuf,
    /// PEM files with root certificates for targets, besides Mozilla's.
    pub(crate) ca_files: Vec<PathBuf>,
    /// The proxy that endpoints are reached through.
    pub(crate) egress_proxy: Option<units::ProxyUrl>,
    /// Endpoints that are reached directly all the same.
    pub(crate) egress_proxy_except: Vec<engine::dispatch::ProxyException>,
    /// File with the root key, unless it is generated.
    pub(crate) root_key_file: Option<PathBuf>,
    /// File with the master key, unless it is generated.
    pub(crate) master_key_file: Option<PathBuf>,
    /// Format of log lines.
    pub(crate) log_format: LogFormat,
    /// Level or directives of the log.
    pub(crate) log_level: String,
    /// Bounds of the API listener.
    pub(crate) http: HttpBounds,
    /// Bounds of API requests.
    pub(crate) api: ApiLimits,
    /// Memory for cached pages of the store, in bytes.
    pub(crate) store_cache_bytes: u64,
    /// Each of the two files of the store's redo log, in bytes.
    pub(crate) store_log_bytes: usize,
    /// The engine's bounds and defaults.
    pub(crate) engine: EngineConfig,
}

/// Bounds of an HTTP listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HttpBounds {
    /// Connections at once; 1 to 65,536.
    pub(crate) max_connections: usize,
    /// Longest request target; 256 to 32,768.
    pub(crate) max_url_bytes: usize,
    /// Largest request head; 8,192 to 1 MiB.
    pub(crate) max_header_bytes: usize,
    /// Time for a request head, and between two requests of a connection; 100 to 600,000.
    pub(crate) header_read_timeout_ms: u64,
}

/// Why there is no configuration to run with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value out of its bounds.
    #[error("{origin}: {setting} {problem}")]
    Bound {
        /// The source of the value.
        origin: String,
        /// The setting's name.
        setting: &'static str,
        /// The bound or rule that it breaks.
        problem: String,
    },
}

// === impl Config ===

impl Config {
    /// The tiers of applications' use of the API.
    ///
    /// # Errors
    /// When they do not go together.
    pub(crate) fn tiers(&self) -> Result<Tiers, TiersError> {
        Tiers::new(self.api_tiers.clone(), self.default_api_tier.as_deref())
    }
}

impl Default for Config {
    fn default() -> Config {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Config {
            listen: loopback(8071),
            tls_cert: None,
            tls_key: None,
            cors_origins: Vec::new(),
            api_tiers: Vec::new(),
            default_api_tier: None,
            metrics_listen: loopback(9464),
            data_dir: PathBuf::from("./pinion-data"),
            ca_files: Vec::new(),
            egress_proxy: None,
            egress_proxy_except: Vec::new(),
            root_key_file: None,
            master_key_file: None,
            log_format: LogFormat::Auto,
            log_level: "info".to_owned(),
            http: HttpBounds::default(),
            api: ApiLimits::default(),
            store_cache_bytes: storage::disk::OpenOptions::default().cache_bytes,
            store_log_bytes: storage::disk::OpenOptions::default().log_max_bytes,
            engine: EngineConfig::default(),
        }
    }
}

// === impl HttpBounds ===

impl Default for HttpBounds {
    fn default() -> HttpBounds {
        HttpBounds {
            max_connections: 4_096,
            max_url_bytes: 8 * 1024,
            max_header_bytes: 32 * 1024,
            header_read_timeout_ms: 30_000,
        }
    }
}
