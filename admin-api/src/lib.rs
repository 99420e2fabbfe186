//! The HTTP surface: Svix's API shape, and Pinion's additions in the same style.
//!
//! ```text
//! connection ─▶ path, cors ─▶ edge (bounds, deadline, counting) ─▶ auth (key, reach) ─▶ routes ─▶ control
//!                                                                             extract, json ┘   └ dto, paging, error ─▶ answer
//! ```
//! [`service`] is all there is to mount. No listening, no TLS and no metrics endpoint: those are the
//! server's. Our own status codes appear in `error` only.

pub mod limits;
pub mod state;

mod cors;
mod edge;
mod error;
mod meters;
mod path;
mod service;

mod auth;
mod body_room;
mod export;
mod extract;
mod json;
mod paging;
mod push;
mod rate;
mod reader;
mod requests;

pub mod usage;

mod dto;
mod routes;

pub use auth::Arrival;
pub use cors::{CORS_ORIGINS_MAX, NotAnOrigin, Origin};
pub use dto::retry_policy::retry_policy_of;
pub use edge::LogLine;
pub use limits::ApiLimits;
pub use routes::backup::Lasting;
pub use service::ApiService;
pub use state::ApiState;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use cors::Cors;
use error::NO_CONTENT;
use export::Lists;
use std::sync::Arc;
use utoipa::openapi::OpenApi;

/// The API over this state. Pages of `cors_origins` may call it from a browser; usually there are none.
#[must_use]
pub fn service(state: ApiState, cors_origins: Vec<Origin>) -> ApiService {
    meters::register("GET", "/api/v1/health", NO_CONTENT);
    let (router, document) = router(state.clone());
    let lists = Arc::new(Lists::of(&document));
    let Some(cors) = Cors::new(cors_origins) else { return ApiService::new(router, lists, Some(state)) };
    // With CORS its layer has a part in every answer, so all go through the router.
    ApiService::new(router.layer(from_fn_with_state(Arc::new(cors), cors::around)), lists, None)
}

/// Every route, and their description.
fn router(state: ApiState) -> (Router, OpenApi) {
    let (guarded, open, document) = routes::all();
    // Health answers however busy the rest is, so it stays outside the bounds. One layer does it all: each one more
    // allocates for every request.
    let guarded = guarded.route_layer(from_fn_with_state(state.clone(), edge::guarded));
    let open = open.route_layer(from_fn(edge::open));
    let router = Router::new()
        .merge(guarded)
        .merge(open)
        .fallback(edge::no_route)
        .method_not_allowed_fallback(edge::no_method)
        .with_state(state);
    (router, document)
}

/// The OpenAPI 3.1 document of [`service`], as JSON.
#[must_use]
pub fn openapi_json() -> String {
    routes::openapi::document_json(&routes::all().2)
}
