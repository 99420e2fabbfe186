//! Attempts: by endpoint, by message, one; expunge the response of one.
//!
//! The history is kept by endpoint in order of time; those of one message are gathered by `message_attempts`.
//! Deliberately no index by status: a filter reads on, within a bound, like any other list here.

use super::message_attempts::{Place, page_of_message};
use super::params::{AttemptPath, EndpointPath, MessagePath};
use super::walk::MessageFilter;
use crate::dto::attempt::MessageAttemptOut;
use crate::dto::fields::{ListResponse, yes};
use crate::dto::message::MessageOut;
use crate::dto::status::{MessageStatus, StatusCodeClass};
use crate::dto::timestamp::Timestamp;
use crate::error::{ApiError, NO_CONTENT};
use crate::extract::{InEndpoint, InMessage, PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::limits::{PAGE_PAYLOAD_BYTES, PAGE_SCAN_MAX, PAGE_SEARCH_MAX};
use crate::paging::{Ordering, Page};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::find::find_endpoint;
use http::StatusCode;
use model::id::{IdKind, IdParts, attempt_id};
use model::{AppId, AttemptRecord, Endpoint, EndpointId, EndpointRef, Event, Seq};
use serde::Deserialize;
use storage::read::Read;
use storage::tables::history::{self, HistoryPosition};
use storage::tables::{deleted_endpoint, endpoint, endpoint_url, log};
use utoipa::IntoParams;

/// The parameters of both lists.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// What the page before gave, or an attempt's id: the page begins behind it. Led by `-`, the page ends before it.
    iterator: Option<String>,
    /// 0 succeeded, 2 failed.
    #[param(inline)]
    status: Option<MessageStatus>,
    /// By the hundred of the HTTP status; 0: no answer.
    #[param(inline)]
    status_code_class: Option<StatusCodeClass>,
    /// Only of messages of these event types, joined by commas.
    event_types: Option<String>,
    /// Only of messages with this channel.
    channel: Option<String>,
    /// Only of messages with this tag.
    tag: Option<String>,
    /// Only started before this.
    #[param(inline)]
    before: Option<Timestamp>,
    /// Only started then or after.
    #[param(inline)]
    after: Option<Timestamp>,
    /// Of a message's attempts: only at this endpoint.
    pub(super) endpoint_id: Option<String>,
    /// With responses. Default: true.
    #[serde(default = "yes")]
    with_content: bool,
    /// With the message inside.
    #[serde(default)]
    with_msg: bool,
    /// Distinguish canceled from given up: an attempt is neither.
    #[serde(default)]
    expanded_statuses: bool,
}

/// The parameters of one attempt.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetQuery {
    /// Of no effect: an attempt succeeded or failed.
    #[serde(default)]
    #[expect(dead_code, reason = "taken, so that clients may say it")]
    expanded_statuses: bool,
}

impl ListQuery {
    pub(super) fn filter(&self) -> MessageFilter {
        let filter = MessageFilter::new(self.event_types.as_deref(), self.channel.clone(), self.before, self.after);
        filter.with_tag(self.tag.clone())
    }

    pub(super) fn keeps(&self, record: &AttemptRecord, filter: &MessageFilter) -> bool {
        MessageStatus::of_attempt(record).passes(self.status, self.expanded_statuses)
            && self.status_code_class.is_none_or(|class| class.holds(record.status))
            && filter.is_within(record.started_at)
    }

    fn shows_payloads(&self) -> bool {
        self.with_msg && self.with_content
    }

    /// A page of attempts of one message: with fewer items when its payload is shown with each of them.
    pub(super) fn cut<K: Clone>(&self, page: &Page<K>, event: &Event) -> Page<K> {
        let most = if self.shows_payloads() { PAGE_PAYLOAD_BYTES / event.payload.len().max(1) } else { page.limit };
        let mut page = page.clone();
        page.limit = page.limit.min(most.max(1));
        page
    }

    pub(super) fn show(
        &self,
        record: &AttemptRecord,
        event: &Event,
        endpoint: &Endpoint,
        url: Option<String>,
    ) -> MessageAttemptOut {
        let shown = MessageAttemptOut::of(record, event, endpoint, url, self.with_content);
        if self.with_msg { shown.with_message(MessageOut::of(event, self.with_content)) } else { shown }
    }
}

