//! The two keys of a data directory: the root key, which may do everything through the API, and the master key, which
//! encrypts endpoint secrets.
//!
//! Each comes from a file that was named, from the environment, or from the data directory, where it is generated at
//! the first start. A server hands on only the SHA-256 of the root key. A store remembers a check value of its master key,
//! so that another key is refused at start instead of at the first delivery.
//!
//! Keys are not rotated here. A new root key is a new file and a restart; for a new master key every secret would have to be
//! sealed again.

use crate::config::{Loaded, Source};
use crate::secret_file::{self, SecretFileError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::key::KeyHash;
use engine::seal::{self, MASTER_KEY_LEN};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Characters of a root key at least: nobody guesses 16 random ones through the API.
const ROOT_KEY_MIN_CHARS: usize = 16;

/// The text that the check value of a master key is the HMAC-SHA256 of. Persisted: never change.
const CHECK_TEXT: &[u8] = b"pinion.master-key-check.v1";

/// Why a key could not be had. Says nothing of the key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// A key file.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// A key file that was named is not there.
    #[error("the {name} key file {} does not exist", path.display())]
    Missing {
        /// `root` or `master`.
        name: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A key that cannot be one.
    #[error("the {name} key of {origin} is not valid: {problem}")]
    Invalid {
        /// `root` or `master`.
        name: &'static str,
        /// The file or variable.
        origin: String,
        /// The rule that it breaks.
        problem: &'static str,
    },
    /// Two ways at once to say the same.
    #[error("{variable} and {variable}_FILE are both set: set one of them")]
    Ambiguous {
        /// The variable with the key itself.
        variable: &'static str,
    },
    /// The store has secrets, but the key that opens them is gone.
    #[error(
        "{} does not exist, but this data directory was used with a master key: restore that file, or name the key by \
         --master-key-file or PINION_MASTER_KEY",
        path.display()
    )]
    MasterKeyLost {
        /// Its path.
        path: PathBuf,
    },
    /// The store was written with another key.
    #[error(
        "the master key of {origin} is not the one that this data directory's secrets are encrypted with: start with \
         that one"
    )]
    MasterKeyMismatch {
        /// The file or variable.
        origin: String,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for a key")]
    NoRandomness,
}

/// One of the two keys.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    setting: &'static str,
    variable: &'static str,
    file: &'static str,
}

const ROOT: Kind = Kind { name: "root", setting: "root_key_file", variable: "PINION_ROOT_KEY", file: "root.key" };
const MASTER: Kind =
    Kind { name: "master", setting: "master_key_file", variable: "PINION_MASTER_KEY", file: "master.key" };

/// A master key takes 44 characters and the end of the line.
const KEY_FILE_MAX: usize = 256;

/// The variables that hold a key itself.
pub(crate) const VARIABLES: [&str; 2] = [ROOT.variable, MASTER.variable];

/// The variable with the API key of commands on a running server.
pub(crate) const API_KEY_VARIABLE: &str = "PINION_KEY";

/// The text of a key and where it came from.
pub(crate) struct Found {
    /// The text.
    pub(crate) text: Zeroizing<String>,
    /// The file or variable.
    pub(crate) origin: String,
}

/// The key over every secret of the data directory.
pub(crate) struct MasterKeyBytes {
    /// The 32 bytes.
    pub(crate) bytes: Zeroizing<[u8; MASTER_KEY_LEN]>,
    origin: String,
}

/// Reads an environment variable; tests give another one.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The path of a generated root key.
pub(crate) fn root_key_path(loaded: &Loaded) -> PathBuf {
    loaded.config.data_dir.join(ROOT.file)
}

/// The root key, if there is one yet.
///
/// # Errors
/// See [`KeyError`].
pub(crate) fn root_key(loaded: &Loaded, environment: Environment<'_>) -> Result<Option<Found>, KeyError> {
    find(ROOT, loaded.config.root_key_file.as_deref(), loaded, environment)
}

/// The key that a command on a running server shows: that of [`API_KEY_VARIABLE`], or the root key; none if there is neither.
///
/// # Errors
/// See [`KeyError`].
pub(crate) fn api_key(loaded: &Loaded, environment: Environment<'_>) -> Result<Option<Zeroizing<String>>, KeyError> {
    match environment(API_KEY_VARIABLE) {
        Some(key) => Ok(Some(Zeroizing::new(key.trim().to_owned()))),
        None => Ok(root_key(loaded, environment)?.map(|found| found.text)),
    }
}

/// SHA-256 of the root key, which is generated if there is none yet.
///
/// # Errors
/// See [`KeyError`].
pub(crate) fn root_key_hash(loaded: &Loaded, environment: Environment<'_>) -> Result<KeyHash, KeyError> {
    let path = root_key_path(loaded);
    let found = match root_key(loaded, environment)? {
        Some(found) => found,
        None => {
            let text = control::key::generate_key().map_err(|_| KeyError::NoRandomness)?;
            secret_file::create(&path, &text)?;
            tracing::info!(path = %path.display(), "generated a root key for the API");
            Found { text, origin: path.display().to_string() }
        }
    };
    let sound = found.text.len() >= ROOT_KEY_MIN_CHARS && found.text.bytes().all(|byte| byte.is_ascii_graphic());
    if !sound {
        let problem = "it must be at least 16 visible ASCII characters";
        return Err(KeyError::Invalid { name: ROOT.name, origin: found.origin, problem });
    }
    Ok(KeyHash::of(&found.text))
}

