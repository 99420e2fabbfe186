//! Actors of endpoints: spawned when there is first something for an endpoint, given up when it is idle or gone.
//!
//! An actor starts from the rows on disk. So the first event for an idle endpoint, a restart after a crash and an
//! endpoint that fell behind all come this way. No decision about deliveries.

use super::core::{Handle, LaneCell, ShardCore};
use super::inbox::{Behind, EndpointChange, News, NewsNumber, Question};
use super::metrics::Shown;
use super::offered::Offered;
use super::report::InReports;
use super::timers::LaneTimer;
use crate::endpoint::breaker::BreakerConfig;
use crate::endpoint::lane::{Lane, LaneBounds, LaneStart};
use crate::endpoint::mailbox::Input;
use crate::endpoint::offer::Offer;
use crate::pace::AppSlots;
use crate::prepare::Plan;
use model::{AppId, AppSettings, Cursor, Endpoint, EndpointRef, UnixMs};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use storage::StoreError;
use storage::tables::{application, delivery, endpoint, endpoint_url};

/// Takes the news that other threads left for the shard.
pub fn take(shard: &Rc<ShardCore>, mut news: News, now: UnixMs) {
    for (target, at) in std::mem::take(&mut news.challenges) {
        shard.challenges.note(target, Some(at));
    }
    for (target, (number, change)) in std::mem::take(&mut news.changed) {
        let challenge_at = match &change {
            EndpointChange::Put(row, _) => row.challenge_at(),
            EndpointChange::Gone => None,
        };
        shard.challenges.note(target, challenge_at);
        changed(shard, target, number, change, now);
    }
    for (app, (number, settings)) in &news.apps_changed {
        app_changed(shard, *app, *number, settings, now);
    }
    for (app, (number, is_paused)) in &news.paused {
        paused(shard, *app, *number, *is_paused);
    }
    for app in &news.apps_gone {
        handles_of(shard, *app).iter().for_each(|handle| leave(shard, handle, true));
        set_slots(shard, *app, None);
        shard.challenges.forget(*app);
        // Not before: only now do its actors start nothing any more.
        shard.inbox.forget_expunged(*app);
    }
    for each in std::mem::take(&mut news.offers) {
        offer(shard, Arc::new(each), &news.behind, now);
    }
    for (target, mark) in news.behind {
        behind(shard, target, mark, now);
    }
    for target in news.requeued {
        requeued(shard, target, now);
    }
    for target in news.woken {
        // One that is gone leaves the slot to those in line, which look again.
        shard.poke(target);
    }
    for Question { target, reply } in news.questions {
        // The caller may have given up waiting.
        let _left = reply.send(shard.holding_of(target, now));
    }
    if news.resume && shard.holding.replace(false) {
        shard.poke_all();
    }
    if news.stop {
        shard.stopping.set(true);
    }
}

/// Hands a commit's offer out. `behind` holds the marks of the same news, for endpoints that have no actor yet.
fn offer(shard: &Rc<ShardCore>, offer: Arc<Offer>, behind: &BTreeMap<EndpointRef, Behind>, now: UnixMs) {
    let mut at = 0;
    while at < offer.targets.len() {
        let target = offer.targets[at].0;
        let len = offer.targets[at..].iter().take_while(|other| other.0 == target).count();
        let range = at..at + len;
        at += len;
        let first = offer.events[offer.targets[range.start].1 as usize].seq;
        let last = offer.events[offer.targets[range.end - 1].1 as usize].seq;
        let before_first = Cursor { upto: first.previous(), holes: Vec::new() };
        // A mark from before these events (of a restart) has the better cursor: it may have holes, even when these
        // events follow right on it.
        let from = || match behind.get(&target) {
            Some(marked) if marked.from.upto <= before_first.upto => marked.from.clone(),
            _ => before_first.clone(),
        };
        let Some(handle) = handle(shard, target, from, now) else { continue };
        handle.cell.offered.sent(last);
        if !handle.mailbox.try_send(Input::Offer { offer: offer.clone(), range }) {
            handle.cell.offered.behind(last);
            shard.metrics.mailbox_full.increment(len as u64);
        }
    }
}

/// An endpoint is to read the log up to a mark.
fn behind(shard: &Rc<ShardCore>, target: EndpointRef, behind: Behind, now: UnixMs) {
    let Some(handle) = handle(shard, target, || behind.from.clone(), now) else { return };
    handle.cell.offered.behind(behind.upto);
    handle.mailbox.poke();
}

/// Rows of an endpoint were put back in line.
fn requeued(shard: &Rc<ShardCore>, target: EndpointRef, now: UnixMs) {
    // An endpoint without an actor owes nothing: it stands where its application does, or a little before.
    let at_app = || {
        let upto = delivery::routed(&*shard.store, target.app).unwrap_or_default();
        Cursor { upto, holes: Vec::new() }
    };
    let Some(handle) = handle(shard, target, at_app, now) else { return };
    handle.cell.requeued.set(true);
    handle.mailbox.poke();
}

