//! Deliveries from either side: the messages of an endpoint, the endpoints of a message, each with how it stands.

use super::filter::message_filter;
use super::message::{message_of, text_of_message};
use super::params::{EndpointPath, MessagePath};
use crate::dto::attempt::{EndpointMessageOut, MessageEndpointOut};
use crate::dto::fields::{ListResponse, yes};
use crate::dto::message_answer::MessageOut;
use crate::dto::status::{MessageStatus, status_filter};
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::extract::{InEndpoint, InMessage, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{AskedPage, Ordering, PageQuery, place_of, text_of};
use crate::reader::Reader;
use control::query::log::MessageFilter;
use control::query::message;
use control::query::status::Standing;
use model::id::IdKind;
use serde::Deserialize;
use utoipa::IntoParams;

/// The parameters of the messages of an endpoint.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessagesQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// The iterator that the page before gave.
    iterator: Option<String>,
    /// 0 delivered, 2 given up, 3 on its way; with expanded statuses also 4 canceled, which is 2 without them.
    #[param(inline)]
    status: Option<MessageStatus>,
    /// Only of these event types, joined by commas.
    event_types: Option<String>,
    /// Only with this channel.
    channel: Option<String>,
    /// Only the one with this id of your own.
    event_id: Option<String>,
    /// Only with this tag.
    tag: Option<String>,
    /// Only taken before this.
    #[param(inline)]
    before: Option<Timestamp>,
    /// Only taken then or after.
    #[param(inline)]
    after: Option<Timestamp>,
    /// With payloads. Default: true.
    #[serde(default = "yes")]
    with_content: bool,
    /// Distinguish canceled from given up.
    #[serde(default)]
    expanded_statuses: bool,
}

/// Lists the messages of an endpoint, newest first: those that were for it when it came to them, or were sent by hand.
/// One whose attempts are past their retention is left out: the end of its delivery is not known.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-attempted-messages", params(EndpointPath, MessagesQuery),
    responses((status = 200, body = ListResponse<EndpointMessageOut>)))]
pub(crate) async fn messages(
    state: Reader,
    InEndpoint(row): InEndpoint,
    QueryParams(query): QueryParams<MessagesQuery>,
) -> Result<JsonBytes, ApiError> {
    let (limit, iterator) = (query.limit, query.iterator.as_deref());
    let asked = AskedPage::new(limit, iterator, Ordering::Descending, message_of(row.app))?;
    let filter = message_filter(query.event_types.as_deref(), query.channel, query.tag, (query.after, query.before));
    let filter = MessageFilter { event_id: query.event_id, ..filter };
    let statuses = status_filter(query.status, query.expanded_statuses);
    let list = state.answer(move |state| {
        let listed = message::list_of_endpoint(state.view(), &row, &filter, statuses, &asked.page)?;
        Ok(asked.respond(listed, text_of_message, |(event, standing)| {
            let shown = Standing { status: statuses.shown(standing.status), ..*standing };
            EndpointMessageOut::of(MessageOut::of(event, query.with_content), shown)
        }))
    });
    list.await
}

/// Lists the endpoints of a message; deleted ones for as long as their attempts are kept.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}/endpoint", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-attempted-destinations", params(MessagePath, PageQuery),
    responses((status = 200, body = ListResponse<MessageEndpointOut>)))]
pub(crate) async fn destinations(
    state: Reader,
    InMessage(event): InMessage,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<JsonBytes, ApiError> {
    let asked = query.page(place_of(IdKind::Endpoint))?;
    let list = state.answer(move |state| {
        let listed = message::destinations(state.view(), &event, &asked.page)?;
        Ok(asked.respond(listed, text_of(IdKind::Endpoint), MessageEndpointOut::of))
    });
    list.await
}
