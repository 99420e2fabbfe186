//! The router with a key, and answers taken apart.

use admin_api::{ApiLimits, ApiService, ApiState, Origin, service};
use axum::body::Body;
use control::key::KeyHash;
use engine::retention::Limits;
use engine::seal::MasterKey;
use engine::{EngineConfig, Node, Partition, PartitionId};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use model::id::{IdKind, IdParts};
use model::{AppId, EndpointId, EndpointRef, Seq, UnixMs};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::Arc;
use storage::store::MemoryStore;
use storage::txn::Txn;
use tower::ServiceExt;

/// The key that may do everything here.
pub(crate) const ROOT_KEY: &str = "pk_test_root";

/// The API under test.
pub(crate) struct Api {
    service: ApiService,
    pub(crate) engine: Partition,
    /// Takes connections and never answers: no delivery of a test ever ends.
    hole: TcpListener,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Null when the body is empty.
    pub(crate) body: Value,
}

impl Answer {
    /// Checks the status, and gives the body.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Checks that this is a 422 about this field.
    #[track_caller]
    pub(crate) fn expect_invalid(self, loc: &str) {
        let body = self.expect(422);
        let items = body["detail"].as_array().unwrap();
        let locs: Vec<String> = items.iter().map(|item| join(&item["loc"])).collect();
        assert!(locs.iter().any(|found| found == loc), "{loc} is not in {locs:?}");
    }

    /// Checks that this is an error of this code, with a text.
    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, code: &str) {
        let body = self.expect(status);
        assert_eq!(body["code"], code);
        assert!(body["detail"].is_string(), "{body}");
    }
}

fn join(loc: &Value) -> String {
    loc.as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect::<Vec<_>>().join(".")
}

impl Api {
    /// With the default bounds.
    pub(crate) fn start() -> Api {
        Api::with(ApiLimits::default())
    }

    /// With these bounds.
    pub(crate) fn with(limits: ApiLimits) -> Api {
        Api::with_origins(limits, &[])
    }

    /// With these bounds, for pages of these origins too.
    pub(crate) fn with_origins(limits: ApiLimits, origins: &[&str]) -> Api {
        let origins: Vec<Origin> = origins.iter().map(|text| text.parse().unwrap()).collect();
        let hole = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = EngineConfig {
            shards: 1,
            allow_targets: vec!["127.0.0.1/32".parse().unwrap()],
            attempt_timeout_ms: 120_000,
            drain_timeout_ms: 0,
            // Rows of tests are of 1970.
            retention: Limits::NONE,
            ..EngineConfig::default()
        };
        let node = Node::start(config, MasterKey::new([7; 32])).unwrap();
        let engine = Partition::open(&node, PartitionId(0), Arc::new(MemoryStore::new())).unwrap();
        let state = ApiState::new(engine.clone(), KeyHash::of(ROOT_KEY), limits);
        Api { service: service(state, origins), engine, hole }
    }

    /// The URL of endpoints of tests.
    pub(crate) fn target_url(&self) -> String {
        format!("http://{}/hook", self.hole.local_addr().unwrap())
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.service.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let is_json = parts.headers.get(CONTENT_TYPE).is_none_or(|kind| kind != "application/octet-stream");
        let body = if bytes.is_empty() || !is_json { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Sends a text body with a key and headers.
    pub(crate) async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            request = request.header(AUTHORIZATION, format!("Bearer {ROOT_KEY}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.json("POST", path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.json("PUT", path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.json("PATCH", path, body).await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.request(method, path, &[(CONTENT_TYPE.as_str(), "application/json")], &body.to_string()).await
    }

    /// An application with this uid.
    pub(crate) async fn app(&self, uid: &str) -> Value {
        self.post("/app", json!({"name": uid, "uid": uid})).await.expect(201)
    }

    /// An endpoint with this uid, for everything.
    pub(crate) async fn endpoint(&self, app: &str, uid: &str) -> Value {
        self.post(&format!("/app/{app}/endpoint"), json!({"url": self.target_url(), "uid": uid})).await.expect(201)
    }

    /// A message of this type.
    pub(crate) async fn message(&self, app: &str, event_type: &str) -> Value {
        self.post(&format!("/app/{app}/msg"), json!({"eventType": event_type, "payload": {"n": 1}})).await.expect(202)
    }

    /// Changes rows by hand.
    pub(crate) async fn rows(
        &self,
        change: impl FnOnce(&mut Txn<'_>) -> Result<(), storage::StoreError> + Send + 'static,
    ) {
        self.engine.change(change).await.unwrap();
    }

    /// Follows a list to its end; the items, and in how many pages they came.
    pub(crate) async fn all(&self, path: &str) -> (Vec<Value>, usize) {
        let (mut items, mut iterator, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{separator}iterator={iterator}")).await.expect(200);
            pages += 1;
            items.extend(page["data"].as_array().unwrap().iter().cloned());
            assert!(page.as_object().unwrap().contains_key("iterator"), "clients need the key");
            if page["done"].as_bool().unwrap() {
                return (items, pages);
            }
            iterator = page["iterator"].as_str().unwrap().to_owned();
            assert!(pages < 1_000, "the list does not end");
        }
    }
}

/// The place of a message in the log.
pub(crate) fn place(message: &Value) -> (AppId, Seq, UnixMs) {
    let parts = IdParts::from_text(IdKind::Message, message["id"].as_str().unwrap()).unwrap();
    (AppId(parts.number), Seq(parts.low), parts.at)
}

/// The key of an endpoint's rows.
pub(crate) fn target(app: &Value, endpoint: &Value) -> EndpointRef {
    let number = |kind, thing: &Value| IdParts::from_text(kind, thing["id"].as_str().unwrap()).unwrap().number;
    EndpointRef {
        app: AppId(number(IdKind::Application, app)),
        endpoint: EndpointId(number(IdKind::Endpoint, endpoint)),
    }
}

/// One field of every item.
pub(crate) fn column(items: &[Value], field: &str) -> Vec<String> {
    items.iter().map(|item| item[field].as_str().unwrap_or_default().to_owned()).collect()
}
