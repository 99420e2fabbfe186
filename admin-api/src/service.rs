//! The whole API as one service, for the server that accepts connections.
//!
//! Before routing, the path is brought into its normal form.

use crate::path;
use axum::Router;
use axum::body::HttpBody;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use bytes::Bytes;
use http::Request;
use std::convert::Infallible;
use std::task::{Context, Poll};
use tower_service::Service;

/// The API; cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiService(Router);

// === impl ApiService ===

impl ApiService {
    /// Over all routes.
    pub(crate) fn new(router: Router) -> ApiService {
        ApiService(router)
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <Router as Service<Request<B>>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, mut request: Request<B>) -> RouteFuture<Infallible> {
        path::normalise(request.uri_mut());
        self.0.call(request)
    }
}