/// Lists the attempts at an endpoint, newest first.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-by-endpoint", params(EndpointPath, ListQuery),
    responses((status = 200, body = ListResponse<MessageAttemptOut>)))]
pub(crate) async fn by_endpoint(
    state: Reader,
    InEndpoint(row): InEndpoint,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    let page = Page::new(query.limit, query.iterator.as_deref(), Ordering::Descending, Start::of(row.id))?;
    state.answer(move |state| page_of_endpoint(&**state.store(), &row, &query, &page)).await
}

/// Where a page of an endpoint's attempts begins.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// At the end of another page.
    Cut(HistoryPosition),
    /// Beside an attempt of this id.
    Beside(IdParts),
}

impl Start {
    fn of(endpoint: EndpointId) -> impl Fn(&str) -> Option<Start> {
        move |text| {
            let attempt = || IdParts::from_text(IdKind::Attempt, text).filter(|parts| parts.number == endpoint.0);
            HistoryPosition::from_text(text).map(Start::Cut).or_else(|| attempt().map(Start::Beside))
        }
    }
}

fn page_of_endpoint(
    read: &(impl Read + ?Sized),
    row: &Endpoint,
    query: &ListQuery,
    page: &Page<Start>,
) -> Result<ListResponse<MessageAttemptOut>, ApiError> {
    let filter = query.filter();
    let (mut data, mut seen, mut bytes, mut ended) = (Vec::new(), 0, 0, false);
    let start = match page.after {
        Some(Start::Cut(cut)) => cut,
        Some(Start::Beside(id)) => history::position_at(read, row.target(), (Seq(id.low), id.at), page.is_back())?,
        None => newest_of(read, row, query)?,
    };
    let mut position = start;
    while data.len() < page.limit && bytes < PAGE_PAYLOAD_BYTES && !ended {
        if seen >= if data.is_empty() { PAGE_SEARCH_MAX } else { PAGE_SCAN_MAX } {
            break;
        }
        // One at a time where each may be large: a page ends between two steps.
        let wanted = if query.shows_payloads() { 1 } else { page.limit - data.len() };
        let listed = history::list_from(read, row.target(), position, wanted, page.direction())?;
        seen += listed.records.len();
        ended = listed.is_end || is_past(&listed.records, query, page.is_back());
        position = listed.position;
        for record in listed.records.iter().filter(|record| query.keeps(record, &filter)) {
            // An event past its retention takes its attempts with it.
            if let Some(event) = log::get(read, row.app, record.seq)?.filter(|event| filter.fits(event)) {
                bytes += if query.shows_payloads() { event.payload.len() } else { 0 };
                data.push(query.show(record, &event, row, url_called(read, row, record)?));
            }
        }
    }
    let (newest, oldest) = if page.is_back() { (position, start) } else { (start, position) };
    if page.is_back() {
        data.reverse();
    }
    let some = |text: String| (seen > 0).then_some(text);
    Ok(ListResponse {
        data,
        iterator: page.next_iterator(some(oldest.to_text())),
        prev_iterator: some(format!("-{}", newest.to_text())),
        done: ended,
    })
}

/// Where the first page begins: above all attempts that there are, or that there were before a time.
fn newest_of(read: &(impl Read + ?Sized), row: &Endpoint, query: &ListQuery) -> Result<HistoryPosition, ApiError> {
    let newest = history::newest(read, row.target())?;
    let Some(Timestamp(before)) = query.before else { return Ok(newest) };
    Ok(HistoryPosition {
        // No first attempt before a time is for a message taken at that time or later.
        first_below: log::before_time(read, row.app, before)?.next().min(newest.first_below),
        later_before: (before, Seq::ZERO).min(newest.later_before),
    })
}

/// The URL that an attempt called, as far as it is known.
pub(super) fn url_called(
    read: &(impl Read + ?Sized),
    row: &Endpoint,
    record: &AttemptRecord,
) -> Result<Option<String>, ApiError> {
    Ok(endpoint_url::get(read, row.target(), record.url_number, &row.url)?)
}

