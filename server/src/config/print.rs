//! The configuration for people and for machines: as TOML, each value with where it came from
//! (`pinion serve --print-config`), and as numbers for a scrape.
//!
//! What is printed can be saved as `pinion.toml`. Deliberately shows no key: only where one would be taken from.

use super::merge::settings_of;
use super::units::{Hours, Millis, Size};
use super::{Config, Loaded};

/// Renders `loaded`. `key_in_environment` tells whether a variable holds a key itself.
pub(crate) fn print(loaded: &Loaded, key_in_environment: impl Fn(&str) -> bool) -> String {
    let settings = settings_of(&loaded.config);
    // The struct serialises into a table of strings, numbers and lists: there is nothing that TOML has no form for.
    let text = toml::to_string(&settings).unwrap_or_default();
    let mut out = String::from("# Flags over PINION_* over pinion.toml over defaults. This is a valid pinion.toml.\n");
    let width = text.lines().map(str::len).filter(|&len| len <= 64).max().unwrap_or(0);
    for line in text.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        out.push_str(&format!("{line:<width$} # {}\n", loaded.source(name)));
    }
    for (setting, variable, file) in
        [("root_key_file", "PINION_ROOT_KEY", "root.key"), ("master_key_file", "PINION_MASTER_KEY", "master.key")]
    {
        if key_in_environment(variable) {
            out.push_str(&format!("# {setting}: not used, the key itself is in {variable} (hidden)\n"));
        } else if *loaded.source(setting) == super::Source::Default {
            let path = loaded.config.data_dir.join(file);
            out.push_str(&format!("# {setting}: not set, the key is in {} (generated there)\n", path.display()));
        }
    }
    out
}

/// Every setting's default as a flag would take it; empty when that is an empty list.
pub(crate) fn defaults() -> Vec<(String, String)> {
    let table = toml::Table::try_from(settings_of(&Config::default())).unwrap_or_default();
    table.into_iter().map(|(name, value)| (name, plain(&value))).collect()
}

/// A value without the quotes and brackets of TOML.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Every setting that is a number, in the unit of its name: what a metric can show.
pub(crate) fn numbers(config: &Config) -> Vec<(String, f64)> {
    let table = toml::Table::try_from(settings_of(config)).unwrap_or_default();
    table.into_iter().filter_map(|(name, value)| number(&name, &value).map(|number| (name, number))).collect()
}

fn number(name: &str, value: &toml::Value) -> Option<f64> {
    const HOUR_MS: f64 = 3_600_000.0;
    match value {
        toml::Value::Integer(number) => Some(*number as f64),
        toml::Value::String(text) if name.ends_with("_hours") => Some(text.parse::<Hours>().ok()?.0 as f64 / HOUR_MS),
        toml::Value::String(text) if name.ends_with("_ms") => Some(text.parse::<Millis>().ok()?.0 as f64),
        toml::Value::String(text) if name.contains("_bytes") => Some(text.parse::<Size>().ok()?.0 as f64),
        _ => None,
    }
}
