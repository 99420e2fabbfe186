//! The table of `docs/CONFIGURATION.md`, made from the declarations of the settings, their defaults and their bounds. A
//! test holds the page to it; with `DOCS_WRITE` in the environment it writes the page instead.

use super::bounds::{PUBLIC_URL_RULE, own, setting_of_engine_field};
use super::settings::Settings;
use super::units::{Gap, Size, Span};
use super::{Config, defaults, numbers};
use admin_api::CORS_ORIGINS_MAX;
use clap::{Arg, ArgAction, Args as _};
use control::rate::{NAME_MAX as TIER_NAME_MAX, PER_S_MAX, TIERS_MAX};
use engine::retry::schedule::{MAX_DELAY_MS, MAX_SCHEDULE_ENTRIES};
use std::collections::BTreeMap;

/// The page.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIGURATION.md");

/// The lines around the tables.
const BEGIN: &str = "<!-- settings: server/src/config/reference.rs -->\n";
const END: &str = "<!-- end of settings -->\n";

/// The first setting of each section, in the order of the declarations.
const SECTIONS: [(&str, &str); 7] = [
    ("listen", "Listeners, files and targets"),
    ("log_format", "The log"),
    ("max_connections", "Bounds of the API, quotas, stop"),
    ("store_cache_bytes", "The store and its writer"),
    ("retain_events_hours", "Retention"),
    ("shards", "Deliveries"),
    ("signature_headers", "Defaults of endpoints"),
];

/// Defaults that depend on the machine.
const OF_THE_MACHINE: [(&str, &str); 1] = [("shards", "the cores, 256 at most")];

/// Least and greatest value of each setting that has them, as the checks have them.
fn bounds() -> BTreeMap<&'static str, (u64, u64)> {
    let config = Config::default();
    let of_engine = config.engine.bounds().map(|(field, value, least, most)| {
        let setting = setting_of_engine_field(field);
        (setting, value, least, most)
    });
    own(&config).into_iter().chain(of_engine).map(|(setting, _, least, most)| (setting, (least, most))).collect()
}

/// A bound in the unit of its setting. Times are bounded in milliseconds, whatever the unit of the name.
fn shown(setting: &str, value: u64) -> String {
    if value == 0 {
        "0".to_owned()
    } else if setting.ends_with("_ms") || setting.ends_with("_hours") {
        Span::<0>(value).to_string()
    } else if setting.contains("bytes") {
        Size(value).to_string()
    } else {
        value.to_string()
    }
}

/// The bounds of a setting in words; empty when any value of its type will do.
fn rule(setting: &str, bounds: &BTreeMap<&str, (u64, u64)>) -> String {
    if let Some((least, most)) = bounds.get(setting) {
        return format!("{} to {}", shown(setting, *least), shown(setting, *most));
    }
    match setting {
        "api_tiers" => format!(
            "at most {TIERS_MAX}; names of 1 to {TIER_NAME_MAX} letters, digits, `-`, `_`; at most {PER_S_MAX} s"
        ),
        "default_api_tier" => "one of `api_tiers`".to_owned(),
        "cors_origins" => format!("at most {CORS_ORIGINS_MAX}"),
        "public_url" => PUBLIC_URL_RULE.trim_start_matches("must be ").to_owned(),
        "retry_schedule" => {
            let longest: Gap = Span(MAX_DELAY_MS);
            format!("at most {MAX_SCHEDULE_ENTRIES} gaps of 1ms to {longest} each")
        }
        "tls_cert" => "together with `tls_key`".to_owned(),
        "tls_key" => "together with `tls_cert`".to_owned(),
        _ => String::new(),
    }
}

/// The form that a value has.
fn form(argument: &Arg) -> String {
    let possible: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !possible.is_empty() {
        return possible.join(", ");
    }
    let name = argument.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str());
    let one = match name {
        "MS" => "time; a bare number is ms".to_owned(),
        "HOURS" => "time; a bare number is hours".to_owned(),
        "SIZE" => "size; a bare number is bytes".to_owned(),
        "N" => "number".to_owned(),
        "ADDR" => "address with port".to_owned(),
        "DIR" => "folder".to_owned(),
        "GAPS" => "list of times".to_owned(),
        name => name.to_lowercase().replace('|', " or "),
    };
    let is_list = argument.get_value_delimiter().is_some() && matches!(argument.get_action(), ArgAction::Append);
    if is_list { format!("list of {one}") } else { one }
}

fn row(argument: &Arg, defaults: &BTreeMap<String, String>, bounds: &BTreeMap<&str, (u64, u64)>) -> String {
    let setting = argument.get_id().as_str();
    let flag = argument.get_long().unwrap_or_default();
    let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
    let of_the_machine = OF_THE_MACHINE.iter().find(|(name, _)| *name == setting).map(|(_, default)| *default);
    let default = match (of_the_machine, defaults.get(setting).filter(|default| !default.is_empty())) {
        (Some(default), _) => default.to_owned(),
        (None, Some(default)) => format!("`{default}`"),
        (None, None) => "none".to_owned(),
    };
    let meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let cells = [
        format!("`{setting}`"),
        format!("`--{flag}` `{variable}`"),
        form(argument),
        default,
        rule(setting, bounds),
        format!("{}.", meaning.trim_end_matches('.')).replace('|', "\\|"),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// The tables, one for each section.
fn tables() -> String {
    let command = Settings::augment_args(clap::Command::new("pinion"));
    let defaults: BTreeMap<String, String> = defaults().into_iter().collect();
    let bounds = bounds();
    let mut out = String::new();
    for argument in command.get_arguments() {
        if let Some((_, title)) = SECTIONS.iter().find(|(first, _)| argument.get_id() == *first) {
            let head =
                "| setting | flag and variable | form | default | bounds | meaning |\n|---|---|---|---|---|---|\n";
            out.push_str(&format!("\n## {title}\n\n{head}"));
        }
        out.push_str(&row(argument, &defaults, &bounds));
    }
    out.push('\n');
    out
}

#[test]
fn the_page_of_settings_is_made_from_them() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = [before, BEGIN, &tables(), END, after].concat();
    if std::env::var_os("DOCS_WRITE").is_some() {
        return std::fs::write(PAGE, made).unwrap();
    }
    let other = made.lines().zip(page.lines()).find(|(made, written)| made != written);
    assert!(
        made == page,
        "docs/CONFIGURATION.md is not what the settings make; `DOCS_WRITE=1 cargo test -p server --bin pinion reference` \
         writes it. First difference (made, written): {other:#?}"
    );
}

#[test]
fn every_setting_that_is_a_number_has_bounds() {
    let bounds = bounds();
    for number in numbers(&Config::default()) {
        assert!(bounds.contains_key(number.setting.as_str()), "{} has no bounds", number.setting);
    }
}

#[test]
fn every_section_begins_with_a_setting() {
    let tables = tables();
    for (first, title) in SECTIONS {
        assert!(tables.contains(&format!("## {title}\n")), "there is no setting {first}");
    }
}
