//! `pinion key`: API keys, through the running server or, while it is down, in its data directory.
//!
//! ```text
//! --url given                ─▶ running (the API, with the root key)
//! else: the store is free    ─▶ offline (the data directory)
//!       a server has it open ─▶ running, at the configured address
//! ```
//! Both sides answer in the same words, so that a script does not notice which one it met. The store comes first so
//! that the first key can be made before the first start. A lost root key then locks nobody out who holds the disk. A
//! key is shown once, when it is created. The rules on keys are in `control::command::api_key`.

mod offline;
mod running;
pub(crate) mod url;

use self::url::ApiUrl;

use self::running::RunningServer;
use crate::cli::{KeyAction, KeyCreateArgs};
use crate::config::Loaded;
use crate::data_dir::{self, DataDirError};
use crate::keys::{Environment, KeyError};
use crate::time_text::time_text;
use control::command::api_key::{CreateApiKey, RotateApiKey};
use control::query::key::KeyInfo;
use model::{KeyScope, UnixMs};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use storage::disk::OpenError;
use storage::read::SharedStore;
use zeroize::Zeroizing;

/// Hex digits of an id that a revocation needs at least.
const ID_DIGITS_MIN: usize = 4;

/// Why a key was not created, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyCommandError {
    /// The data directory did not open.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// No data directory: nothing is created only to find no key in it.
    #[error("there is no data directory {}", .0.display())]
    NoDataDir(PathBuf),
    /// The rules of keys, or the store.
    #[error(transparent)]
    Command(#[from] control::Error),
    /// No key is called so.
    #[error("there is no key with the id or name `{0}`")]
    UnknownKey(String),
    /// More than one to revoke.
    #[error("`{0}` is the beginning of more than one key's id")]
    Ambiguous(String),
    /// A server runs, but who knows where.
    #[error("{in_use}, and its address is not known (`listen` is {listen}): name it by --url")]
    NoAddress {
        /// Why the store was not used.
        in_use: OpenError,
        /// The address in the configuration.
        listen: SocketAddr,
    },
    /// A server is there, but not the key to it.
    #[error(
        "the API keys of a running server need its root key, and {} does not exist: name it by --root-key-file or \
         PINION_ROOT_KEY, or name the data directory by --data-dir",
        path.display()
    )]
    NoRootKey {
        /// Its path.
        path: PathBuf,
    },
    /// The root key could not be read.
    #[error(transparent)]
    RootKey(#[from] KeyError),
    /// The server has another one.
    #[error("the server at {url} does not take the key of {origin} as its root key")]
    RootKeyRefused {
        /// The server.
        url: ApiUrl,
        /// The file or variable.
        origin: String,
    },
    /// Nothing answers, or not with the API's JSON.
    #[error("{}no Pinion answers at {url}: {reason}{}", prefix(in_use.as_ref()), hint(in_use.as_ref()))]
    NoAnswer {
        /// Why the store was not used; none when a URL was given.
        in_use: Option<OpenError>,
        /// The URL that was asked.
        url: ApiUrl,
        /// The reason.
        reason: String,
    },
    /// The server refused, in the words that the store's rules would have used.
    #[error("{0}")]
    Refused(String),
    /// The server failed.
    #[error("the server at {url} answered {status}: {detail}")]
    Failed {
        /// The server.
        url: ApiUrl,
        /// The HTTP status.
        status: http::StatusCode,
        /// The text of the answer.
        detail: String,
    },
    /// No runtime.
    #[error("could not set up the process: {0}")]
    Setup(#[from] io::Error),
}

fn prefix(in_use: Option<&OpenError>) -> String {
    in_use.map_or_else(String::new, |error| format!("{error}, and "))
}

fn hint(in_use: Option<&OpenError>) -> &'static str {
    if in_use.is_some() { "; name the address of its API by --url" } else { "" }
}

/// The place that keys are edited in.
enum Place {
    Offline(SharedStore),
    Running(Box<RunningServer>),
}