/// The master key. It is generated only for a data directory that never had one. `check` is the store's memory of its
/// key.
///
/// # Errors
/// See [`KeyError`]; [`KeyError::MasterKeyMismatch`] when it is not the key of `check`.
pub(crate) fn master_key(
    loaded: &Loaded,
    environment: Environment<'_>,
    check: Option<&[u8]>,
) -> Result<MasterKeyBytes, KeyError> {
    let path = loaded.config.data_dir.join(MASTER.file);
    let found = match find(MASTER, loaded.config.master_key_file.as_deref(), loaded, environment)? {
        Some(found) => found,
        None if check.is_some() => return Err(KeyError::MasterKeyLost { path }),
        None => {
            let text = Zeroizing::new(STANDARD.encode(random()?.as_slice()));
            secret_file::create(&path, &text)?;
            tracing::info!(path = %path.display(), "generated a master key; without it no endpoint secret can be read");
            Found { text, origin: path.display().to_string() }
        }
    };
    let key = decode_master_key(found)?;
    match check {
        Some(check) if !key.matches(check) => Err(KeyError::MasterKeyMismatch { origin: key.origin }),
        _ => Ok(key),
    }
}

/// Puts one flipped bit of the data directory's own master key right, if that makes it the key of `check`: says whether.
/// The file is then replaced, whole or not at all.
///
/// # Errors
/// When the file cannot be written. One that cannot be read, or that more is wrong with, is left as it is.
pub(crate) fn repair_master_key(data_dir: &Path, check: &[u8]) -> Result<bool, KeyError> {
    let path = data_dir.join(MASTER.file);
    let Some(mut bytes) = std::fs::read(&path).ok().map(Zeroizing::new).filter(|bytes| bytes.len() <= KEY_FILE_MAX)
    else {
        return Ok(false);
    };
    if right_key(&bytes, check).is_some() {
        return Ok(false);
    }
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Some(text) = right_key(&bytes, check) {
            secret_file::create(&path, &text)?;
            return Ok(true);
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    Ok(false)
}

/// The text of a key file when it holds the key of `check`.
fn right_key(bytes: &[u8], check: &[u8]) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(std::str::from_utf8(bytes).ok()?.trim().to_owned());
    let key = decode_master_key(Found { text: text.clone(), origin: String::new() }).ok()?;
    key.matches(check).then_some(text)
}

/// Flag over environment over file over data directory.
fn find(
    kind: Kind,
    named: Option<&Path>,
    loaded: &Loaded,
    environment: Environment<'_>,
) -> Result<Option<Found>, KeyError> {
    let source = loaded.source(kind.setting);
    let in_environment = environment(kind.variable).map(Zeroizing::new);
    let text = match (in_environment, source) {
        (Some(_), Source::Environment(_)) => return Err(KeyError::Ambiguous { variable: kind.variable }),
        (Some(text), Source::Default | Source::File { .. }) => Some(text),
        (Some(_), Source::Flag(_)) | (None, _) => None,
    };
    if let Some(text) = text {
        let text = Zeroizing::new(text.trim().to_owned());
        return Ok(Some(Found { text, origin: kind.variable.to_owned() }));
    }
    let in_data_dir = loaded.config.data_dir.join(kind.file);
    let path = named.unwrap_or(&in_data_dir);
    match secret_file::read(path)? {
        Some(text) => Ok(Some(Found { text, origin: path.display().to_string() })),
        None if named.is_some() => Err(KeyError::Missing { name: kind.name, path: path.to_owned() }),
        None => Ok(None),
    }
}

fn decode_master_key(found: Found) -> Result<MasterKeyBytes, KeyError> {
    match seal::decode_key(&found.text) {
        Ok(bytes) => Ok(MasterKeyBytes { bytes, origin: found.origin }),
        Err(_) => {
            let problem = "it must be 32 bytes in base64";
            Err(KeyError::Invalid { name: MASTER.name, origin: found.origin, problem })
        }
    }
}

fn random() -> Result<Zeroizing<[u8; MASTER_KEY_LEN]>, KeyError> {
    let mut bytes = Zeroizing::new([0; MASTER_KEY_LEN]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| KeyError::NoRandomness)?;
    Ok(bytes)
}

// === impl MasterKeyBytes ===

impl MasterKeyBytes {
    fn mac(&self) -> Hmac<Sha256> {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.bytes.as_slice()).unwrap_or_else(|_| unreachable!());
        mac.update(CHECK_TEXT);
        mac
    }

    /// The check value that the store keeps. It shows if another key is the same one, and nothing else.
    pub(crate) fn check_value(&self) -> Vec<u8> {
        self.mac().finalize().into_bytes().to_vec()
    }

    fn matches(&self, check: &[u8]) -> bool {
        self.mac().verify_slice(check).is_ok()
    }
}

#[cfg(test)]
mod tests;
