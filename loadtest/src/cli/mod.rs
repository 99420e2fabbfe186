//! The command line: one subcommand per scenario, and the options they share.
//!
//! All defaults are here, but for run times, which each scenario knows itself.

mod options;

pub(crate) use self::options::{Options, ReceiverKind};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Drives Pinion over real sockets, keeps a ledger of sent against received, and prints the measurements.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub(crate) struct Cli {
    /// The scenario.
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
    /// How.
    #[command(flatten)]
    pub(crate) options: Options,
}

/// The scenario.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Scenario {
    /// A bare pooled hyper client against the receiver: no engine, no disk. What this machine can do at most.
    Limit(Limit),
    /// Closed loop, one endpoint, one event per request.
    Steady,
    /// Closed loop, every event to N endpoints.
    Fanout(Fanout),
    /// Closed loop, one endpoint, N events per request.
    Batch(Batch),
    /// Open loop at a fixed rate; latency counts from the intended send time.
    Open(Open),
    /// Closed loop over N applications with skewed load (Zipf's law).
    Tenants(Tenants),
    /// The same load without and with endpoints that never answer: the effect on the healthy ones.
    Blackhole(Blackhole),
    /// The same load without and with endpoints that answer slowly.
    Slow(Slow),
    /// Endpoints that fail for a while, again and again.
    Flapping(Flapping),
    /// Quiet, then N events at once, again and again.
    Burst(Burst),
    /// An endpoint is down while N events arrive, then up: the speed of the drain, and its memory.
    Backlog(Backlog),
    /// N endpoints without traffic: memory of each, and time to start.
    Idle(Idle),
    /// kill -9 under load, again and again.
    Restart(Restart),
    /// Events that are due a day later: their memory and disk, the time to start, and the lateness of those due soon.
    Scheduled(Scheduled),
    /// N paused endpoints with events that wait: memory of each, the time to start, and the time until a resumed one
    /// gets its first delivery.
    Paused(Paused),
    /// The same load without any policy and with each one: its cost for the endpoints that have it. About 5 minutes.
    Policies(Policies),
    /// A short form of each, compared with `limit` of the same round. About 8 minutes; see its --help.
    All(All),
    /// Throughput and cost as endpoints, tenants, a backlog and payloads grow: a table and a plot for each axis. About
    /// 3 minutes.
    Growth(Growth),
}

/// Options of `limit`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Limit {
    /// Threads, each with a client and a share of the requests of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
}

/// Options of `fanout`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Fanout {
    /// Endpoints that get every event.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) endpoints: u32,
}

/// Options of `batch`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Batch {
    /// Events in one request.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) size: u32,
}

/// Options of `open`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Open {
    /// Events per second. Default: half of the rate that a short closed loop reaches first.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
}

/// Options of `tenants`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Tenants {
    /// Applications, each with one endpoint.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) apps: u32,
}

/// Options of `blackhole`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Blackhole {
    /// Endpoints that take a request and never answer.
    #[arg(long, default_value_t = 10)]
    pub(crate) bad: u32,
    /// Endpoints in all, each of an application of its own.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(crate) of: u32,
}

/// Options of `slow`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Slow {
    /// Endpoints that are slow.
    #[arg(long, default_value_t = 2)]
    pub(crate) bad: u32,
    /// Endpoints in all.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub(crate) of: u32,
    /// The time that they take to answer, in ms.
    #[arg(long, default_value_t = 500)]
    pub(crate) delay_ms: u32,
}

/// Options of `flapping`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Flapping {
    /// Endpoints that flap.
    #[arg(long, default_value_t = 2)]
    pub(crate) bad: u32,
    /// Endpoints in all.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub(crate) of: u32,
    /// The time that they stay up, and then down, in ms.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) period_ms: u64,
}

/// Options of `burst`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Burst {
    /// Events of one burst.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) size: u32,
}

/// Options of `backlog`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Backlog {
    /// Events that arrive while the endpoint is down.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) events: u64,
}

/// Options of `idle`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Idle {
    /// Endpoints, a thousand to an application.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) endpoints: u32,
}

