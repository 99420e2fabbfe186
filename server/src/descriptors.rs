//! File descriptors as a budget: the system's limit, divided before anything is opened.
//!
//! The store comes first, as a checkpoint that finds no descriptor would end the process. Then come the listeners and
//! the connections to receivers. The bounds of these fit into the rest, so nobody can take the store's descriptors. A
//! bound that the operator set is never changed: when it does not fit, the start is refused with the numbers.
//!
//! Pure, but for [`fit`], which puts the result into the configuration.

use crate::config::{Loaded, Source};
use crate::metrics_listen;

/// Store: the map with its snapshots, the two files of the log, lock, watermark, format, and folders that are synced.
const STORE_FIXED: usize = 24;
/// Store: value files that are kept open (`storage::disk`), and as many that a reader holds a moment longer.
const STORE_VALUE_FILES: usize = 2 * 64;
/// Store: one value file ends after so many bytes. Those that a checkpoint filled are open until it synced them.
const VALUE_FILE_BYTES: usize = 16 << 20;
/// Standard streams, the runtime of the API, the listening sockets, files of keys and the resolver's.
const OWN_FIXED: usize = 24;
/// The runtime of a shard.
const OWN_PER_SHARD: usize = 4;
/// Name lookups in progress, connections that were closed a moment ago, scrapes of `/proc`.
const MARGIN: usize = 96;
/// Connections that a shard has for each attempt it may have in flight: one in use, one idle.
const PER_ATTEMPT: usize = 2;
/// Connections that the API gets at least.
const API_FLOOR: usize = 64;
/// Attempts that a shard gets at least.
const ATTEMPTS_FLOOR: usize = 16;

/// A bound that takes descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// The configured value.
    pub(crate) value: usize,
    /// True when the operator set it.
    pub(crate) is_set: bool,
}

/// The bounds that share the descriptors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Connections of the API.
    pub(crate) connections: Bound,
    /// Attempts in flight of a shard.
    pub(crate) in_flight_per_shard: Bound,
    /// Shards.
    pub(crate) shards: usize,
    /// Connections of the metrics listener.
    pub(crate) metrics: usize,
    /// One file of the store's log.
    pub(crate) store_log_bytes: usize,
}

/// Bounds that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Divided {
    /// Descriptors of the store.
    pub(crate) store: usize,
    /// Connections of the API.
    pub(crate) connections: usize,
    /// Attempts in flight of a shard.
    pub(crate) in_flight_per_shard: usize,
}

/// The limit of open files is too low for the bounds that were set, or for the least that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and {needed} are needed: {store} for the store, {own} for the process, \
     {metrics} for the metrics listener, {connections} for connections of the API (max_connections), and \
     {receivers} for connections to receivers (max_in_flight_per_shard x {PER_ATTEMPT} x shards); \
     raise the limit (ulimit -n, LimitNOFILE=) or lower these settings"
)]
pub(crate) struct DoesNotFit {
    limit: usize,
    needed: usize,
    store: usize,
    own: usize,
    metrics: usize,
    connections: usize,
    receivers: usize,
}

/// Divides `limit` descriptors.
///
/// # Errors
/// When the bounds that were set, or the floors, do not fit.
pub(crate) fn divide(limit: usize, wanted: &Wanted) -> Result<Divided, DoesNotFit> {
    let store = STORE_FIXED + STORE_VALUE_FILES + 2 * (wanted.store_log_bytes / VALUE_FILE_BYTES + 1);
    let own = OWN_FIXED + OWN_PER_SHARD * wanted.shards + MARGIN;
    let fixed = store + own + wanted.metrics;
    let per_attempt = PER_ATTEMPT.saturating_mul(wanted.shards).max(1);
    let least = |bound: Bound, floor: usize| if bound.is_set { bound.value } else { bound.value.min(floor) };
    let connections = least(wanted.connections, API_FLOOR);
    let attempts = least(wanted.in_flight_per_shard, ATTEMPTS_FLOOR);
    let receivers = attempts.saturating_mul(per_attempt);
    let needed = fixed.saturating_add(connections).saturating_add(receivers);
    if needed > limit {
        return Err(DoesNotFit { limit, needed, store, own, metrics: wanted.metrics, connections, receivers });
    }
    // A bound that is not set gets as much of the rest as it wants. The API gets half of the rest, as operators must get in
    // to set things right.
    let rest = limit - needed;
    let more_wanted = wanted.connections.value.saturating_sub(connections);
    let attempts_wanted = wanted.in_flight_per_shard.value.saturating_sub(attempts);
    let half = if attempts_wanted == 0 { rest } else { rest / 2 };
    let more = more_wanted.min(half);
    let more_attempts = attempts_wanted.min((rest - more) / per_attempt);
    Ok(Divided { store, connections: connections + more, in_flight_per_shard: attempts + more_attempts })
}

