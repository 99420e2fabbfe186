//! API keys of a running server, through its API, with its root key.
//!
//! If the server does not answer, or has another root key, the command says so. It does not try another server.

use super::{ApiUrl, KeyCommandError};
use crate::api_client::Api;
use crate::config::Loaded;
use crate::keys::{self, Environment};
use crate::time_text::{time_of, time_text};
use control::command::api_key::{CreateApiKey, RotateApiKey};
use control::query::key::KeyInfo;
use http::{Method, StatusCode};
use model::KeyScope;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use storage::disk::OpenError;
use storage::tables::api_key;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

/// Keys asked for at once: the largest page.
const PAGE: usize = 250;

/// The route of keys.
const PATH: &str = "/api/v1/api-key";

/// A server that runs.
pub(super) struct RunningServer {
    api: Api,
    url: ApiUrl,
    /// The file or variable that the root key was read from.
    origin: String,
    /// Why the store was not used; goes into the error when nothing answers.
    in_use: RefCell<Option<OpenError>>,
    runtime: Runtime,
}

/// One page of keys.
#[derive(Deserialize)]
struct Page {
    data: Vec<Key>,
    iterator: Option<String>,
    done: bool,
}

/// A key as the API shows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    id: String,
    name: String,
    prefix: Option<String>,
    app_id: Option<String>,
    scopes: Vec<String>,
    rate_limit: Option<u32>,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    last_used_at: Option<String>,
    replaced_by: Option<String>,
}

/// A new key.
#[derive(Deserialize)]
struct Created {
    key: String,
}

impl RunningServer {
    /// At `url`, which nobody has asked yet.
    ///
    /// # Errors
    /// When there is no root key to ask with.
    pub(super) fn new(
        loaded: &Loaded,
        environment: Environment<'_>,
        url: ApiUrl,
        in_use: Option<OpenError>,
    ) -> Result<RunningServer, KeyCommandError> {
        let missing = || KeyCommandError::NoRootKey { path: keys::root_key_path(loaded) };
        let found = keys::root_key(loaded, environment)?.ok_or_else(missing)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let api = Api::new(url.as_str(), &found.text);
        Ok(RunningServer { api, url, origin: found.origin, in_use: RefCell::new(in_use), runtime })
    }

    pub(super) fn create(&self, command: &CreateApiKey) -> Result<Zeroizing<String>, KeyCommandError> {
        let CreateApiKey { name, app, scopes, expires_at, rate_limit, derived: _ } = command;
        let scopes: Vec<&str> = scopes.iter().map(KeyScope::as_str).collect();
        let expires_at = expires_at.and_then(time_text);
        let body = json!({
            "name": name, "appId": app, "scopes": scopes, "expiresAt": expires_at, "rateLimit": rate_limit,
        });
        self.new_key(PATH, &body)
    }

    pub(super) fn rotate(&self, command: &RotateApiKey) -> Result<Zeroizing<String>, KeyCommandError> {
        let RotateApiKey { id, grace_period_s, expires_at, derived: _ } = command;
        let body = json!({"gracePeriodSeconds": grace_period_s, "expiresAt": expires_at.and_then(time_text)});
        self.new_key(&format!("{PATH}/{id}/rotate"), &body)
    }

    fn new_key(&self, path: &str, body: &Value) -> Result<Zeroizing<String>, KeyCommandError> {
        let created: Created = self.read(self.send(Method::POST, path, Some(body))?)?;
        Ok(Zeroizing::new(created.key))
    }

    pub(super) fn list(&self) -> Result<Vec<KeyInfo>, KeyCommandError> {
        let (mut keys, mut path) = (Vec::new(), format!("{PATH}?limit={PAGE}"));
        // Keys may come while pages are read, but never more than there can be.
        while keys.len() <= api_key::MAX_LISTED {
            let page: Page = self.read(self.send(Method::GET, &path, None)?)?;
            let is_last = page.done || page.data.is_empty();
            keys.extend(page.data.into_iter().map(KeyInfo::from));
            match page.iterator {
                Some(iterator) if !is_last => path = format!("{PATH}?limit={PAGE}&iterator={iterator}"),
                _ => break,
            }
        }
        Ok(keys)
    }

    pub(super) fn revoke(&self, id: &str) -> Result<(), KeyCommandError> {
        self.send(Method::DELETE, &format!("{PATH}/{id}"), None).map(drop)
    }

    /// One request that must succeed.
    fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, KeyCommandError> {
        let answer = self.runtime.block_on(self.api.send(method, path, body));
        let (status, answer) = answer.map_err(|error| self.no_answer(&format!("{error:#}")))?;
        let detail = || match &answer["detail"] {
            Value::Array(items) => items.first().and_then(|item| item["msg"].as_str()).unwrap_or_default().to_owned(),
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        match status {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED => {
                Err(KeyCommandError::RootKeyRefused { url: self.url.clone(), origin: self.origin.clone() })
            }
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => Err(KeyCommandError::Refused(detail())),
            status => Err(KeyCommandError::Failed { url: self.url.clone(), status, detail: detail() }),
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&self, answer: Value) -> Result<T, KeyCommandError> {
        serde_json::from_value(answer).map_err(|error| self.no_answer(&error.to_string()))
    }

    fn no_answer(&self, reason: &str) -> KeyCommandError {
        let (url, in_use) = (self.url.clone(), self.in_use.take());
        KeyCommandError::NoAnswer { in_use, url, reason: reason.to_owned() }
    }
}

impl From<Key> for KeyInfo {
    fn from(key: Key) -> KeyInfo {
        let time = |text: String| time_of(&text).ok();
        KeyInfo {
            id: key.id,
            name: key.name,
            prefix: key.prefix.unwrap_or_default(),
            app_id: key.app_id,
            scopes: key.scopes.iter().filter_map(|word| KeyScope::of_word(word)).collect(),
            rate_limit: key.rate_limit,
            created_at: time(key.created_at).unwrap_or_default(),
            expires_at: key.expires_at.and_then(time),
            revoked_at: key.revoked_at.and_then(time),
            last_used_at: key.last_used_at.and_then(time),
            replaced_by: key.replaced_by,
        }
    }
}
