//! Deliveries from either side: the messages of an endpoint, the endpoints of a message, each with how it stands.
//!
//! Deliberately computed when asked for: a delivery that went well has no row that could be listed.

use super::params::{EndpointPath, MessagePath};
use super::rows::number_of;
use super::walk::{MessageFilter, key_of, page_of};
use crate::dto::attempt::{EndpointMessageOut, MessageEndpointOut};
use crate::dto::fields::{ListResponse, yes};
use crate::dto::message::MessageOut;
use crate::dto::status::MessageStatus;
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::extract::{InEndpoint, InMessage, QueryParams};
use crate::json::JsonBytes;
use crate::limits::PAGE_SCAN_MAX;
use crate::paging::{Ordering, Page, PageQuery};
use crate::reader::Reader;
use crate::state::ApiState;
use engine::delivery_state::delivery_state_of_deleted;
use model::id::IdKind;
use model::{Endpoint, EndpointId, Event};
use serde::Deserialize;
use storage::tables::deleted_endpoint;
use utoipa::IntoParams;

/// An endpoint, whether it was deleted, and how the delivery to it stands.
type Destination = (Endpoint, bool, (MessageStatus, Option<Timestamp>));

/// Endpoints read in one step.
const ENDPOINTS_PER_STEP: usize = 256;

/// The parameters of the messages of an endpoint.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessagesQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// What the page before gave.
    iterator: Option<String>,
    /// 0 delivered, 2 given up, 3 on its way; with expanded statuses also 4 canceled, which is 2 without them.
    #[param(inline)]
    status: Option<MessageStatus>,
    /// Only of these event types, joined by commas.
    event_types: Option<String>,
    /// Only with this channel.
    channel: Option<String>,
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

/// Lists the messages of an endpoint, newest first, those that were for it when it came to them, or were sent by hand. One
/// whose attempts are past their retention is left out: what became of it is not known.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-attempted-messages", params(EndpointPath, MessagesQuery),
    responses((status = 200, body = ListResponse<EndpointMessageOut>)))]
pub(crate) async fn messages(
    state: Reader,
    InEndpoint(row): InEndpoint,
    QueryParams(query): QueryParams<MessagesQuery>,
) -> Result<JsonBytes, ApiError> {
    let page = Page::new(query.limit, query.iterator.as_deref(), Ordering::Descending, key_of(row.app))?;
    let filter = MessageFilter::new(query.event_types.as_deref(), query.channel.clone(), query.before, query.after)
        .with_tag(query.tag.clone());
    let list = state.answer(move |state| {
        let (read, standings) = (&**state.store(), state.standings(&row)?);
        page_of(read, row.app, &filter, &page, |event| {
            let standing = MessageStatus::of_delivery(&standings.of(read, event)?)
                .filter(|(status, _)| status.passes(query.status, query.expanded_statuses));
            Ok(standing.map(|(status, next_attempt)| {
                let message = MessageOut::of(event, query.with_content);
                EndpointMessageOut::of(message, status.shown(query.expanded_statuses), next_attempt)
            }))
        })
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
    let page = query.page(|text| number_of(IdKind::Endpoint, text).map(EndpointId))?;
    state.answer(move |state| page_of_destinations(state, &event, &page)).await
}

/// Looks at a bounded number of endpoints: a page that ends for this reason is short, and says that there is more.
fn page_of_destinations(
    state: &ApiState,
    event: &Event,
    page: &Page<EndpointId>,
) -> Result<ListResponse<MessageEndpointOut>, ApiError> {
    let (mut found, mut seen, mut after): (Vec<Destination>, _, _) = (Vec::new(), 0, page.after);
    let (mut has_more, mut last_seen) = (false, None);
    let read = &**state.store();
    'steps: loop {
        let rows = deleted_endpoint::list_with_living(read, event.app, after, ENDPOINTS_PER_STEP, page.direction())?;
        let is_last = rows.len() < ENDPOINTS_PER_STEP;
        for (row, deleted) in rows {
            if found.len() == page.limit || seen == PAGE_SCAN_MAX {
                has_more = true;
                break 'steps;
            }
            seen += 1;
            after = Some(row.id);
            last_seen = Some(row.public_id());
            let delivery = match deleted {
                true => delivery_state_of_deleted(read, row.target(), event.seq)?,
                false => state.standings(&row)?.of(read, event)?,
            };
            if let Some(standing) = MessageStatus::of_destination(&delivery) {
                found.push((row, deleted, standing));
            }
        }
        if is_last {
            break;
        }
    }
    let show = |(row, deleted, standing): &Destination| MessageEndpointOut::of(row, *deleted, *standing);
    let mut list = page.respond(found, |(row, _, _)| row.public_id(), show);
    if let Some(id) = last_seen.filter(|_| has_more) {
        page.cut_short(&mut list, &id);
    }
    Ok(list)
}
