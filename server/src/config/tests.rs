//! The layers, their order, their errors and their printed form.

use super::merge::{apply, merge, names, settings_of};
use super::settings::Settings;
use super::{Config, ConfigError, Loaded, Source, Unit, file, numbers, print};
use clap::{Args as _, FromArgMatches as _};
use std::path::Path;

/// Every setting, none at its default.
const EVERYTHING: &str = r#"
listen = "127.0.0.2:1"
tls_cert = "/etc/pinion/tls.pem"
tls_key = "/etc/pinion/tls.key"
cors_origins = ["https://a.example", "http://localhost:3000"]
api_tiers = ["free=100/60", "pro=1000/60"]
default_api_tier = "free"
metrics_listen = "127.0.0.2:2"
data_dir = "/srv/pinion"
allow_targets = ["10.0.0.0/8", "127.0.0.1"]
target_ports = ["443", "8000-8999"]
egress_proxy = "socks5://proxy.internal:1080"
egress_proxy_except = ["10.0.0.0/8", "internal"]
https_only = true
public_url = "https://hooks.example.com/pinion"
signature_headers = "svix"
secret_kind = "ed25519"
attempt_details = "all"
ca_files = ["/etc/pinion/ca.pem"]
root_key_file = "/etc/pinion/root.key"
master_key_file = "/etc/pinion/master.key"
log_format = "json"
log_level = "info,engine=debug"
max_connections = 7
max_url_bytes = "1KiB"
max_header_bytes = "16KiB"
header_read_timeout_ms = "5s"
max_body_bytes = "2MiB"
max_batch_body_bytes = "4MiB"
max_bodies_bytes = "64MiB"
max_answers_bytes = "32MiB"
min_body_bytes_per_s = "1KiB"
max_batch_items = 11
max_concurrent_requests = 13
request_timeout_ms = "3s"
max_endpoints_per_app = 37
max_api_keys_per_app = 41
max_event_types = 43
max_running_jobs_per_app = 47
max_jobs_per_app = 53
max_dead_letters_per_app = 59
max_idempotency_keys_per_app = 61
max_scheduled_messages_per_app = 67
drain_timeout_ms = 1234
store_cache_bytes = "1GiB"
store_log_bytes = "4MiB"
disk_reserve_bytes = "3MiB"
ingest_queue_capacity = 17
ingest_queue_bytes = "2MiB"
backup_queue_bytes = "5MiB"
commit_max_events = 19
idempotency_hours = 3
retain_events_hours = "7d"
retain_attempts_hours = 48
retain_jobs_hours = "3d"
retain_jobs_per_app = 71
retain_dead_letters_hours = "14d"
retain_audit_hours = "90d"
retain_audit_records = 5000
retain_bytes = "5GiB"
shards = 3
attempt_timeout_ms = "2s"
max_in_flight = 5
max_in_flight_per_shard = 23
mailbox_capacity = 29
queue_memory_bytes_per_shard = "4MiB"
retries_in_memory = 31
retire_after_idle_ms = 200
response_kept_bytes = 10
response_read_bytes = 2048
retry_schedule = ["1s", "2m"]
retry_jitter = "full"
on_client_error = "dead-letter"
disable_after_failing_hours = "2d"
"#;

fn parse(text: &str) -> Result<file::FileSettings, file::FileError> {
    file::parse(Path::new("pinion.toml"), text)
}

fn load(text: &str, flags: &[&str]) -> Result<Loaded, ConfigError> {
    let command = Settings::augment_args(clap::Command::new("test").no_binary_name(true));
    let matches = command.try_get_matches_from(flags).expect("flags of the test are valid");
    let settings = Settings::from_arg_matches(&matches).expect("flags of the test are valid");
    merge(Some(parse(text)?), settings, |name| matches.contains_id(name).then(|| Source::Flag(name.replace('_', "-"))))
}

fn message(result: Result<Loaded, ConfigError>) -> String {
    result.expect_err("this configuration must be refused").to_string()
}

