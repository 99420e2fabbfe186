//! `pinion.toml`. A file that is not valid is refused with its line and column.
//!
//! The file is flat: one key per setting, which is the flag's name with underscores.

use super::settings::Settings;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The file that is read when none is named, if it is there.
const DEFAULT_PATH: &str = "pinion.toml";

/// A larger file is not a configuration.
const MAX_BYTES: u64 = 1 << 20;

/// Why a configuration file was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It could not be read.
    #[error("could not read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It is not TOML, names an unknown setting or holds a wrong value.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// The fault there.
        message: String,
    },
}

/// The settings of a file.
#[derive(Debug, Default)]
pub(crate) struct FileSettings {
    /// The file.
    pub(crate) path: PathBuf,
    /// The settings in it.
    pub(crate) settings: Settings,
    /// The line of each key.
    pub(crate) lines: BTreeMap<String, usize>,
}

/// Reads the file that was named, or the default one if it exists.
///
/// # Errors
/// A named file that cannot be read, and any file that is not valid.
pub(crate) fn read(named: Option<&Path>) -> Result<Option<FileSettings>, FileError> {
    let path = named.unwrap_or(Path::new(DEFAULT_PATH));
    match read_text(path) {
        Ok(text) => parse(path, &text).map(Some),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Read { path: path.to_owned(), source }),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    if metadata.len() > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is over {MAX_BYTES} bytes")));
    }
    std::fs::read_to_string(path)
}

/// Reads the text of `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<FileSettings, FileError> {
    let invalid = |error: toml::de::Error| {
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        FileError::Invalid { path: path.to_owned(), line, column, message: plain(error.message()) }
    };
    let table = toml::de::DeTable::parse(text).map_err(invalid)?;
    let keys = table.get_ref().iter();
    let lines = keys.map(|(key, _)| (key.get_ref().to_string(), position(text, key.span().start).0)).collect();
    let settings = toml::from_str(text).map_err(invalid)?;
    Ok(FileSettings { path: path.to_owned(), settings, lines })
}

/// serde lists all settings after an unknown one; `--print-config` shows them in a form that can be read.
fn plain(message: &str) -> String {
    match message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        Some((name, _)) => format!("unknown setting `{name}`; `pinion serve --print-config` lists all settings"),
        None => message.trim().replace('\n', ": "),
    }
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}
