//! Reads of the store on behalf of lanes, off the shard's thread and bounded in number.
//!
//! Each ends in exactly one message to the endpoint that asked, whatever happens. Deliberately no caching: the store
//! has one.

use super::core::{LaneCell, ShardCore};
use crate::endpoint::actor::{EndpointAddr, Input};
use crate::endpoint::backlog::{LogFound, LogRead};
use crate::endpoint::filter::Filter;
use crate::endpoint::lane::Fetch;
use crate::endpoint::retries::{DueLoad, Urgency};
use model::{AppId, Event, Seq, Trigger};
use std::rc::Rc;
use std::time::Duration;
use storage::tables::{delivery, log};
use storage::writer::ChangeError;
use storage::{Read, SharedStore, StoreError};

/// Events looked at in one read of the log: an endpoint that wants few of them gets its turn back before long.
const LOOKED_AT_MAX: usize = 4_096;

/// Events taken from the store in one step of such a read.
const EVENTS_PER_STEP: usize = 256;

/// Payload bytes of one read of the log, at least one event's.
const BYTES_MAX: usize = 1024 * 1024;

/// How long a load waits before it asks a busy writer again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Reads the log for an endpoint that is behind.
pub(super) fn log(shard: &Rc<ShardCore>, cell: &Rc<LaneCell>, addr: &EndpointAddr, read: LogRead) {
    let filter = cell.settings.borrow().filter.clone();
    let app = cell.target.app;
    let bytes_max = shard.room_bytes().clamp(1, BYTES_MAX);
    let (shard, addr) = (shard.clone(), addr.clone());
    tokio::task::spawn_local(async move {
        let found = blocking(&shard, move |store| catch_up(store, app, &filter, read, bytes_max)).await;
        addr.tell(Input::LogRead(found)).await;
    });
}

/// Reads the due index, once everything decided so far is durable: a row that is still on its way would be missed.
pub(super) fn due(shard: &Rc<ShardCore>, cell: &Rc<LaneCell>, addr: &EndpointAddr, load: DueLoad) {
    let target = cell.target;
    let (shard, addr) = (shard.clone(), addr.clone());
    tokio::task::spawn_local(async move {
        shard.report_now();
        let rows = if barrier(&shard).await {
            let read = move |store: &SharedStore| delivery::list_due(&**store, target, load.after, load.limit);
            blocking(&shard, read).await
        } else {
            None
        };
        let urgency = |trigger| if trigger == Trigger::Manual { Urgency::Manual } else { Urgency::Scheduled };
        let rows = rows.map(|rows| rows.into_iter().map(|(due, seq, by)| ((due, seq), urgency(by))).collect());
        addr.tell(Input::DueLoaded(load, rows)).await;
    });
}

/// Reads one delivery's event and row.
pub(super) fn delivery(shard: &Rc<ShardCore>, cell: &Rc<LaneCell>, addr: &EndpointAddr, fetch: Fetch) {
    let target = cell.target;
    let (shard, addr) = (shard.clone(), addr.clone());
    tokio::task::spawn_local(async move {
        let read = move |store: &SharedStore| {
            let row = match fetch.due {
                Some(_) => delivery::pending(&**store, target, fetch.seq)?,
                None => None,
            };
            Ok((log::get(&**store, target.app, fetch.seq)?, row))
        };
        let found = blocking(&shard, read).await;
        addr.tell(Input::Fetched(fetch, found)).await;
    });
}

/// Waits until all settlements handed over so far are durable. `false` when the store is gone.
async fn barrier(shard: &ShardCore) -> bool {
    loop {
        match shard.writer.change(|_| Ok::<(), StoreError>(())).await {
            Ok(()) => return true,
            Err(ChangeError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
            Err(ChangeError::Rejected(_) | ChangeError::Refused(_) | ChangeError::Unavailable(_)) => return false,
        }
    }
}

/// Runs a read on a thread that may block. `None` when it failed; the store is poisoned then and the process ends.
async fn blocking<T: Send + 'static>(
    shard: &ShardCore,
    read: impl FnOnce(&SharedStore) -> Result<T, StoreError> + Send + 'static,
) -> Option<T> {
    let permit = shard.reads.clone().acquire_owned().await.ok()?;
    let store = shard.store.clone();
    let result = tokio::task::spawn_blocking(move || {
        let result = read(&store);
        drop(permit);
        result
    })
    .await;
    match result {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            tracing::error!(%error, "a read failed");
            None
        }
        Err(error) => {
            tracing::error!(%error, "a read ended early");
            None
        }
    }
}

/// Events after `read.after` that match, and up to where the log was looked at. Positions follow on each other, so one that
/// is missing was removed by retention, with all before it; when that happens under way, the next read begins with it.
fn catch_up(
    store: &SharedStore,
    app: AppId,
    filter: &Filter,
    read: LogRead,
    bytes_max: usize,
) -> Result<LogFound, StoreError> {
    let store: &dyn storage::Store = &**store;
    let mut found = LogFound { events: Vec::new(), upto: read.after, removed: None };
    let (mut bytes, mut looked_at) = (0, 0);
    while looked_at < LOOKED_AT_MAX && found.upto < read.upto {
        let events = read_step(store, app, found.upto, bytes_max)?;
        let next = events.first().map_or(read.upto.next(), |event| event.seq).min(read.upto.next());
        if next > found.upto.next() {
            if found.upto > read.after {
                return Ok(found);
            }
            found.removed = Some((found.upto.next(), next.previous()));
            found.upto = next.previous();
        }
        looked_at += events.len();
        for event in events {
            if event.seq > read.upto || event.seq != found.upto.next() {
                return Ok(found);
            }
            found.upto = event.seq;
            if filter.matches(&event) {
                bytes += event.memory_bytes();
                found.events.push(event);
                if found.events.len() >= read.max_events || bytes >= bytes_max {
                    return Ok(found);
                }
            }
        }
    }
    Ok(found)
}

fn read_step(store: &(impl Read + ?Sized), app: AppId, after: Seq, bytes_max: usize) -> Result<Vec<Event>, StoreError> {
    log::read_after(store, app, after, EVENTS_PER_STEP, bytes_max)
}
