//! The API as far as a load test needs it: applications and endpoints, created many at a time.
//!
//! No client library: one function that sends JSON and expects success.

use crate::drive::Streams;
use crate::receive::Keys;
use crate::wire::{Connection, request};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::task::JoinSet;

/// Connections that create endpoints.
const PROVISIONERS: usize = 128;
/// Answered so when there is too much at once.
const BUSY: [u16; 2] = [429, 503];
/// The pause after such an answer.
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// The address of the API, and a key.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The root key.
    pub(crate) key: String,
}

/// The properties of endpoints.
#[derive(Clone, Debug)]
pub(crate) struct EndpointSpec {
    /// The receiver's address for healthy endpoints, and for the others.
    pub(crate) receivers: [SocketAddr; 2],
    /// Added to each endpoint's settings.
    pub(crate) settings: Value,
    /// Added to those of endpoints that misbehave.
    pub(crate) bad_settings: Value,
    /// An endpoint more for each application, [`BACKUP`]: it wants no event, and nothing may arrive there.
    pub(crate) has_backup: bool,
}

/// The uid of an application's backup, and the type of the events that it wants, which nobody sends.
pub(crate) const BACKUP: &str = "load.backup";

/// The things that are created, a sort after the other.
#[derive(Clone, Copy, Debug)]
enum Sort {
    Application,
    Backup,
    Endpoint,
}

/// Creates the applications and endpoints of a run.
#[derive(Debug)]
pub(crate) struct Provisioner {
    access: Access,
    streams: Arc<Streams>,
    spec: EndpointSpec,
    /// So that runs against the same Pinion do not meet.
    run: String,
    next: AtomicU64,
}

impl Access {
    /// Sends JSON, wants success.
    ///
    /// # Errors
    /// On any other answer.
    pub(crate) async fn call(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let request = request(method, self.address, path, &self.key, &bytes);
        loop {
            let reply = connection.exchange(&request).await.with_context(|| format!("{method} {path}"))?;
            if BUSY.contains(&reply.status) {
                tokio::time::sleep(BUSY_PAUSE).await;
                continue;
            }
            if !(200..300).contains(&reply.status) {
                bail!("{method} {path} was answered {}: {}", reply.status, String::from_utf8_lossy(reply.body));
            }
            return Ok(if reply.body.is_empty() { Value::Null } else { serde_json::from_slice(reply.body)? });
        }
    }

    /// The same over a connection of its own, without a runtime around it.
    ///
    /// # Errors
    /// On any other answer, or none.
    pub(crate) fn call_alone(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut connection = Connection::open(self.address).await?;
            self.call(&mut connection, method, path, body).await
        })
    }
}

/// The uid of an application.
pub(crate) fn app_uid(run: &str, stream: u32) -> String {
    format!("{run}-{stream}")
}

impl Provisioner {
    /// For these applications.
    pub(crate) fn new(access: &Access, streams: Arc<Streams>, spec: EndpointSpec, run: String) -> Provisioner {
        Provisioner { access: access.clone(), streams, spec, run, next: AtomicU64::new(0) }
    }

    /// Creates all applications, then all endpoints.
    ///
    /// # Errors
    /// When one is refused.
    pub(crate) fn create_all(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(self);
        runtime.block_on(async {
            let (apps, endpoints) = (shared.streams.count().into(), shared.streams.endpoints() as u64);
            Arc::clone(&shared).each(apps, Sort::Application).await?;
            if shared.spec.has_backup {
                Arc::clone(&shared).each(apps, Sort::Backup).await?;
            }
            shared.each(endpoints, Sort::Endpoint).await
        })
    }

    async fn each(self: Arc<Self>, count: u64, sort: Sort) -> anyhow::Result<()> {
        self.next.store(0, Relaxed);
        let mut tasks = JoinSet::new();
        for _ in 0..PROVISIONERS.min(usize::try_from(count).unwrap_or(PROVISIONERS)) {
            let shared = Arc::clone(&self);
            tasks.spawn(async move {
                let mut connection = Connection::open(shared.access.address).await?;
                loop {
                    let index = shared.next.fetch_add(1, Relaxed);
                    if index >= count {
                        return anyhow::Ok(());
                    }
                    let (path, body) = match sort {
                        Sort::Application => shared.application(index),
                        Sort::Backup => shared.backup(index),
                        Sort::Endpoint => shared.endpoint(index),
                    };
                    shared.access.call(&mut connection, "POST", &path, &body).await?;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    fn application(&self, index: u64) -> (String, Value) {
        let uid = app_uid(&self.run, u32::try_from(index).unwrap_or(u32::MAX));
        ("/api/v1/app".to_owned(), json!({"name": uid, "uid": uid}))
    }

    fn backup(&self, index: u64) -> (String, Value) {
        let uid = app_uid(&self.run, u32::try_from(index).unwrap_or(u32::MAX));
        // The path is no endpoint's: the ledger takes a request to it as one that nobody sent.
        let url = format!("http://{}/backup", self.spec.receivers[0]);
        (format!("/api/v1/app/{uid}/endpoint"), json!({"uid": BACKUP, "url": url, "eventTypes": [BACKUP]}))
    }

    fn endpoint(&self, index: u64) -> (String, Value) {
        let fan_out = u64::from(self.streams.fan_out());
        let stream = u32::try_from(index / fan_out).unwrap_or(u32::MAX);
        let member = u32::try_from(index % fan_out).unwrap_or(u32::MAX);
        let endpoint = self.streams.endpoint(stream, member);
        let is_healthy = self.streams.is_healthy(endpoint);
        let receiver = self.spec.receivers[usize::from(!is_healthy)];
        let mut body = json!({
            "url": format!("http://{receiver}{}", crate::receive::path(stream, member)),
            "secret": Keys::secret(endpoint),
        });
        let extra = if is_healthy { &self.spec.settings } else { &self.spec.bad_settings };
        if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
            body.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        (format!("/api/v1/app/{}/endpoint", app_uid(&self.run, stream)), body)
    }
}
