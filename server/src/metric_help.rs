//! The help text of each metric, as a scrape shows it. `docs/METRICS.md` says more.
//!
//! One table for the whole process, although the counting is done everywhere: a metric that is missing here fails a test.

use crate::config::{Loaded, Unit, numbers};
use model::metric;

/// The kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

use Kind::{Counter, Gauge, Histogram};

const HELP: &[(Kind, &str, &str)] = &[
    (Counter, metric::INGEST_ACCEPTED, "Messages that are durable and will be delivered."),
    (Counter, metric::INGEST_REJECTED, "Messages refused, by reason."),
    (Histogram, metric::COMMIT_SECONDS, "One group commit, from batch to durable."),
    (Histogram, metric::FDATASYNC_SECONDS, "The fdatasync of one commit."),
    (Histogram, metric::CHECKPOINT_SECONDS, "One checkpoint: a full log file put into the ordered map."),
    (Counter, metric::BACKUPS, "Backups that ended, by outcome."),
    (Counter, metric::DAMAGED_READS, "Reads that met a damaged part of the log and passed it over."),
    (Histogram, metric::CHECKPOINT_WAIT_SECONDS, "What the first commit of a lap waited for the checkpoint before."),
    (Histogram, metric::COMMIT_EVENTS, "Messages in one commit; 0 for commits of settlements alone."),
    (Gauge, metric::STORE_BYTES, "The store's files."),
    (Gauge, metric::DISK_FREE_BYTES, "Room that the store may grow by; below the reserve, messages are refused."),
    (Counter, metric::ATTEMPTS, "Attempts by what they showed."),
    (
        Counter,
        metric::ATTEMPTS_NOT_MADE,
        "Attempts that were not made for want of something of ours: connections, lookups, descriptors. Tried again.",
    ),
    (Histogram, metric::ATTEMPT_SECONDS, "One attempt, from name lookup to the last byte of the answer."),
    (Counter, metric::HTTP2_ABUSE, "HTTP/2 connections closed as floods, by the frame that went too far."),
    (Counter, metric::TLS_ABUSE, "TLS connections to receivers closed because they carried too little of a message."),
    (Gauge, metric::IN_FLIGHT, "Attempts under way."),
    (Counter, metric::DELIVERED, "Deliveries that ended well."),
    (Histogram, metric::DELIVERY_SECONDS, "From acceptance to success, retries included."),
    (Histogram, metric::SCHEDULE_LAG_SECONDS, "From due (or accepted, for a first try) to started."),
    (Counter, metric::RETRIES, "Attempts that led to another."),
    (Counter, metric::DEAD_LETTERS, "Deliveries given up, by reason."),
    (
        Counter,
        metric::DEAD_LETTERS_EVICTED,
        "Dead letters that made room for newer ones, at the quota of an application.",
    ),
    (Counter, metric::ENDPOINT_WARNINGS, "Endpoints with half of the failed deliveries in a row that disable them."),
    (Counter, metric::FAILOVERS, "Switches between an endpoint and its backup, by the side switched to."),
    (Counter, metric::ENDPOINTS_DISABLED, "Endpoints disabled by what they answered, by reason."),
    (Gauge, metric::ACTORS, "Endpoints that have something to do, or had a moment ago."),
    (Gauge, metric::BEHIND, "Endpoints that read their deliveries from disk."),
    (Counter, metric::MAILBOX_FULL, "Deliveries that found no room in memory and wait on disk."),
    (Counter, metric::FILTER_ERRORS, "Messages that a content filter could not judge: they do not match."),
    (Gauge, metric::QUEUED_BYTES, "Payloads that wait in memory."),
    (Gauge, metric::OLDEST_SECONDS, "Age of the oldest delivery that waits for its first try, in memory or on disk."),
    (Gauge, metric::BREAKERS, "Endpoints that have something to do, by the state of their breaker."),
    (Counter, metric::BREAKER_TRANSITIONS, "Breaker transitions, by the state entered."),
    (
        Gauge,
        metric::LONGEST_STALL_SECONDS,
        "The longest time in the last minute that a shard's thread or the writer's did nothing else.",
    ),
    (Gauge, metric::WHEEL_TIMERS, "Timers in the timing wheels."),
    (Counter, metric::RETENTION_REMOVED, "What retention removed, by kind."),
    (Counter, metric::RETENTION_REMOVED_BYTES, "Bytes of rows that retention removed, by kind."),
    (Counter, metric::EXPIRED_UNTRIED, "Messages that retention removed before an endpoint came to them."),
    (Gauge, metric::RETAINED_BYTES, "Bytes of rows retained, by kind."),
    (Gauge, metric::RETENTION_LAG_SECONDS, "How far the time that retention goes by is behind the clock."),
    (Gauge, metric::BUILD_INFO, "Always 1; its label says which version runs."),
    (Counter, metric::API_REQUESTS, "API requests by method, route and status code."),
    (Histogram, metric::API_SECONDS, "API requests by method and route."),
    (Counter, metric::API_UNAUTHORIZED, "API requests refused for want of a known key."),
    (Gauge, metric::API_BODIES_BYTES, "Room taken by larger bodies of API requests."),
    (Gauge, metric::API_ANSWERS_BYTES, "Room taken by larger answers that API clients have not read yet."),
    (Counter, metric::QUOTA_REFUSALS, "API requests that asked for more than there may be, by quota."),
    (
        Counter,
        metric::API_RATE_LIMITED_REQUESTS,
        "API requests of keys and applications with a limit, passed and refused; messages of a batch count.",
    ),
    (Gauge, metric::QUOTA_USED_RATIO_MAX, "How full a quota is for the application that uses most of it."),
    (Gauge, metric::CONNECTIONS, "Open connections of an HTTP listener."),
    (Gauge, metric::CONNECTIONS_LIMIT, "Connections that an HTTP listener takes at once."),
    (Counter, metric::CONNECTIONS_ACCEPTED, "Connections that an HTTP listener accepted."),
    (Counter, metric::CONNECTIONS_CLOSED, "Connections that an HTTP listener closed by itself, by reason."),
    (Counter, metric::TLS_RELOADS, "Readings of the API listener's certificate after the start, by outcome."),
    (Gauge, metric::TLS_CERTIFICATE_END, "When the API listener's certificate ends, in Unix time."),
    (Gauge, metric::SETTING_SECONDS, "A configured time."),
    (Gauge, metric::SETTING_BYTES, "A configured size."),
    (Gauge, metric::SETTING_BYTES_PER_SECOND, "A configured speed."),
    (Gauge, metric::SETTING_NUMBER, "A configured number of things."),
];

