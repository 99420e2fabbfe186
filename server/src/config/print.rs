//! The configuration as TOML, each value with where it came from: `pinion serve --print-config`.
//!
//! What is printed can be saved as `pinion.toml`. Deliberately shows no key: only where one would be taken from.

use super::Loaded;
use super::merge::settings_of;

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
