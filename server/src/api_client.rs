//! A small client of the HTTP API, for `pinion key`, `backup`, `export` and `import`, and the demonstration. A tenant's
//! backend would use a library.
//!
//! It sends requests with JSON over plain HTTP. It follows no redirect, so that a key goes nowhere else, and repeats
//! nothing.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;
use zeroize::Zeroizing;

/// A larger answer is a mistake: an export is as large as the largest body that a server may be set to take.
const MAX_ANSWER_BYTES: usize = 300 << 20;

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The API with a key; cheap to clone, connections are shared.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    authorization: Zeroizing<String>,
}

// === impl Api ===

impl Api {
    /// Of the server at `base`, e.g. `http://127.0.0.1:8071`.
    pub(crate) fn new(base: &str, key: &str) -> Api {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Api { client, base: base.to_owned(), authorization: Zeroizing::new(format!("Bearer {key}")) }
    }

    /// One request: JSON in (`None` for no body), status and JSON out.
    ///
    /// # Errors
    /// When there is no answer in time, or none that is JSON.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let what = format!("{method} {path}");
        let request = self.request(method, path, body)?;
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            anyhow::Ok((status, Api::json(response.into_body()).await?))
        };
        tokio::time::timeout(TIMEOUT, exchange).await.context("no answer in time").flatten().context(what)
    }

    /// One request without a body. Its answer is left to be read.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub(crate) async fn open(&self, method: Method, path: &str) -> anyhow::Result<Response<Incoming>> {
        let what = format!("{method} {path}");
        let answer = self.client.request(self.request(method, path, None)?);
        tokio::time::timeout(TIMEOUT, answer).await.context("no answer in time")?.context(what)
    }

    /// The JSON of an answer.
    ///
    /// # Errors
    /// When it is none, or too long.
    pub(crate) async fn json(body: Incoming) -> anyhow::Result<Value> {
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        Ok(if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? })
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Request<Full<Bytes>>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, self.authorization.as_str())
            .header(header::CONTENT_TYPE, "application/json");
        Ok(request.body(Full::from(body.map(Value::to_string).unwrap_or_default()))?)
    }

    /// The same for a request that must succeed.
    ///
    /// # Errors
    /// Also when it does not.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let (status, answer) = self.send(method.clone(), path, body).await?;
        if !status.is_success() {
            bail!("{method} {path}: {status} {answer}");
        }
        Ok(answer)
    }
}