/// Options of `restart`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Restart {
    /// The number of times that the process is killed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) cycles: u32,
}

/// Options of `scheduled`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Scheduled {
    /// Events that are due a day later.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) events: u64,
    /// Events whose lateness is measured: alone, and then beside the others.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) due: u64,
}

/// Options of `paused`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Paused {
    /// Endpoints, a thousand to an application.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    pub(crate) endpoints: u32,
    /// Events that wait at each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) waiting: u32,
}

/// Options of `policies`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Policies {
    /// The number of rounds; in each of them every policy is measured beside the load without any. Medians are shown.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Applications, with an equal share of the load.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) apps: u32,
    /// Endpoints of each application. They get every event, and share one backup in `failover`.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) endpoints: u32,
    /// Ordering keys of each application, in `order-key`. The more there are, the fewer events have a neighbour of the
    /// same key that they could be confused with.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) keys: u32,
    /// Only this policy; may be repeated.
    #[arg(long, value_enum)]
    pub(crate) only: Vec<Policy>,
}

/// A policy that `policies` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// A content filter at each endpoint, which every event matches.
    Filter,
    /// Order among the events of a key.
    OrderKey,
    /// Order among all events of an endpoint.
    OrderEndpoint,
    /// A backup for each endpoint, which is healthy itself.
    Failover,
    /// Details of every attempt are kept.
    Details,
    /// A signature in hex, in place of that of Standard Webhooks.
    Signature,
}

/// Options of `all`.
#[derive(Clone, Debug, Args)]
pub(crate) struct All {
    /// The number of rounds of limit, steady, fanout, batch, tenants, open and blackhole, one of each after the other.
    /// The median over these rounds is compared with a target. The other scenarios run once, after the last.
    /// With intervals of 4 s (--seconds) a round takes about 65 s, and all the rest about 150 s.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Events of `backlog`.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) backlog_events: u64,
    /// Endpoints of `idle`.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) idle_endpoints: u32,
    /// Cycles of `restart`.
    #[arg(long, default_value_t = 3)]
    pub(crate) restart_cycles: u32,
}

/// Options of `growth`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Growth {
    /// Only this axis. All of them, with points of 3 s (--seconds), take about 3 minutes.
    #[arg(long, value_enum)]
    pub(crate) axis: Option<Axis>,
    /// Write a plot of each axis into this folder: AXIS.svg.
    #[arg(long)]
    pub(crate) plots: Option<PathBuf>,
    /// A backlog of a million events too: about 70 s more.
    #[arg(long = "long")]
    pub(crate) is_long: bool,
}

/// The growing quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Axis {
    /// Endpoints that get each event.
    Endpoints,
    /// Endpoints that get nothing, beside a busy one.
    Idle,
    /// Applications with skewed load.
    Tenants,
    /// Events that wait for one endpoint and then drain.
    Backlog,
    /// KiB of each payload.
    Payload,
}

impl Axis {
    /// All of them, in the order in which they are measured.
    pub(crate) const ALL: [Axis; 5] = [Axis::Endpoints, Axis::Idle, Axis::Tenants, Axis::Backlog, Axis::Payload];
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound_and_a_url_needs_a_key() {
        Cli::command().debug_assert();
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("loadtest steady --seconds 2 --url http://127.0.0.1:1 --key k").is_ok());
        assert!(parse("loadtest --seconds 2 fanout --endpoints 3").is_ok());
        assert!(parse("loadtest steady --url http://127.0.0.1:1").is_err());
        assert!(parse("loadtest batch --size 0").is_err());
        assert!(parse("loadtest all --rounds 1").is_ok() && parse("loadtest all --rounds 0").is_err());
        assert!(
            parse("loadtest growth --axis payload --plots x").is_ok() && parse("loadtest growth --axis x").is_err()
        );
        assert!(parse("loadtest policies --only filter --only order-key --rounds 1").is_ok());
        assert!(parse("loadtest policies --endpoints 17").is_err(), "that many may not share a backup");
        assert_eq!(Axis::ALL, Axis::value_variants());
    }
}