/// Lowers the bounds of `loaded` that the operator left alone, so that all of them fit into `limit`.
///
/// # Errors
/// See [`divide`].
pub(crate) fn fit(loaded: &mut Loaded, limit: u64) -> Result<(), DoesNotFit> {
    let is_set = |setting: &str| *loaded.source(setting) != Source::Default;
    let config = &loaded.config;
    let in_flight = config.engine.max_in_flight_per_shard;
    let wanted = Wanted {
        connections: Bound { value: config.http.max_connections, is_set: is_set("max_connections") },
        in_flight_per_shard: Bound { value: in_flight, is_set: is_set("max_in_flight_per_shard") },
        shards: config.engine.shards,
        metrics: metrics_listen::BOUNDS.max_connections,
        store_log_bytes: config.store_log_bytes,
    };
    let divided = divide(usize::try_from(limit).unwrap_or(usize::MAX), &wanted)?;
    let Divided { connections, in_flight_per_shard, store } = divided;
    if (connections, in_flight_per_shard) != (wanted.connections.value, in_flight) {
        let (max_connections, max_in_flight_per_shard) = (connections, in_flight_per_shard);
        tracing::warn!(
            limit,
            store,
            max_connections,
            max_in_flight_per_shard,
            "the limit of open files lowered bounds"
        );
    }
    loaded.config.http.max_connections = connections;
    loaded.config.engine.max_in_flight_per_shard = in_flight_per_shard;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two shards and logs of 32 MiB: the store gets 158, the process 128, the metrics listener 64.
    const FIXED: usize = 158 + 128 + 64;

    fn wanted(connections: Bound, in_flight_per_shard: Bound) -> Wanted {
        Wanted { connections, in_flight_per_shard, shards: 2, metrics: 64, store_log_bytes: 32 << 20 }
    }

    const fn default(value: usize) -> Bound {
        Bound { value, is_set: false }
    }

    const fn set(value: usize) -> Bound {
        Bound { value, is_set: true }
    }

    #[test]
    fn what_fits_is_left_alone_and_defaults_are_lowered() {
        let (api, attempts) = (default(4_096), default(8_192));
        let table = [
            // (limit, API, attempts) → (API, attempts)
            (1 << 20, api, attempts, (4_096, 8_192)),
            (FIXED + 4_096 + 4 * 8_192, api, attempts, (4_096, 8_192)),
            (FIXED + 4_096 + 4 * 8_192 - 4, api, attempts, (4_096, 8_191)),
            (20_000, api, attempts, (4_096, 3_888)),
            (4_096, api, attempts, (1_873, 468)),
            (1_024, api, attempts, (337, 84)),
            (4_096, set(3_000), attempts, (3_000, 186)),
            (4_096, api, set(800), (546, 800)),
            (4_096, set(100), set(100), (100, 100)),
            // A small default is no floor to be raised to.
            (1_024, default(10), default(5), (10, 5)),
            (FIXED + 64 + 4 * 16, api, attempts, (64, 16)),
        ];
        for (limit, api, attempts, (connections, in_flight_per_shard)) in table {
            let divided = divide(limit, &wanted(api, attempts)).unwrap();
            let expected = Divided { store: 158, connections, in_flight_per_shard };
            assert_eq!(divided, expected, "of {limit}: {api:?}, {attempts:?}");
            assert!(FIXED + connections + 4 * in_flight_per_shard <= limit);
        }
    }

    #[test]
    fn what_was_set_and_does_not_fit_is_refused_with_the_numbers() {
        let table = [
            (FIXED + 64 + 4 * 16 - 1, default(4_096), default(8_192)),
            (4_096, set(4_000), default(8_192)),
            (4_096, default(4_096), set(4_096)),
            (256, default(4_096), default(8_192)),
            (4_096, set(usize::MAX), set(usize::MAX)),
        ];
        for (limit, api, attempts) in table {
            let text = divide(limit, &wanted(api, attempts)).unwrap_err().to_string();
            assert!(
                text.contains(&format!("open files is {limit}, and ")) && text.contains("158 for the store"),
                "{text}"
            );
        }
    }
}
