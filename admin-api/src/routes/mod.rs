//! The routes, one file for each kind of thing, in the order a new tenant meets them.
//!
//! A handler reads, decides nothing that a file of its own could decide, and answers. Every route is registered
//! together with its description, so the OpenAPI document cannot miss one. No authentication here:
//! every request to the first router of [`all`] has passed it.
#![expect(unused_qualifications, reason = "utoipa's macros qualify what they are given")]

pub(crate) mod background_task;
pub(crate) mod health;
pub(crate) mod openapi;

pub(crate) mod api_key;
pub(crate) mod application;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod environment;
pub(crate) mod event_type;
pub(crate) mod usage;
mod verify;

pub(crate) mod endpoint;
pub(crate) mod endpoint_bulk;
pub(crate) mod endpoint_headers;
pub(crate) mod endpoint_secret;
pub(crate) mod endpoint_state;
pub(crate) mod endpoint_test;
pub(crate) mod failover;
pub(crate) mod filter_try;
pub(crate) mod pause;
pub(crate) mod policy;

pub(crate) mod batch;
pub(crate) mod erase;
pub(crate) mod message;
pub(crate) mod scheduled;
pub(crate) mod send_example;

pub(crate) mod attempt;
pub(crate) mod attempt_headers;
pub(crate) mod attempt_lists;
pub(crate) mod attempted;
pub(crate) mod dead_letter;
pub(crate) mod dead_letters;
pub(crate) mod recover;
pub(crate) mod resend;

mod attempt_places;
mod filter;
mod once;
mod params;

use crate::state::ApiState;
use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes that need a key, those that do not, and the description of both.
pub(crate) fn all() -> (Router<ApiState>, Router<ApiState>, OpenApi) {
    let (guarded, mut document) = guarded().split_for_parts();
    openapi::secure(&mut document);
    let (open, open_document) = open().split_for_parts();
    document.merge(open_document);
    (guarded, open, document)
}

fn open() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(health::get, health::head))
        .routes(routes!(health::ping, health::ping_head))
        .routes(routes!(openapi::get))
}

fn guarded() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(application::list, application::create))
        .routes(routes!(application::get, application::update, application::patch, application::delete))
        .routes(routes!(pause::pause_application))
        .routes(routes!(pause::resume_application))
        .routes(routes!(usage::get))
        .routes(routes!(environment::export))
        .routes(routes!(environment::import))
        .routes(routes!(event_type::list, event_type::create))
        .routes(routes!(event_type::get, event_type::update, event_type::patch, event_type::delete))
        .merge(endpoints())
        .merge(messages())
        .merge(deliveries())
        .routes(routes!(background_task::list))
        .routes(routes!(background_task::list_in_app))
        .routes(routes!(background_task::get))
        .routes(routes!(background_task::cancel))
        .routes(routes!(api_key::list, api_key::create))
        .routes(routes!(api_key::get, api_key::delete))
        .routes(routes!(api_key::rotate))
        .routes(routes!(audit::list))
        .routes(routes!(audit::list_in_app))
        .routes(routes!(audit::head))
        .routes(routes!(backup::take))
}

fn endpoints() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(endpoint::list, endpoint::create))
        .routes(routes!(endpoint_bulk::create, endpoint_bulk::patch))
        .routes(routes!(endpoint::get, endpoint::update, endpoint::patch, endpoint::delete))
        .routes(routes!(endpoint_headers::get, endpoint_headers::put, endpoint_headers::patch))
        .routes(routes!(endpoint_secret::get))
        .routes(routes!(endpoint_secret::rotate))
        .routes(routes!(endpoint_state::stats))
        .routes(routes!(endpoint_state::state))
        .routes(routes!(failover::get, failover::switch))
        .routes(routes!(pause::pause_endpoint))
        .routes(routes!(pause::resume_endpoint))
        .routes(routes!(policy::get))
        .routes(routes!(policy::preview))
        .routes(routes!(filter_try::filter_try))
        .routes(routes!(send_example::send))
        .routes(routes!(verify::verify))
        .routes(routes!(endpoint_test::run))
}

fn messages() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(message::list, message::create))
        .routes(routes!(batch::create))
        .routes(routes!(message::get))
        .routes(routes!(message::expunge))
        .routes(routes!(erase::erase))
        .routes(routes!(scheduled::list))
        .routes(routes!(scheduled::call_off))
}

fn deliveries() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(attempt::by_endpoint))
        .routes(routes!(attempt::by_message))
        .routes(routes!(attempt_lists::by_message))
        .routes(routes!(attempt_lists::by_endpoint))
        .routes(routes!(attempt::get))
        .routes(routes!(attempt::expunge))
        .routes(routes!(attempt_headers::get))
        .routes(routes!(attempted::messages))
        .routes(routes!(attempted::destinations))
        .routes(routes!(resend::resend))
        .routes(routes!(recover::recover))
        .routes(routes!(recover::replay_missing))
        .routes(routes!(recover::bulk_replay))
        .routes(routes!(dead_letter::list, dead_letter::purge))
        .routes(routes!(dead_letter::redrive_all))
        .routes(routes!(dead_letter::redrive))
        .routes(routes!(dead_letter::delete))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::count))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(dead_letters::purge))
}
