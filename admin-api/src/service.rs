//! The whole API as one service, for the server that accepts connections.
//!
//! Before routing, the path is brought into its normal form, and pushes take a shorter way ([`crate::push`]).

use crate::export::{self, Lists};
use crate::state::ApiState;
use crate::{path, push};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use bytes::Bytes;
use futures_util::future::Either;
use http::Request;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// The API; cheap to clone.
#[derive(Clone)]
pub struct ApiService {
    router: Router,
    /// The lists that can be exported.
    lists: Arc<Lists>,
    /// For pushes; none if they go through the router as well.
    short_way: Option<ApiState>,
}

/// The answer of a push or an export, on its way.
type Pushed = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

// === impl ApiService ===

impl ApiService {
    /// Over all routes; with a state, pushes do not go through the router.
    pub(crate) fn new(router: Router, lists: Arc<Lists>, short_way: Option<ApiState>) -> ApiService {
        ApiService { router, lists, short_way }
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<RouteFuture<Infallible>, Pushed>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <Router as Service<Request<B>>>::poll_ready(&mut self.router, cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        path::normalise(request.uri_mut());
        match &self.short_way {
            Some(state) if push::is_push(&request) => {
                let pushed = push::answer(state.clone(), request.map(Body::new));
                Either::Right(Box::pin(async { Ok(pushed.await) }))
            }
            _ => match self.lists.asked(&request) {
                None => Either::Left(self.router.call(request)),
                Some(asked) => {
                    Either::Right(Box::pin(export::answer(self.router.clone(), asked, request.map(Body::new))))
                }
            },
        }
    }
}