/// An endpoint changed or is gone. An endpoint without an actor reads its rows when it gets one.
fn changed(shard: &ShardCore, target: EndpointRef, number: NewsNumber, change: EndpointChange, now: UnixMs) {
    let handle = shard.endpoints.borrow().get(&target).cloned();
    let Some(handle) = handle.filter(|handle| number > handle.cell.opened_at) else { return };
    match change {
        EndpointChange::Gone => leave(shard, &handle, true),
        EndpointChange::Put(row, url_number) => {
            let app = handle.cell.app.borrow().clone();
            let plan = compile(shard, &row, app.as_deref(), url_number, now).unwrap_or_else(|error| {
                // The rest of the change counts: it may be a pause. What is known of the backup stays.
                tracing::error!(%error, "the row of a backup cannot be read");
                shard.compiler.plan(&row, app.as_deref(), url_number, now).with_backup_of(&handle.last_plan())
            });
            handle.cell.next_plan.replace(Some(Arc::new(plan)));
            handle.mailbox.poke();
        }
    }
}

/// An application has other settings: its rate, or what its endpoints inherit. No row is read and no secret opened for it,
/// so an application with many endpoints costs its shard little.
fn app_changed(shard: &ShardCore, app: AppId, number: NewsNumber, settings: &Arc<AppSettings>, now: UnixMs) {
    let pace = settings.rate_limit.map(|rate| shard.paces.of(app, rate, now));
    let slots = set_slots(shard, app, settings.max_in_flight);
    for handle in handles_of(shard, app).iter().filter(|handle| number > handle.cell.opened_at) {
        handle.cell.pace.replace(pace.clone());
        handle.cell.slots.replace(slots.clone());
        handle.cell.app.replace(Some(settings.clone()));
        let plan = shard.compiler.inherited(&handle.last_plan(), &settings.policy);
        handle.cell.next_plan.replace(Some(Arc::new(plan)));
        handle.mailbox.poke();
    }
}

/// An application was paused, or is sent to again.
fn paused(shard: &ShardCore, app: AppId, number: NewsNumber, paused: bool) {
    for handle in handles_of(shard, app).iter().filter(|handle| number > handle.cell.opened_at) {
        handle.cell.app_paused.set(Some(paused));
        handle.mailbox.poke();
    }
}

/// The slots of an application that may have so many attempts at once. Those in flight here are among them from now on, and
/// no longer when there is no such bound any more.
fn set_slots(shard: &ShardCore, app: AppId, most: Option<u32>) -> Option<Arc<AppSlots>> {
    let taken = shard.places.borrow().taken_by(app) as u32;
    let mut known = shard.slots.borrow_mut();
    let Some(most) = most else {
        if let Some(slots) = known.remove(&app) {
            slots.free(taken);
        }
        return None;
    };
    let slots = shard.paces.slots(app, most);
    if known.insert(app, slots.clone()).is_none() {
        slots.count_in(taken);
    }
    Some(slots)
}

/// The plan of a row. The backup of an endpoint that has one is read: a change of it comes as news of the endpoint, too.
fn compile(
    shard: &ShardCore,
    row: &Endpoint,
    app: Option<&AppSettings>,
    url_number: u32,
    now: UnixMs,
) -> Result<Plan, StoreError> {
    let Some(failover) = &row.failover else { return Ok(shard.compiler.plan(row, app, url_number, now)) };
    let backup = endpoint::get(&*shard.store, EndpointRef { app: row.app, endpoint: failover.backup })?;
    Ok(shard.compiler.plan_with(row, app, url_number, backup.as_ref(), now))
}

/// The actors of an application's endpoints. Looks at every one of the shard: applications change at human speed.
fn handles_of(shard: &ShardCore, app: AppId) -> Vec<Handle> {
    let endpoints = shard.endpoints.borrow();
    let mut handles: Vec<Handle> = endpoints.values().filter(|handle| handle.cell.target.app == app).cloned().collect();
    // The same history always leads to the same next step.
    handles.sort_unstable_by_key(|handle| handle.cell.target);
    handles
}

/// Ends an endpoint's actor.
pub(super) fn leave(shard: &ShardCore, handle: &Handle, gone: bool) {
    handle.cell.gone.set(gone);
    // Nobody takes these results any more. An actor that is given up for being idle has none.
    let ended = std::mem::take(&mut *handle.cell.ended.borrow_mut()).len();
    if ended > 0 {
        shard.free_places(handle.cell.target.app, ended);
    }
    handle.mailbox.stop();
    shard.timers.set(&handle.cell, None);
    shard.metrics.hide(shard, &handle.cell);
    shard.metrics.actors.decrement(1.0);
    shard.endpoints.borrow_mut().remove(&handle.cell.target);
    shard.thread.endpoints.set(shard.thread.endpoints.get() - 1);
    // The lane may have been woken for a place that it does not take now.
    shard.wake_next();
}

