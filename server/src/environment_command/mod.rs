//! `pinion export` and `pinion import`: the configuration of a running server, through its API.
//!
//! Secrets leave the server only in envelopes for the key of `--secrets-key`, a file that stays with the operator. The import
//! opens them here, so that no server ever sees that key. Without it they are left out, and an import makes new ones and says so.
//!
//! An import that was cut off is simply run again: it finds what it has done.

mod document;

use self::document::{Opened, counts, open_secrets, report};
use crate::api_client::Api;
use crate::cli::{ExportArgs, ImportArgs, STANDARD_STREAM};
use crate::config::Loaded;
use crate::key_command::url::ApiUrl;
use crate::keys::{self, Environment, KeyError};
use crate::secret_file::{self, SecretFileError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::seal;
use engine::seal::envelope::{PrivateKey, new_private_key, public_of};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// No document is larger: an API takes no longer body.
const DOCUMENT_BYTES_MAX: u64 = 256 << 20;

/// Why nothing was exported or imported, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// No key.
    #[error("no API key: name one that reaches everything in PINION_KEY, or the server's root key by --root-key-file")]
    NoKey,
    /// The root key could not be read.
    #[error(transparent)]
    RootKey(#[from] KeyError),
    /// The file of the secrets' key.
    #[error(transparent)]
    SecretsKey(#[from] SecretFileError),
    /// It holds something else.
    #[error("{} holds no key: 32 bytes in base64", .0.display())]
    NoSecretsKey(PathBuf),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandomness,
    /// The server's address is not known.
    #[error("the server's address is not known: name it by --url")]
    NoAddress,
    /// Nothing answers.
    #[error("no Pinion answers at {url}: {reason}")]
    NoAnswer {
        /// The URL that was asked.
        url: ApiUrl,
        /// The reason.
        reason: String,
    },
    /// The server refused.
    #[error("the server at {url} answered {status}: {detail}")]
    Refused {
        /// The server.
        url: ApiUrl,
        /// The HTTP status.
        status: StatusCode,
        /// The text of the answer.
        detail: String,
    },
    /// The document could not be read or written.
    #[error("could not {action} {file}: {source}")]
    File {
        /// The verb.
        action: &'static str,
        /// The file.
        file: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The document is no export.
    #[error("{0} is no export of Pinion: {1}")]
    NoDocument(String, String),
    /// An envelope did not open.
    #[error("the secrets of endpoint {0} do not open with this key")]
    DoesNotOpen(String),
    /// Some things were refused; the others are in place.
    #[error("{refused} of the document were refused\n{report}")]
    Incomplete {
        /// How many.
        refused: u64,
        /// The result of each thing.
        report: String,
    },
    /// No runtime.
    #[error("could not set up the process: {0}")]
    Setup(#[source] io::Error),
}

/// A running server.
struct Server {
    api: Api,
    url: ApiUrl,
}

/// Exports, and answers the text to print: nothing where the document itself was printed.
///
/// # Errors
/// See [`EnvironmentError`].
pub(crate) fn export(
    loaded: &Loaded,
    environment: Environment<'_>,
    arguments: &ExportArgs,
) -> Result<String, EnvironmentError> {
    let key = arguments.secrets_key.as_deref().map(key_to_seal_for).transpose()?;
    let public_key = key.as_ref().map(|key| STANDARD.encode(public_of(key)));
    let apps = (!arguments.app.is_empty()).then_some(&arguments.app);
    let server = Server::new(loaded, environment, arguments.server.url.clone())?;
    let body = json!({"applications": apps, "publicKey": public_key});
    let document = server.call("/api/v1/environment/export", &body)?;
    let mut text =
        serde_json::to_vec_pretty(&document).map_err(io::Error::from).map_err(file_error("write", &arguments.to))?;
    text.push(b'\n');
    if arguments.to == STANDARD_STREAM {
        io::stdout().write_all(&text).map_err(file_error("write", STANDARD_STREAM))?;
        return Ok(String::new());
    }
    std::fs::write(&arguments.to, text).map_err(file_error("write", &arguments.to))?;
    let secrets = if key.is_some() { "with their secrets, sealed" } else { "without their secrets" };
    Ok(format!("exported {}, {secrets}, to {}\n", counts(&document), arguments.to))
}

/// Imports, and answers the text to print.
///
/// # Errors
/// See [`EnvironmentError`].
pub(crate) fn import(
    loaded: &Loaded,
    environment: Environment<'_>,
    arguments: &ImportArgs,
) -> Result<String, EnvironmentError> {
    let key = arguments.secrets_key.as_deref().map(key_to_open_with).transpose()?;
    let mut document = read_document(&arguments.from)?;
    let Opened { left_out } = open_secrets(&mut document, key.as_ref())?;
    let server = Server::new(loaded, environment, arguments.server.url.clone())?;
    let path = format!("/api/v1/environment/import?dry_run={}", arguments.dry_run);
    let answer = server.call(&path, &document)?;
    let mut text = report(&answer);
    if left_out > 0 {
        text.push_str(&format!(
            "{left_out} endpoints have sealed secrets that were left out: --secrets-key opens them\n"
        ));
    }
    match answer["refused"].as_u64().unwrap_or_default() {
        0 => Ok(text),
        refused => Err(EnvironmentError::Incomplete { refused, report: text }),
    }
}

fn file_error(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> EnvironmentError {
    let file = file.to_owned();
    move |source| EnvironmentError::File { action, file, source }
}

fn read_document(from: &str) -> Result<Value, EnvironmentError> {
    let mut bytes = Vec::new();
    let read = match from {
        STANDARD_STREAM => io::stdin().take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes),
        file => std::fs::File::open(file).and_then(|file| file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes)),
    };
    read.map_err(file_error("read", from))?;
    let no_document = |why: String| EnvironmentError::NoDocument(from.to_owned(), why);
    if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(no_document(format!("it has more than {DOCUMENT_BYTES_MAX} bytes")));
    }
    serde_json::from_slice(&bytes).map_err(|error| no_document(error.to_string()))
}

/// The key in a file, which is made if it is not there.
fn key_to_seal_for(path: &Path) -> Result<PrivateKey, EnvironmentError> {
    match secret_file::read(path)? {
        Some(text) => key_of(path, &text),
        None => {
            let key = new_private_key().map_err(|_| EnvironmentError::NoRandomness)?;
            let text = Zeroizing::new(STANDARD.encode(*key));
            let path = std::path::absolute(path).map_err(file_error("find", &path.display().to_string()))?;
            secret_file::create(&path, &text)?;
            Ok(key)
        }
    }
}

fn key_to_open_with(path: &Path) -> Result<PrivateKey, EnvironmentError> {
    let text = secret_file::read(path)?.ok_or_else(|| EnvironmentError::NoSecretsKey(path.to_owned()))?;
    key_of(path, &text)
}

fn key_of(path: &Path, text: &str) -> Result<PrivateKey, EnvironmentError> {
    seal::decode_key(text).map_err(|_| EnvironmentError::NoSecretsKey(path.to_owned()))
}

impl Server {
    /// At `url`, or at the address of the configuration; with the key of the environment, or the root key.
    fn new(loaded: &Loaded, environment: Environment<'_>, url: Option<ApiUrl>) -> Result<Server, EnvironmentError> {
        let url = url.or_else(|| ApiUrl::of_listener(loaded.config.listen)).ok_or(EnvironmentError::NoAddress)?;
        let key = keys::api_key(loaded, environment)?.ok_or(EnvironmentError::NoKey)?;
        Ok(Server { api: Api::new(url.as_str(), &key), url })
    }

    /// A request that must succeed.
    fn call(&self, path: &str, body: &Value) -> Result<Value, EnvironmentError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let answer = runtime.map_err(EnvironmentError::Setup)?.block_on(self.api.send(Method::POST, path, Some(body)));
        let (status, answer) = answer
            .map_err(|error| EnvironmentError::NoAnswer { url: self.url.clone(), reason: format!("{error:#}") })?;
        if status.is_success() {
            return Ok(answer);
        }
        let detail = match &answer["detail"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Err(EnvironmentError::Refused { url: self.url.clone(), status, detail })
    }
}
