//! The metrics of a scrape, compared with `docs/METRICS.md` and checked by Prometheus' own checker.

use crate::harness::{Receiver, Server, poll_until, seconds};
use crate::tls::TlsServer;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

const DOCUMENT: &str = include_str!("../../../docs/METRICS.md");

/// One sample line.
struct Sample<'a> {
    /// Without the suffix that a histogram adds.
    family: &'a str,
    /// Names and values.
    labels: Vec<(&'a str, &'a str)>,
}

/// A name and the labels it is documented or exported with.
type Shape = (String, BTreeSet<String>);

/// Deliveries that succeed, fail and wait; the scrape after them, and the ids of everything there is.
fn scrape_after_traffic() -> (String, Vec<String>) {
    let flags = ["--retry-schedule", "100ms", "--store-log-bytes", "64KiB"];
    let (server, receiver) = (Server::start(&flags), Receiver::start());
    let mut ids = Vec::new();
    let mut note = |answer: Value| ids.push(answer["id"].as_str().unwrap().to_owned());
    let app = json!({"name": "Canary Limited", "uid": "canary-app"});
    note(server.api_expect(201, "POST", "/api/v1/app", app));
    for (uid, path) in [("canary-well", "/status/200"), ("canary-ill", "/status/500"), ("canary-gone", "/status/410")] {
        let endpoint = json!({"url": receiver.url(path), "uid": uid});
        note(server.api_expect(201, "POST", "/api/v1/app/canary-app/endpoint", endpoint));
    }
    for number in 0..3 {
        let message = json!({"eventType": "canary.type", "eventId": format!("canary-{number}"), "payload": {}});
        note(server.api_expect(202, "POST", "/api/v1/app/canary-app/msg", message));
    }
    // Enough commits for a checkpoint.
    for number in 0..20 {
        let event_type = json!({"name": format!("canary.{number}"), "description": ""});
        server.api_expect(201, "POST", "/api/v1/event-type", event_type);
    }
    server.api_expect(404, "GET", "/api/v1/app/canary-none/msg/canary-none", Value::Null);
    server.anonymous().send("GET", "/canary/elsewhere", &[], None).unwrap();
    poll_until("deliveries", seconds(20), || {
        let delivered = server.metric("pinion_deliveries_succeeded_total", &[]);
        (delivered == 3.0 && server.metric("pinion_dead_letters_total", &[]) >= 4.0).then_some(())
    });
    // The shards measure once a second, the store is measured every few seconds.
    poll_until("measurements", seconds(20), || {
        let text = server.monitor("/metrics").text();
        [
            "pinion_oldest_undelivered_age_seconds{",
            "pinion_store_size_bytes ",
            "pinion_checkpoint_duration_seconds_count ",
        ]
        .iter()
        .all(|name| text.contains(&format!("\n{name}")))
        .then_some(())
    });
    // A server has these with TLS alone.
    let with_tls = TlsServer::start(&[]).server.monitor("/metrics").text();
    let is_of_listener =
        |line: &&str| ["pinion_tls_reloads_", "pinion_tls_certificate_"].iter().any(|name| line.contains(name));
    let of_tls = with_tls.lines().filter(is_of_listener).map(|line| format!("{line}\n"));
    (server.monitor("/metrics").text() + &of_tls.collect::<String>(), ids)
}

fn samples(text: &str) -> Vec<Sample<'_>> {
    let histograms: BTreeSet<&str> =
        typed(text).filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name).collect();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (key, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
            let labels = labels.strip_suffix('}').unwrap().split_terminator(',');
            let labels =
                labels.map(|label| label.split_once('=').unwrap()).map(|(name, value)| (name, value.trim_matches('"')));
            let parts = ["_bucket", "_sum", "_count"];
            let base = parts.iter().find_map(|part| name.strip_suffix(part)).filter(|base| histograms.contains(base));
            Sample { family: base.unwrap_or(name), labels: labels.collect() }
        })
        .collect()
}

fn typed(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
}

/// Name, kind and labels of every row of the document's tables: `| ``name{label}`` | kind | meaning |`.
fn documented() -> BTreeSet<(Shape, String)> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (key, rest) = row.split_once('`').unwrap();
        let kind = rest.split('|').nth(1).unwrap().trim().to_owned();
        let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
        let labels = labels.trim_end_matches('}').split_terminator(',').map(str::to_owned).collect();
        ((name.to_owned(), labels), kind)
    })
    .collect()
}

#[test]
fn a_scrape_is_what_the_document_says_and_names_nobody() {
    let (text, ids) = scrape_after_traffic();
    let samples = samples(&text);
    let exported: BTreeSet<(Shape, String)> = typed(&text)
        .map(|(name, kind)| {
            let of_it = samples.iter().filter(|sample| sample.family == name);
            let labels = of_it.flat_map(|sample| sample.labels.iter().map(|(label, _)| (*label).to_owned()));
            ((name.to_owned(), labels.filter(|label| label != "le").collect()), kind.to_owned())
        })
        .collect();
    let documented = documented();
    assert!(documented.len() > 20);
    let missing: Vec<_> = documented.difference(&exported).collect();
    let unknown: Vec<_> = exported.difference(&documented).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "documented only: {missing:#?}\nexported only: {unknown:#?}");

    for sample in &samples {
        let name = sample.family;
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help text");
        assert!(typed(&text).any(|(typed, _)| typed == name), "{name} has no type");
        for (label, value) in &sample.labels {
            let names_somebody = value.contains("canary") || ids.iter().any(|id| value.contains(id.as_str()));
            assert!(!names_somebody, "{name} {label}={value}");
        }
    }
}

/// The metrics that only a server with a certificate has.
const OF_TLS: [&str; 2] = ["pinion_tls_reloads_total", "pinion_tls_certificate_end_timestamp_seconds"];

#[test]
fn every_metric_is_there_before_anything_has_happened() {
    let server = Server::start(&[]);
    let missing = || {
        let text = server.monitor("/metrics").text();
        let there: BTreeSet<String> = samples(&text).iter().map(|sample| sample.family.to_owned()).collect();
        let documented = documented().into_iter().map(|((name, _), _)| name);
        documented.filter(|name| !there.contains(name) && !OF_TLS.contains(&name.as_str())).collect::<Vec<String>>()
    };
    // Metrics that are measured, and not counted, are measured at once.
    poll_until("all metrics", seconds(5), || missing().is_empty().then_some(()));
    let text = server.monitor("/metrics").text();
    let has = |line: &str| assert!(text.lines().any(|each| each.starts_with(line)), "{line} is not in {text}");
    has("pinion_fdatasync_duration_seconds_bucket{le=\"0.00005\"}");
    has("pinion_delivery_latency_seconds_bucket{le=\"86400\"}");
    has("pinion_schedule_lag_seconds_bucket{le=\"86400\"}");
    has("pinion_setting_seconds{setting=\"attempt_timeout\"} 15");
    has("pinion_setting_bytes{setting=\"disk_reserve\"} 268435456");
}

#[test]
fn prometheus_own_checker_has_nothing_to_say() {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no promtool here");
        return;
    };
    let (text, _) = scrape_after_traffic();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}
