//! The configuration for people and for machines: as TOML, each value with its source (`pinion serve --print-config`), and
//! as numbers for a scrape.
//!
//! The printed text can be saved as `pinion.toml`. It shows no key, only the file or variable that a key is read from.

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

/// The base unit of a setting that is a number, as its metric has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Time.
    Seconds,
    /// Memory, sizes.
    Bytes,
    /// A speed.
    BytesPerSecond,
    /// Things.
    Number,
}

/// A setting that is a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    /// The setting, as the configuration names it.
    pub(crate) setting: String,
    /// The same without the unit, which the configuration may have in another size.
    pub(crate) label: String,
    /// Of the value.
    pub(crate) unit: Unit,
    /// In base units.
    pub(crate) value: f64,
}

/// Every setting that is a number, so that a metric can show it.
pub(crate) fn numbers(config: &Config) -> Vec<Number> {
    let table = toml::Table::try_from(settings_of(config)).unwrap_or_default();
    table.into_iter().filter_map(|(setting, value)| number(setting, &value)).collect()
}

fn number(setting: String, value: &toml::Value) -> Option<Number> {
    const SECOND_MS: f64 = 1_000.0;
    // The longest suffix first: each is the end or a part of the name.
    let units = [
        ("_bytes_per_s", Unit::BytesPerSecond),
        ("_bytes", Unit::Bytes),
        ("_hours", Unit::Seconds),
        ("_ms", Unit::Seconds),
    ];
    let found = units.into_iter().find(|(suffix, unit)| match unit {
        // Such as `queue_memory_bytes_per_shard`.
        Unit::Bytes => setting.contains(suffix),
        _ => setting.ends_with(suffix),
    });
    let (suffix, unit) = found.unwrap_or(("", Unit::Number));
    let value = match (value, unit) {
        (toml::Value::Integer(number), Unit::Number) => *number as f64,
        (toml::Value::String(text), Unit::Bytes | Unit::BytesPerSecond) => text.parse::<Size>().ok()?.0 as f64,
        (toml::Value::String(text), Unit::Seconds) if suffix == "_hours" => {
            text.parse::<Hours>().ok()?.0 as f64 / SECOND_MS
        }
        (toml::Value::String(text), Unit::Seconds) => text.parse::<Millis>().ok()?.0 as f64 / SECOND_MS,
        _ => return None,
    };
    let label = setting.replacen(suffix, "", 1);
    Some(Number { setting, label, unit, value })
}