/// Ends the partition on this thread: every actor goes, and its places and memory are free for the other partitions.
///
/// Results of attempts and reads under way are dropped.
pub fn end(shard: &Rc<ShardCore>) {
    let handles: Vec<Handle> = shard.endpoints.borrow().values().cloned().collect();
    handles.iter().for_each(|handle| leave(shard, handle, true));
    shard.places.borrow_mut().end();
    shard.metrics.hand_on(0);
    shard.thread.remove(shard);
    shard.thread.wake_next(shard);
}

/// The endpoint's actor, spawned if it has none. `None` when the endpoint is gone.
fn handle(shard: &Rc<ShardCore>, target: EndpointRef, from: impl FnOnce() -> Cursor, now: UnixMs) -> Option<Handle> {
    if let Some(handle) = shard.endpoints.borrow().get(&target) {
        return Some(handle.clone());
    }
    match open(shard, target, from, now) {
        Ok(Some(cell)) => {
            let cell = Rc::new(cell);
            let handle = Handle { mailbox: shard.actors.start(shard, &cell), cell };
            shard.endpoints.borrow_mut().insert(target, handle.clone());
            shard.thread.endpoints.set(shard.thread.endpoints.get() + 1);
            shard.metrics.actors.increment(1.0);
            Some(handle)
        }
        Ok(None) => None,
        Err(error) => {
            tracing::error!(%error, "an endpoint's rows cannot be read");
            None
        }
    }
}

/// The rows that a plan is compiled from.
struct Opened {
    row: Endpoint,
    url_number: u32,
    /// The settings of its application, if it has some.
    app: Option<Arc<AppSettings>>,
    /// Its application is paused.
    app_paused: bool,
    /// Changes up to this one are in it.
    told: NewsNumber,
}

/// Reads the rows of an endpoint that has no actor yet, for its news do not tell them. None when it is gone.
fn read(shard: &ShardCore, target: EndpointRef) -> Result<Option<Opened>, StoreError> {
    let store = &*shard.store;
    loop {
        let (told, url_number) = (shard.inbox.told(), endpoint_url::number(store, target)?);
        let Some(row) = endpoint::get(store, target)? else { return Ok(None) };
        let app = application::get(store, target.app)?;
        let app_paused = app.as_ref().is_some_and(|app| app.paused_at.is_some());
        let app = app.map(|app| app.settings()).filter(|settings| !settings.is_plain()).map(Arc::new);
        // No change came between the reads, and no later news tell of a change that is older than the row.
        if endpoint_url::number(store, target)? == url_number && shard.inbox.told() == told {
            return Ok(Some(Opened { row, url_number, app, app_paused, told }));
        }
    }
}

fn open(
    shard: &ShardCore,
    target: EndpointRef,
    from: impl FnOnce() -> Cursor,
    now: UnixMs,
) -> Result<Option<LaneCell>, StoreError> {
    let store = &*shard.store;
    let Some(Opened { row, url_number, app, app_paused, told }) = read(shard, target)? else { return Ok(None) };
    let plan = compile(shard, &row, app.as_deref(), url_number, now)?;
    let rate = app.as_ref().and_then(|app| app.rate_limit);
    let slots =
        app.as_ref().and_then(|app| app.max_in_flight).and_then(|most| set_slots(shard, target.app, Some(most)));
    let start = LaneStart {
        cursor: from(),
        health: delivery::health(store, target)?,
        retries_on_disk: !delivery::list_due(store, target, None, 1)?.is_empty(),
    };
    let bounds = LaneBounds {
        mailbox_capacity: shard.config.mailbox_capacity,
        retries_in_memory: shard.config.retries_in_memory,
    };
    let offered = start.cursor.upto;
    let mut lane = Lane::new(target, plan.policy.clone(), bounds, BreakerConfig::default(), start, now);
    lane.pause_with_application(app_paused);
    Ok(Some(LaneCell {
        target,
        lane: RefCell::new(lane),
        plan: RefCell::new(Arc::new(plan)),
        app: RefCell::new(app),
        slots: RefCell::new(slots),
        pace: RefCell::new(rate.map(|rate| shard.paces.of(target.app, rate, now))),
        opened_at: told,
        offered: Offered::at(offered),
        requeued: Cell::new(false),
        next_plan: RefCell::default(),
        app_paused: Cell::default(),
        ended: RefCell::default(),
        timer: LaneTimer::default(),
        in_reports: InReports::default(),
        turn: Cell::default(),
        waiting: Cell::new(false),
        waiting_since: Cell::new(now),
        active_at: Cell::new(now),
        oldest_on_disk: Cell::new(None),
        shown: Cell::new(Shown::default()),
        gone: Cell::new(false),
    }))
}