/// An endpoint that is there, or that was deleted and has attempts yet: by its id or, while it is there, its uid.
pub(super) fn find_ever(read: &(impl Read + ?Sized), app: AppId, text: &str) -> Result<Option<Endpoint>, ApiError> {
    if let Some(found) = find_endpoint(read, app, text)? {
        return Ok(Some(found));
    }
    let Some(parts) = IdParts::from_text(IdKind::Endpoint, text) else { return Ok(None) };
    let deleted = deleted_endpoint::get(read, EndpointRef { app, endpoint: EndpointId(parts.number) })?;
    Ok(deleted.filter(|row| row.public_id() == text))
}

/// Whether everything further on is older than asked for, or newer when going back. First attempts are in order of their
/// messages, not quite of their time, so this waits until they are beyond by more than attempts in flight can overlap.
fn is_past(records: &[AttemptRecord], query: &ListQuery, is_back: bool) -> bool {
    const OVERLAP_MS: u64 = 10 * 60_000;
    let Some(last) = records.last() else { return false };
    match (is_back, query.after, query.before) {
        (false, Some(Timestamp(after)), _) => last.started_at.plus_ms(OVERLAP_MS) < after,
        (true, _, Some(Timestamp(before))) => before.plus_ms(OVERLAP_MS) < last.started_at,
        _ => false,
    }
}

/// Lists the attempts of a message at all endpoints, newest first; of an application with more than 10,000 endpoints
/// newest first among each 10,000 of them.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/attempt/msg/{msg_id}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-by-msg", params(MessagePath, ListQuery),
    responses((status = 200, body = ListResponse<MessageAttemptOut>)))]
pub(crate) async fn by_message(
    state: Reader,
    InMessage(event): InMessage,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    list_of_message(state, event, query).await
}

/// A page of the attempts of a message.
pub(super) async fn list_of_message(state: Reader, event: Event, query: ListQuery) -> Result<JsonBytes, ApiError> {
    let page = Page::new(query.limit, query.iterator.as_deref(), Ordering::Descending, Place::from_text)?;
    state.answer(move |state| page_of_message(&**state.store(), &event, &query, &page)).await
}

/// Gets an attempt.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.get", params(AttemptPath, GetQuery),
    responses((status = 200, body = MessageAttemptOut)))]
pub(crate) async fn get(
    state: Reader,
    InMessage(event): InMessage,
    _: QueryParams<GetQuery>,
    path: PathTexts,
) -> Result<Json<MessageAttemptOut>, ApiError> {
    let text = path.get("attempt_id")?.to_owned();
    let shown = state.read(move |state| {
        let read = &**state.store();
        let (record, row) = find(read, &event, &text)?;
        let url = url_called(read, &row, &record)?;
        Ok(MessageAttemptOut::of(&record, &event, &row, url, true))
    });
    Ok(Json(shown.await?))
}

/// The attempt of an id, with its endpoint.
fn find(read: &(impl Read + ?Sized), event: &Event, text: &str) -> Result<(AttemptRecord, Endpoint), ApiError> {
    let missing = ApiError::NotFound("attempt");
    let Some(parts) = IdParts::from_text(IdKind::Attempt, text).filter(|parts| parts.low == event.seq.0) else {
        return Err(missing);
    };
    let target = EndpointRef { app: event.app, endpoint: EndpointId(parts.number) };
    let living = endpoint::get(read, target)?;
    let Some(row) = living.map_or_else(|| deleted_endpoint::get(read, target), |row| Ok(Some(row)))? else {
        return Err(missing);
    };
    let records = history::of_message(read, target, event.seq)?;
    let found = records.into_iter().find(|record| attempt_id(row.id, record.seq, record.started_at) == text);
    Ok((found.ok_or(missing)?, row))
}

/// Forgets the response of an attempt.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content", tag = "Message Attempt",
    operation_id = "v1.message-attempt.expunge-content", params(AttemptPath),
    responses((status = 204, description = "Forgotten")))]
pub(crate) async fn expunge(
    State(state): State<ApiState>,
    InMessage(event): InMessage,
    path: PathTexts,
) -> Result<StatusCode, ApiError> {
    let text = path.get("attempt_id")?.to_owned();
    state
        .change(move |txn| {
            let (record, row) = find(txn, &event, &text)?;
            history::expunge(txn, row.target(), record.seq, record.started_at)?;
            Ok(())
        })
        .await?;
    Ok(NO_CONTENT)
}