#[test]
fn every_setting_reaches_the_configuration_and_comes_back() {
    let settings = parse(EVERYTHING).unwrap().settings;
    let flags: Vec<String> = Settings::augment_args(clap::Command::new("test"))
        .get_arguments()
        .map(|argument| argument.get_id().to_string())
        .collect();
    assert!(flags.len() > 25);
    for flag in &flags {
        assert!(names(&settings).contains(flag), "{flag} is missing in the test's file");
    }
    let mut config = Config::default();
    apply(&mut config, settings.clone());
    assert_eq!(settings_of(&config), settings);
    let defaults = settings_of(&Config::default());
    for (name, value) in toml::Table::try_from(&settings).unwrap() {
        assert_ne!(toml::Table::try_from(&defaults).unwrap().get(&name), Some(&value), "{name} is at its default");
    }
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let loaded = load("shards = 3\nmax_in_flight = 5\n", &["--shards", "4"]).unwrap();
    assert_eq!(loaded.config.engine.shards, 4);
    assert_eq!(*loaded.source("shards"), Source::Flag("shards".to_owned()));
    assert_eq!(loaded.config.engine.max_in_flight_per_endpoint, 5);
    assert_eq!(loaded.source("max_in_flight").to_string(), "pinion.toml:2");
    assert_eq!(*loaded.source("listen"), Source::Default);
}

#[test]
fn a_list_of_a_flag_replaces_the_list_of_the_file() {
    let loaded = load("allow_targets = [\"10.0.0.0/8\"]", &["--allow-target", "127.0.0.0/8,::1"]).unwrap();
    let shown: Vec<String> = loaded.config.engine.allow_targets.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["127.0.0.0/8", "::1/128"]);
}

#[test]
fn a_schedule_is_one_attempt_longer_than_its_gaps() {
    for (text, flags) in [("", ["--retry-schedule", "none"].as_slice()), ("retry_schedule = []", &[])] {
        let policy = load(text, flags).unwrap().config.engine.retry_policy;
        assert_eq!(policy.max_attempts, 1, "{text} {flags:?}");
    }
    let loaded = load("", &["--retry-schedule", "5s,5m,2d"]).unwrap();
    let policy = loaded.config.engine.retry_policy;
    assert_eq!(policy.max_attempts, 4);
    assert_eq!(policy.max_delay_ms, 2 * 86_400_000, "a gap is not cut by the standard cap");
}

#[test]
fn an_unknown_setting_is_refused_with_its_place() {
    assert_eq!(
        message(load("shards = 3\n\n  shrads = 4\n", &[])),
        "pinion.toml:3:3: unknown setting `shrads`; `pinion serve --print-config` lists all settings"
    );
}

#[test]
fn a_wrong_value_is_refused_with_its_place() {
    let text = message(load("shards = 3\nattempt_timeout_ms = \"soon\"", &[]));
    assert!(text.starts_with("pinion.toml:2:22: ") && text.contains("whole number"), "{text}");
    let text = message(load("listen = 8071", &[]));
    assert!(text.starts_with("pinion.toml:1:10: "), "{text}");
    let text = message(load("max_in_flight = -1", &[]));
    assert!(text.starts_with("pinion.toml:1:17: "), "{text}");
}

#[test]
fn what_is_no_toml_is_refused_with_its_place() {
    let text = message(load("shards = 3\nshards = 4", &[]));
    assert!(text.starts_with("pinion.toml:2:1: "), "{text}");
    let text = message(load("[section", &[]));
    assert!(text.starts_with("pinion.toml:1:"), "{text}");
}

#[test]
fn a_value_out_of_its_bounds_is_refused_with_its_origin() {
    assert_eq!(message(load("\nshards = 0", &[])), "pinion.toml:2: shards must be between 1 and 256");
    let text = message(load("", &["--attempt-timeout-ms", "1h"]));
    assert!(text.starts_with("--attempt-timeout-ms: attempt_timeout_ms must be between 100 and 120000"), "{text}");
    let text = message(load("disable_after_failing_hours = 8761", &[]));
    assert!(text.ends_with("must be between 0 and 31536000000 (disable_after_failing_ms)"), "{text}");
    assert!(message(load("max_connections = 0", &[])).contains("max_connections must be between"));
    for gaps in [r#"["0s"]"#, r#"["8d"]"#, &format!("{:?}", ["1s"; 51])] {
        let text = message(load(&format!("retry_schedule = {gaps}"), &[]));
        assert!(text.contains("at most 50 gaps of 1ms to 7d each"), "{gaps}: {text}");
    }
    assert!(message(load("log_level = \"loud\"", &[])).contains("log_level must be a level"));
}

#[test]
fn the_password_of_a_proxy_is_in_no_text() {
    let good = load("egress_proxy = \"http://user:canary@proxy.internal:3128\"", &[]).unwrap();
    let printed = print(&good, |_| false);
    assert!(printed.contains("http://***@proxy.internal:3128"), "{printed}");
    let shown = format!("{printed} {:?} {:?}", good.config, settings_of(&good.config));
    assert!(!shown.contains("canary"), "{shown}");
    for wrong in
        ["ftp://user:canary@x:1", "http://user:canary@", "http://user:canary@x/path", "canary", "http://can%zary@x"]
    {
        let text = message(load("", &["--egress-proxy", wrong]));
        assert!(text.starts_with("--egress-proxy: egress_proxy is no proxy") && !text.contains("canary"), "{text}");
    }
}

