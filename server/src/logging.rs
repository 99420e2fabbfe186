//! Log lines: for people on a terminal, one JSON object per line otherwise, always on standard error.
//!
//! There are no log files and no rotation: the supervisor collects standard error. Standard output is for the answer of a
//! command.

use crate::config::LogFormat;
use std::io::IsTerminal as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

/// Reads `--log-level`: a level, `target=level` directives, or both with commas between.
///
/// Returns `None` for any other text. A bare word would count as a target otherwise, and a typing error silence all.
pub(crate) fn filter(text: &str) -> Option<Targets> {
    let known = |directive: &str| directive.contains('=') || directive.trim().parse::<LevelFilter>().is_ok();
    let filter = text.split(',').all(known).then(|| text.parse::<Targets>().ok()).flatten()?;
    Some(if filter.default_level().is_some() { filter } else { filter.with_default(LevelFilter::INFO) })
}

/// Starts logging. `level` was checked with the configuration; a text that does not read counts as `info`.
///
/// # Errors
/// When logging was started before.
pub(crate) fn start(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let filter = filter(level).unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    if json {
        registry().with(lines.json().flatten_event(true).with_filter(filter)).try_init()?;
    } else {
        let colours = std::io::stderr().is_terminal();
        registry().with(lines.with_ansi(colours).with_filter(filter)).try_init()?;
    }
    Ok(())
}