/// Runs the command and returns the text to print.
///
/// # Errors
/// See [`KeyCommandError`].
pub(crate) fn run(
    loaded: &Loaded,
    environment: Environment<'_>,
    url: Option<ApiUrl>,
    action: KeyAction,
) -> Result<Zeroizing<String>, KeyCommandError> {
    let folder = &loaded.config.data_dir;
    if url.is_none() && !matches!(action, KeyAction::Create { .. }) && !folder.exists() {
        return Err(KeyCommandError::NoDataDir(folder.clone()));
    }
    let place = find_place(loaded, environment, url)?;
    match action {
        KeyAction::Create(KeyCreateArgs { name, app_id, scopes, expires_at, rate_limit }) => {
            let scopes = scopes.into_iter().collect();
            let command = CreateApiKey { name, app: app_id, scopes, expires_at, rate_limit, derived: None };
            place.create(command, loaded.config.api.quotas.api_keys).map(line_of)
        }
        KeyAction::Rotate { key, grace_period_seconds, expires_at } => {
            let id = pick(&place.list()?, &key)?.id.clone();
            let command = RotateApiKey { id, grace_period_s: grace_period_seconds, expires_at, derived: None };
            place.rotate(command).map(line_of)
        }
        KeyAction::List => Ok(Zeroizing::new(table(&place.list()?))),
        KeyAction::Revoke { key } => {
            let keys = place.list()?;
            let key = pick(&keys, &key)?;
            place.revoke(&key.id)?;
            Ok(Zeroizing::new(format!("revoked {} ({})\n", key.id, key.name)))
        }
    }
}

fn line_of(mut text: Zeroizing<String>) -> Zeroizing<String> {
    text.push('\n');
    text
}

fn find_place(loaded: &Loaded, environment: Environment<'_>, url: Option<ApiUrl>) -> Result<Place, KeyCommandError> {
    if let Some(url) = url {
        return Ok(Place::Running(Box::new(RunningServer::new(loaded, environment, url, None)?)));
    }
    let in_use = match data_dir::open_store(loaded) {
        Ok(store) => return Ok(Place::Offline(store)),
        Err(DataDirError::Open(in_use @ OpenError::InUse { .. })) => in_use,
        Err(other) => return Err(other.into()),
    };
    let listen = loaded.config.listen;
    match ApiUrl::of_listener(listen) {
        Some(url) => Ok(Place::Running(Box::new(RunningServer::new(loaded, environment, url, Some(in_use))?))),
        None => Err(KeyCommandError::NoAddress { in_use, listen }),
    }
}

/// The key of an id, of the beginning of one, or of a name. Names of revoked keys may be used again, and a rotated one
/// leaves its name to its successor: the newest that was not revoked is meant.
fn pick<'a>(keys: &'a [KeyInfo], wanted: &str) -> Result<&'a KeyInfo, KeyCommandError> {
    let keys = || keys.iter().filter(|key| key.revoked_at.is_none());
    let named = keys().rev().find(|key| key.name == wanted);
    let mut by_id = keys().filter(|key| wanted.len() >= ID_DIGITS_MIN && key.id.starts_with(wanted));
    match (named, by_id.next(), by_id.next()) {
        (Some(key), _, _) | (None, Some(key), None) => Ok(key),
        (None, Some(_), Some(_)) => Err(KeyCommandError::Ambiguous(wanted.to_owned())),
        (None, None, _) => Err(KeyCommandError::UnknownKey(wanted.to_owned())),
    }
}

fn table(keys: &[KeyInfo]) -> String {
    let mut text = line(["ID", "PREFIX", "APPLICATION", "SCOPES", "CREATED", "LAST USED", "ENDS", "NAME"]);
    let time = |at: Option<UnixMs>| at.and_then(time_text).unwrap_or_else(|| "-".to_owned());
    for key in keys {
        let app = key.app_id.as_deref().unwrap_or("all");
        let prefix = if key.prefix.is_empty() { "-" } else { &key.prefix };
        let scopes = key.scopes.iter().map(KeyScope::as_str).collect::<Vec<_>>().join(",");
        let (created, last_used) = (time(Some(key.created_at)), time(key.last_used_at));
        let ends = if key.revoked_at.is_some() { "revoked".to_owned() } else { time(key.expires_at) };
        text.push_str(&line([&key.id, prefix, app, &scopes, &created, &last_used, &ends, &key.name]));
    }
    text
}