/// Histograms that are recorded where something happens, which may be late.
const HISTOGRAMS_WITHOUT_LABELS: [&str; 5] = [
    metric::COMMIT_SECONDS,
    metric::FDATASYNC_SECONDS,
    metric::CHECKPOINT_SECONDS,
    metric::CHECKPOINT_WAIT_SECONDS,
    metric::COMMIT_EVENTS,
];

/// Gives every metric its help text, and exports the configuration. The recorder must be in place.
pub(crate) fn describe(loaded: &Loaded) {
    for (kind, name, help) in HELP {
        match kind {
            Counter => metrics::describe_counter!(*name, *help),
            Gauge => metrics::describe_gauge!(*name, *help),
            Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
    metrics::gauge!(metric::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    for number in numbers(&loaded.config) {
        let name = match number.unit {
            Unit::Seconds => metric::SETTING_SECONDS,
            Unit::Bytes => metric::SETTING_BYTES,
            Unit::BytesPerSecond => metric::SETTING_BYTES_PER_SECOND,
            Unit::Number => metric::SETTING_NUMBER,
        };
        metrics::gauge!(name, "setting" => number.label).set(number.value);
    }
    // A rate or a quantile needs a series that was seen before the first event.
    for histogram in HISTOGRAMS_WITHOUT_LABELS {
        drop(metrics::histogram!(histogram));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The constants of a source file: `const NAME: &str = "pinion_…";`.
    fn names(source: &str) -> Vec<&str> {
        let after = source.split("&str = \"pinion_").skip(1);
        after.filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn every_metric_has_a_help_text() {
        let model = names(include_str!("../../model/src/metric.rs"));
        assert_eq!(model.len(), HELP.len());
        for name in model {
            let described = HELP.iter().any(|(_, known, _)| known.strip_prefix("pinion_") == Some(name));
            assert!(described, "pinion_{name} has no help text");
        }
    }

    #[test]
    fn names_say_what_kind_and_unit_they_are() {
        for (kind, name, help) in HELP {
            assert_eq!(*kind == Counter, name.ends_with("_total"), "{name}");
            assert!(help.ends_with('.') && !help.is_empty(), "{name}");
            let milli = ["_ms", "_millis", "_milliseconds", "_kb"].iter().any(|unit| name.ends_with(unit));
            assert!(!milli, "{name} is not in a base unit");
        }
        let mut sorted: Vec<&str> = HELP.iter().map(|(_, name, _)| *name).collect();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), HELP.len());
    }
}