#[test]
fn a_public_url_has_a_host_and_nothing_that_a_path_cannot_follow() {
    let good = load("", &["--public-url", "https://hooks.example.com:8443/p/"]).unwrap();
    assert_eq!(good.config.engine.public_url, "https://hooks.example.com:8443/p");
    for wrong in ["hooks.example.com", "ftp://a.b", "https://", "https://u:p@a.b", "https://a.b/?x=1", "https://a.b/#x"]
    {
        let text = message(load("", &["--public-url", wrong]));
        assert!(text.starts_with("--public-url: public_url must be http:// or https://"), "{wrong}: {text}");
    }
    assert!(load("", &["--public-url", &format!("https://a.b/{}", "x".repeat(512))]).is_err());
}

#[test]
fn a_certificate_and_its_key_are_set_together() {
    assert_eq!(message(load("tls_cert = \"a.pem\"", &[])), "pinion.toml:1: tls_cert needs tls_key beside it");
    assert_eq!(message(load("", &["--tls-key", "a.key"])), "--tls-key: tls_key needs tls_cert beside it");
    // Two layers may name one each.
    let config = load("tls_cert = \"a.pem\"", &["--tls-key", "a.key"]).unwrap().config;
    assert_eq!((config.tls_cert, config.tls_key), (Some("a.pem".into()), Some("a.key".into())));
}

#[test]
fn a_file_that_was_named_must_exist() {
    let error = file::read(Some(Path::new("/nonexistent/pinion.toml"))).unwrap_err();
    assert!(error.to_string().starts_with("could not read /nonexistent/pinion.toml: "));
}

#[test]
fn what_is_printed_is_a_file_that_gives_the_same_configuration() {
    let loaded = load(EVERYTHING, &["--shards", "9"]).unwrap();
    let text = print(&loaded, |_| false);
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or("").to_owned();
    assert!(line("shards").ends_with("# --shards"), "{text}");
    assert!(line("data_dir").ends_with("# pinion.toml:9"), "{text}");
    let again = merge(Some(parse(&text).unwrap()), Settings::default(), |_| None).unwrap();
    assert_eq!(settings_of(&again.config), settings_of(&loaded.config));
}

#[test]
fn printing_says_where_keys_are_and_never_what_they_are() {
    let loaded = load("data_dir = \"/srv/pinion\"", &[]).unwrap();
    let text = print(&loaded, |variable| variable == "PINION_ROOT_KEY");
    assert!(text.contains("the key itself is in PINION_ROOT_KEY (hidden)"));
    assert!(text.contains("# master_key_file: not set, the key is in /srv/pinion/master.key"));
    assert!(text.lines().any(|line| line.starts_with("listen") && line.ends_with("# default")));
}

#[test]
fn every_bound_is_a_number_in_the_unit_of_its_name() {
    let numbers = numbers(&Config::default());
    let shown = |label: &str| {
        let number = numbers.iter().find(|number| number.label == label).unwrap();
        (number.unit, number.value)
    };
    assert_eq!(shown("attempt_timeout"), (Unit::Seconds, 15.0));
    assert_eq!(shown("disable_after_failing"), (Unit::Seconds, 432_000.0));
    assert_eq!(shown("queue_memory_per_shard"), (Unit::Bytes, f64::from(32 << 20)));
    assert_eq!(shown("min_body"), (Unit::BytesPerSecond, f64::from(16 << 10)));
    assert_eq!(shown("max_in_flight"), (Unit::Number, 64.0));
    let words = [
        "listen",
        "cors_origins",
        "tls_cert",
        "tls_key",
        "cors_origins",
        "metrics_listen",
        "data_dir",
        "allow_targets",
        "target_ports",
        "ca_files",
        "root_key_file",
        "master_key_file",
    ];
    let others = [
        "log_format",
        "log_level",
        "retry_schedule",
        "retry_jitter",
        "on_client_error",
        "https_only",
        "egress_proxy",
        "egress_proxy_except",
        "signature_headers",
        "secret_kind",
        "attempt_details",
        "public_url",
        "api_tiers",
        "default_api_tier",
    ];
    for name in names(&parse(EVERYTHING).unwrap().settings) {
        let is_word = words.contains(&name.as_str()) || others.contains(&name.as_str());
        assert_ne!(numbers.iter().any(|number| number.setting == name), is_word, "{name}");
    }
}