fn line([id, prefix, app, scopes, created, last_used, ends, name]: [&str; 8]) -> String {
    format!("{id:16}  {prefix:11}  {app:30}  {scopes:12}  {created:20}  {last_used:20}  {ends:20}  {name}\n")
}

// === impl Place ===

impl Place {
    /// A running server goes by its own settings, not by `most_of_app`.
    fn create(&self, command: CreateApiKey, most_of_app: u32) -> Result<Zeroizing<String>, KeyCommandError> {
        match self {
            Place::Offline(store) => offline::create(store.as_ref(), command, most_of_app),
            Place::Running(server) => server.create(&command),
        }
    }

    fn rotate(&self, command: RotateApiKey) -> Result<Zeroizing<String>, KeyCommandError> {
        match self {
            Place::Offline(store) => offline::rotate(store.as_ref(), command),
            Place::Running(server) => server.rotate(&command),
        }
    }

    fn list(&self) -> Result<Vec<KeyInfo>, KeyCommandError> {
        match self {
            Place::Offline(store) => offline::list(store.as_ref()),
            Place::Running(server) => server.list(),
        }
    }

    fn revoke(&self, id: &str) -> Result<(), KeyCommandError> {
        match self {
            Place::Offline(store) => offline::revoke(store.as_ref(), id),
            Place::Running(server) => server.revoke(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::KeyScopes;

    fn key(id: &str, name: &str) -> KeyInfo {
        KeyInfo {
            id: id.to_owned(),
            name: name.to_owned(),
            prefix: "pk_01234567".to_owned(),
            app_id: None,
            scopes: KeyScopes::of(&[KeyScope::Ingest, KeyScope::Read]),
            rate_limit: None,
            created_at: UnixMs(1_500),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            replaced_by: None,
        }
    }

    #[test]
    fn a_key_is_meant_by_its_name_or_by_enough_of_its_id() {
        let keys = [key("abcd1", "backend"), key("abcd2", "other"), key("ffff0", "abcd1")];
        assert_eq!(pick(&keys, "backend").unwrap().id, "abcd1");
        assert_eq!(pick(&keys, "abcd2").unwrap().name, "other");
        assert_eq!(pick(&keys, "abcd1").unwrap().id, "ffff0", "a name is exact, the beginning of an id is not");
        assert!(matches!(pick(&keys, "abcd"), Err(KeyCommandError::Ambiguous(_))));
        for absent in ["fff", "", "none"] {
            assert!(matches!(pick(&keys, absent), Err(KeyCommandError::UnknownKey(_))), "{absent}");
        }
    }

    #[test]
    fn the_table_shows_whole_seconds_and_who_may_do_everything() {
        let lines = table(&[key("abcd1", "backend")]);
        let columns: Vec<&str> = lines.lines().nth(1).unwrap().split_whitespace().collect();
        let created = "1970-01-01T00:00:01Z";
        assert_eq!(columns, ["abcd1", "pk_01234567", "all", "ingest,read", created, "-", "-", "backend"]);
    }

    #[test]
    fn a_name_that_was_used_again_means_the_newest_key_that_is_not_revoked() {
        let revoked = KeyInfo { revoked_at: Some(UnixMs(9)), ..key("cccc0", "backend") };
        let keys = [key("aaaa0", "backend"), key("bbbb0", "backend"), revoked];
        assert_eq!(pick(&keys, "backend").unwrap().id, "bbbb0");
        assert!(matches!(pick(&keys, "cccc0"), Err(KeyCommandError::UnknownKey(_))));
    }
}
