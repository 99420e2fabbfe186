//! The stream of a backup, as it comes from a running server.

use super::BackupError;
use crate::api_client::Api;
use crate::key_command::url::ApiUrl;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use std::time::Duration;
use storage::backup::collect::{CollectError, Collector, Sink};
use storage::backup::frame::FrameReader;
use storage::backup::manifest::Manifest;

/// Longest time without a byte: the server looks through empty parts of a store in far less.
const SILENT_MAX: Duration = Duration::from_secs(120);

/// The path of the route.
const PATH: &str = "/api/v1/backup";

/// A running server.
pub(super) struct Server {
    api: Api,
    url: ApiUrl,
}

impl Server {
    /// At `url`, which nobody has asked yet.
    pub(super) fn new(url: ApiUrl, key: &str) -> Server {
        Server { api: Api::new(url.as_str(), key), url }
    }

    /// Takes a backup, whose chunks go to `sink`.
    ///
    /// # Errors
    /// See [`BackupError`]: there is no backup then.
    pub(super) fn back_up<S: Sink>(&self, sink: &mut S) -> Result<Manifest, BackupError>
    where
        BackupError: From<CollectError<S::Error>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut body = self.ask().await?;
            let (mut reader, mut collector) = (FrameReader::default(), Collector::default());
            loop {
                let broken_off = |reason: &str| BackupError::BrokenOff(reason.to_owned());
                let next = tokio::time::timeout(SILENT_MAX, body.frame()).await;
                let part = match next.map_err(|_| broken_off("the server is silent"))? {
                    None => return Err(broken_off("the server ended the connection; its log says more")),
                    Some(Err(error)) => return Err(broken_off(&error.to_string())),
                    Some(Ok(part)) => part,
                };
                let Ok(bytes) = part.into_data() else { continue };
                reader.push(&bytes);
                while let Some(frame) = reader.next_frame().map_err(CollectError::<S::Error>::from)? {
                    // Blocks for the disk; nothing else runs on this thread.
                    if let Some(manifest) = collector.take(frame, sink)? {
                        return Ok(manifest);
                    }
                }
            }
        })
    }

    async fn ask(&self) -> Result<Incoming, BackupError> {
        let no_answer = |error: anyhow::Error| {
            let (url, reason) = (self.url.clone(), format!("{error:#}"));
            BackupError::NoAnswer { url, reason }
        };
        let response = self.api.open(Method::POST, PATH).await.map_err(no_answer)?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response.into_body());
        }
        let detail = Api::json(response.into_body()).await.unwrap_or_default();
        let detail = detail["detail"].as_str().map_or_else(|| Value::to_string(&detail), str::to_owned);
        Err(BackupError::Refused { url: self.url.clone(), status, detail })
    }
}
