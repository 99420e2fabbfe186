//! The options that every scenario shares: the subject of the test, the load, the receiver, and the report.
//!
//! Each part reads the options that it needs.

use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The server that takes the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReceiverKind {
    /// hyper's HTTP/1.1 server.
    Hyper,
    /// A minimal HTTP/1.1 server of our own: less CPU taken from the measured server.
    Lean,
}

/// Options of every scenario.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every scenario")]
pub(crate) struct Options {
    /// A Pinion that runs already (http://127.0.0.1:8071), instead of one started for this. It must allow 127.0.0.0/8.
    #[arg(long, global = true, requires = "key")]
    pub(crate) url: Option<String>,
    /// Its root key.
    #[arg(long, global = true, env = "LOADTEST_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Its process id, to report CPU and memory.
    #[arg(long, global = true)]
    pub(crate) pid: Option<u32>,
    /// The binary to start. Default: beside this one, built if it is not there.
    #[arg(long, global = true)]
    pub(crate) pinion: Option<PathBuf>,
    /// A flag for `pinion serve`, e.g. --serve-arg=--shards=4; may be repeated.
    #[arg(long, global = true, allow_hyphen_values = true)]
    pub(crate) serve_arg: Vec<String>,
    /// Folder that temporary data directories are made in. Default: the system's.
    #[arg(long, global = true)]
    pub(crate) data_parent: Option<PathBuf>,
    /// Seconds to measure. Default: the scenario's own.
    #[arg(long, global = true)]
    pub(crate) seconds: Option<f64>,
    /// Seconds to run before measuring.
    #[arg(long, global = true, default_value_t = 2.0)]
    pub(crate) warmup: f64,
    /// Seconds without an arrival at the end, after which missing deliveries count as lost.
    #[arg(long, global = true, default_value_t = 30.0)]
    pub(crate) settle_seconds: f64,
    /// Bytes of a payload.
    #[arg(long, global = true, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(32..=1_000_000))]
    pub(crate) payload_bytes: u32,
    /// Connections that push.
    #[arg(long, global = true, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: u32,
    /// Closed loop: events accepted and not delivered yet, at which pushing pauses.
    #[arg(long, global = true, default_value_t = 1_000)]
    pub(crate) window: u64,
    /// One connection, and endpoints that take one attempt at a time: the ledger then checks the order of arrival.
    #[arg(long, global = true)]
    pub(crate) ordered: bool,
    /// Check every Nth signature; 0 checks none.
    #[arg(long, global = true, default_value_t = 1)]
    pub(crate) verify_every: u64,
    /// The server that takes the requests.
    #[arg(long, global = true, value_enum, default_value_t = ReceiverKind::Lean)]
    pub(crate) receiver: ReceiverKind,
    /// Threads that receive.
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) receiver_threads: u32,
    /// Address of the receiver; port 0 takes a free one.
    #[arg(long, global = true, default_value = "127.0.0.1:0")]
    pub(crate) receiver_listen: SocketAddr,
    /// Write the results as JSON.
    #[arg(long, global = true)]
    pub(crate) json: Option<PathBuf>,
    /// Write throughput and latency over the run as SVG. `all` writes one file per scenario, of its last round:
    /// FILE-SCENARIO.svg.
    #[arg(long, global = true)]
    pub(crate) plot: Option<PathBuf>,
}
