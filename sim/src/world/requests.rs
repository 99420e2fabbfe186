//! Requests of clients, written as the API writes them.
//!
//! Nothing is validated here: only requests that the API would let through come here.

use super::jobs::start_job;
use super::{World, note};
use crate::client::{Asked, Parcel, Refusal, Request, Taken};
use crate::network::pick;
use crate::node::Reply;
use crate::oracle::Violation;
use crate::plant::Plant;
use engine::seal::{SealContext, SealPurpose};
use model::endpoint::EndpointSecret;
use model::{
    AppId, Application, Disabled, DisabledReason, Endpoint, EndpointId, EndpointRef, Event, JobKind, OnGiveUp, Order,
    Paused, PausedReason, Policy, RetryPolicy, Seq, UnixMs, Verification,
};
use rand::RngExt;
use storage::tables::{application, counter, deleted_endpoint, delivery, endpoint, expunge, log};
use storage::writer::{IngestOutcome, MessageMore};
use storage::{Change, Direction, Txn};

/// Types that messages have.
const TYPES: [&str; 4] = ["a", "a.b", "a.b.c", "d"];

/// Content filters that endpoints have: messages have a number `n`. The last one fails for every message.
const FILTERS: [Option<&str>; 5] = [
    None,
    None,
    Some("payload.n % 2 == 0"),
    Some("payload.n % 3 == 1 || eventType == 'a.b'"),
    Some("payload.missing == 1"),
];

/// Types that endpoints name; empty means every type.
const WANTED: [&[&str]; 6] = [&[], &[], &["a"], &["a.*"], &["a.b.*", "d"], &["d"]];

/// Ordering keys that messages have.
const ORDERING_KEYS: [Option<&str>; 4] = [None, Some("a"), Some("a"), Some("b")];

/// A signing secret like any other.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// An answer in words.
pub(super) fn in_words(taken: &Taken) -> String {
    let words = |outcome: &IngestOutcome| match outcome {
        IngestOutcome::Accepted(event) => format!("{} accepted", event.seq),
        IngestOutcome::Repeated(event) => format!("{} repeated", event.seq),
        IngestOutcome::DuplicateEventId => "event id taken".to_owned(),
        IngestOutcome::KeyReused => "key reused".to_owned(),
        IngestOutcome::TooManyScheduled { most } => format!("more than {most} scheduled"),
        IngestOutcome::TooManyKeys { most } => format!("more than {most} keys"),
        IngestOutcome::Damaged { kind } => format!("a row of kind {kind} is damaged"),
    };
    match taken {
        Ok(outcomes) => outcomes.iter().map(words).collect::<Vec<_>>().join(", "),
        Err(error) => error.to_string(),
    }
}

impl World {
    /// Sends messages, of which some have a key that makes sending them again harmless.
    pub(super) fn send(&mut self) {
        let Some(app) = self.some_app() else { return };
        let only = self.rng.random_ratio(1, 8).then(|| self.some_endpoint()).flatten();
        let app = only.as_ref().map_or(app, |row| row.app);
        let count = *pick(&[1, 1, 1, 2, 5], &mut self.rng);
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            let event_type = *pick(&TYPES, &mut self.rng);
            let padding = *pick(&[0, 0, 10, 300, 9_000], &mut self.rng);
            let key = self.rng.random_ratio(1, 3).then(|| self.rng.random());
            let ordering_key = *pick(&ORDERING_KEYS, &mut self.rng);
            messages.push(match only {
                Some(ref row) => self.clients.example(row.id, event_type),
                None => self.clients.message(event_type, padding, key, ordering_key),
            });
            if self.rng.random_ratio(1, 10)
                && let Some(last) = messages.last_mut()
            {
                last.event_id = Some(format!("id-{}", self.rng.random_range(0..20)));
            }
            let more = self.times();
            if let (Some(more), Some(last)) = (more, messages.last_mut()) {
                let ordering_key = last.more.take().and_then(|more| more.ordering_key);
                last.more = Some(Box::new(MessageMore { ordering_key, ..more }));
            }
        }
        self.post(Parcel { app, messages });
    }

    /// Posts messages, for the first time or again.
    pub(super) fn post(&mut self, parcel: Parcel) {
        note!(self, "client sends {} to {}", parcel.messages.len(), parcel.app);
        self.oracle.ledger.sent(&parcel.messages);
        let (handle, app, messages) = (self.node.handle.clone(), parcel.app, parcel.messages.clone());
        let (reply, answer) = Reply::ask(async move { handle.ingest(app, messages).await });
        match answer {
            None => self.clients.wait(Request::Send(parcel, reply)),
            Some(taken) => note!(self, "client of {app} hears at once: {}", in_words(&taken)),
        }
    }

    /// Makes a change as the API does.
    pub(super) fn change(
        &mut self,
        words: String,
        change: impl FnOnce(&mut Txn<'_>) -> Result<(), Refusal> + Send + 'static,
    ) {
        self.ask(Asked { words, order: None }, change);
    }

    fn ask(&mut self, asked: Asked, change: impl FnOnce(&mut Txn<'_>) -> Result<(), Refusal> + Send + 'static) {
        note!(self, "client asks: {}", asked.words);
        let handle = self.node.handle.clone();
        let (reply, answer) = Reply::ask(async move { handle.change(change).await });
        match answer {
            None => self.clients.wait(Request::Change(asked, reply)),
            Some(_) => note!(self, "client hears at once of «{}»: no", asked.words),
        }
    }

    /// Creates an application with its first endpoints.
    pub(super) fn create_application(&mut self) {
        let (now, count) = (self.node.clock.now(), self.plan.endpoints);
        let rows: Vec<Endpoint> = (0..count).map(|_| self.new_endpoint()).collect();
        let master = self.node.master.clone();
        let dead_letter_retention_days = self.plan.letter_days.app;
        let rate_limit = *pick(&[None, None, None, Some(2), Some(20)], &mut self.rng);
        let max_in_flight = *pick(&[None, None, None, Some(1), Some(3)], &mut self.rng);
        self.change(format!("an application with {count} endpoints"), move |txn| {
            let id = counter::next_app_id(txn)?;
            let policy = Policy { dead_letter_retention_days, ..Policy::default() };
            application::put(txn, &Application { rate_limit, max_in_flight, policy, ..new_application(id, now) })?;
            rows.into_iter().try_for_each(|row| insert(txn, &master, id, row))
        });
    }

    /// Creates an endpoint.
    pub(super) fn create_endpoint(&mut self) {
        let Some(app) = self.some_app() else { return };
        let (row, master) = (self.new_endpoint(), self.node.master.clone());
        self.change(format!("an endpoint for {app}"), move |txn| {
            application::get(txn, app)?.ok_or(Refusal::NotPossible)?;
            insert(txn, &master, app, row)
        });
    }

    fn new_endpoint(&mut self) -> Endpoint {
        let now = self.node.clock.now();
        let mut row = Endpoint::plain(EndpointRef { app: AppId(0), endpoint: EndpointId(0) }, now);
        self.vary(&mut row);
        // The oracle counts by what is on disk, so only where retention leaves it there.
        let (retention, letter_days) = (self.plan.config.retention, self.plan.letter_days);
        row.dead_letter_retention_days = letter_days.endpoint;
        if retention.events_ms == 0 && retention.bytes == 0 && !letter_days.are_set() {
            row.disable_after_failed_deliveries = *pick(&[None, Some(1), Some(2), Some(3)], &mut self.rng);
            if row.disable_after_failed_deliveries.is_some() && self.rng.random_ratio(1, 2) {
                row.retry_policy = Some(RetryPolicy { max_attempts: 1, ..RetryPolicy::standard() });
            }
        }
        if self.rng.random_ratio(1, 10) {
            row.verification = Some(challenge(now));
        }
        if self.rng.random_ratio(1, 10) {
            row.disabled = Some(Disabled { at: now, reason: DisabledReason::Operator });
        }
        row
    }

    /// Changes some of what can be changed.
    fn vary(&mut self, row: &mut Endpoint) {
        let rng = &mut self.rng;
        if row.url.is_empty() || rng.random_ratio(1, 3) {
            row.url = format!("http://93.184.215.{}/", rng.random_range(1..9));
        }
        if rng.random_ratio(1, 2) {
            row.event_types = pick(&WANTED, rng).iter().map(|text| (*text).to_owned()).collect();
        }
        if rng.random_ratio(1, 2) {
            row.rate_limit = *pick(&[None, None, Some(1), Some(10), Some(1_000)], rng);
        }
        if rng.random_ratio(1, 2) {
            row.max_in_flight = *pick(&[None, Some(1), Some(2), Some(5)], rng);
        }
        if rng.random_ratio(1, 2) {
            row.retry_policy = rng.random_ratio(2, 3).then(|| crate::plan::policy(rng));
        }
        if rng.random_ratio(1, 3) {
            row.order = *pick(&[Order::None, Order::Endpoint, Order::Key], rng);
        }
        if rng.random_ratio(1, 4) {
            row.on_give_up = *pick(&[OnGiveUp::Skip, OnGiveUp::Skip, OnGiveUp::Pause], rng);
        }
        if rng.random_ratio(1, 4) {
            row.filter = pick(&FILTERS, rng).map(str::to_owned);
        }
    }

    /// Changes an endpoint.
    pub(super) fn change_endpoint(&mut self) {
        let Some(mut row) = self.some_endpoint() else { return };
        self.vary(&mut row);
        let (now, is_asked) = (self.node.clock.now(), self.rng.random_ratio(1, 2));
        self.change(format!("{} changes", row.id), move |txn| {
            let stored = endpoint::get(txn, row.target())?.ok_or(Refusal::NotPossible)?;
            // Whatever disabled it meanwhile stays.
            let (disabled, paused) = (stored.disabled, stored.paused);
            let anew = stored.url != row.url && is_asked;
            let verification = if anew { Some(challenge(now)) } else { stored.verification };
            let (failover, backup_of, active_from) = (stored.failover, stored.backup_of, stored.active_from);
            let row =
                Endpoint { disabled, paused, verification, failover, backup_of, active_from, updated_at: now, ..row };
            Ok(endpoint::put(txn, &row)?)
        });
    }

    /// Disables an endpoint by hand, or enables it.
    pub(super) fn toggle(&mut self) {
        let Some(row) = self.some_endpoint() else { return };
        let (now, disable) = (self.node.clock.now(), row.disabled.is_none());
        let target = row.target();
        self.change(format!("{} {}", row.id, if disable { "off" } else { "on" }), move |txn| {
            let mut row = endpoint::get(txn, target)?.ok_or(Refusal::NotPossible)?;
            let by_hand = Disabled { at: now, reason: DisabledReason::Operator };
            row.disabled = disable.then(|| row.disabled.unwrap_or(by_hand));
            Ok(endpoint::put(txn, &row)?)
        });
    }

    /// Pauses an endpoint or a whole application, or ends a pause.
    pub(super) fn pause(&mut self) {
        let now = self.node.clock.now();
        if self.rng.random_ratio(1, 4) {
            let Some(app) = self.some_app() else { return };
            return self.change(format!("{app} pauses or goes on"), move |txn| {
                let row = application::get(txn, app)?.ok_or(Refusal::NotPossible)?;
                let paused_at = if row.paused_at.is_some() { None } else { Some(now) };
                Ok(application::put(txn, &Application { paused_at, ..row })?)
            });
        }
        let Some(row) = self.some_endpoint() else { return };
        let (target, pause) = (row.target(), row.paused.is_none());
        if row.is_unverified() && self.rng.random_ratio(1, 2) {
            return self.change(format!("the receiver of {} proves that it wants deliveries", row.id), move |txn| {
                let row = endpoint::get(txn, target)?.ok_or(Refusal::NotPossible)?;
                Ok(endpoint::put(txn, &proven(row, now))?)
            });
        }
        self.change(format!("{} {}", row.id, if pause { "pauses" } else { "goes on" }), move |txn| {
            let row = endpoint::get(txn, target)?.ok_or(Refusal::NotPossible)?;
            let by_hand = Paused { at: now, reason: PausedReason::Operator };
            let paused = pause.then(|| row.paused.unwrap_or(by_hand));
            Ok(endpoint::put(txn, &Endpoint { paused, ..row })?)
        });
    }

    /// Ends every pause. Answers `false` when there is none.
    pub(super) fn resume_all(&mut self) -> Result<bool, Violation> {
        let apps = application::list(&*self.node.disk, None, 1_000, Direction::Forward)?;
        let endpoints = endpoint::scan_all(&*self.node.disk, None, 1_000)?;
        let apps: Vec<Application> = apps.into_iter().filter(|row| row.paused_at.is_some()).collect();
        let endpoints: Vec<Endpoint> = endpoints.into_iter().filter(Endpoint::is_held).collect();
        if apps.is_empty() && endpoints.is_empty() {
            return Ok(false);
        }
        let now = self.node.clock.now();
        self.change("everything goes on".to_owned(), move |txn| {
            for row in apps {
                application::put(txn, &Application { paused_at: None, ..row })?;
            }
            for row in endpoints {
                endpoint::put(txn, &Endpoint { paused: None, ..proven(row, now) })?;
            }
            Ok(())
        });
        Ok(true)
    }

    /// Deletes an endpoint, and leaves a job that removes its rows.
    pub(super) fn delete_endpoint(&mut self) {
        let Some(row) = self.some_endpoint() else { return };
        let (now, target) = (self.node.clock.now(), row.target());
        self.change(format!("{} is deleted", row.id), move |txn| {
            let row = endpoint::get(txn, target)?.ok_or(Refusal::NotPossible)?;
            deleted_endpoint::keep(txn, &row)?;
            endpoint::remove(txn, &row)?;
            start_job(txn, target, JobKind::PurgeEndpoint, (Seq::ZERO, Seq::MAX), now)
        });
    }

    /// Deletes an application with its endpoints, and leaves a job that removes its rows.
    pub(super) fn delete_application(&mut self) {
        let Some(app) = self.some_app() else { return };
        let now = self.node.clock.now();
        self.change(format!("application {app} is deleted"), move |txn| {
            let row = application::get(txn, app)?.ok_or(Refusal::NotPossible)?;
            for row in endpoint::list(txn, app, None, 1_000, Direction::Forward)? {
                endpoint::remove(txn, &row)?;
            }
            application::remove(txn, &row)?;
            txn.tell(Change::ApplicationDeleted(app));
            let target = EndpointRef { app, endpoint: EndpointId(0) };
            start_job(txn, target, JobKind::PurgeApplication, (Seq::ZERO, Seq::MAX), now)
        });
    }

    /// Expunges a message: mostly one of the last, which are on their way.
    pub(super) fn expunge(&mut self) {
        let Some(app) = self.some_app() else { return };
        let recent = self.rng.random_ratio(3, 4);
        let found = if recent { self.some_recent_event(app) } else { self.some_event(app) };
        let (Some(event), now) = (found, self.node.clock.now()) else { return };
        let seq = event.seq;
        note!(self, "client asks: {app}/{seq} is expunged");
        let handle = self.node.handle.clone();
        let change = move |txn: &mut Txn<'_>| Ok(expunge::message(txn, app, seq, now).map(drop)?);
        let (reply, answer) = Reply::ask(async move { handle.change(change).await });
        match answer {
            None => self.clients.wait(Request::Expunge(app, seq, reply)),
            Some(_) => note!(self, "client hears at once of «{app}/{seq} is expunged»: no"),
        }
    }

    /// Asks for one delivery once more, in any state and whether or not the endpoint wants it.
    pub(super) fn resend(&mut self) {
        let (Some(row), now) = (self.some_endpoint(), self.node.clock.now()) else { return };
        let Some(event) = self.some_event(row.app) else { return };
        let (target, seq) = (row.target(), event.seq);
        let asked = Asked { words: format!("{seq} to {} once more", row.id), order: Some((target, seq)) };
        let forgets = self.strikes(Plant::ForgottenOrder);
        self.ask(asked, move |txn| {
            let row = endpoint::get(txn, target)?.ok_or(Refusal::NotPossible)?;
            let event = log::get(txn, target.app, seq)?;
            if row.disabled.is_some() || event.is_none_or(|event| event.unsendable(now).is_some()) {
                return Err(Refusal::NotPossible);
            }
            if forgets { Ok(()) } else { Ok(delivery::requeue(txn, target, seq, now)?) }
        });
    }

    pub(super) fn some_app(&mut self) -> Option<AppId> {
        let rows = application::list(&*self.node.disk, None, 100, Direction::Forward).ok()?;
        (!rows.is_empty()).then(|| pick(&rows, &mut self.rng).id)
    }

    pub(super) fn some_endpoint(&mut self) -> Option<Endpoint> {
        let rows = endpoint::scan_all(&*self.node.disk, None, 100).ok()?;
        (!rows.is_empty()).then(|| pick(&rows, &mut self.rng).clone())
    }

    fn some_recent_event(&mut self, app: AppId) -> Option<Event> {
        let head = log::head(&*self.node.disk, app).ok()?;
        let seq = Seq(head.0.saturating_sub(self.rng.random_range(0..8)));
        log::get(&*self.node.disk, app, seq).ok().flatten()
    }

    fn some_event(&mut self, app: AppId) -> Option<Event> {
        let head = log::head(&*self.node.disk, app).ok()?;
        let seq = Seq(self.rng.random_range(1..=head.0.max(1)));
        log::get(&*self.node.disk, app, seq).ok().flatten()
    }
}

/// A challenge like any other. That it is sent is not simulated, only what follows from it.
fn challenge(now: UnixMs) -> Verification {
    Verification::new("c".repeat(64), now)
}

/// An endpoint whose receiver has proved what it had to.
fn proven(row: Endpoint, now: UnixMs) -> Endpoint {
    let proof = |verification| Verification { verified_at: Some(now), next_at: None, ..verification };
    Endpoint { verification: row.verification.map(proof), ..row }
}

fn new_application(id: AppId, now: UnixMs) -> Application {
    Application { name: String::new(), ..Application::plain(id, now) }
}

fn insert(txn: &mut Txn<'_>, master: &engine::seal::MasterKey, app: AppId, row: Endpoint) -> Result<(), Refusal> {
    let id = counter::next_endpoint_id(txn)?;
    let context = SealContext { app, endpoint: id, purpose: SealPurpose::SigningSecret };
    let sealed = master.seal(SECRET.as_bytes(), context).map_err(|_| Refusal::NotPossible)?;
    let secrets = vec![EndpointSecret { sealed, expires_at: None }];
    Ok(endpoint::put(txn, &Endpoint { id, app, secrets, ..row })?)
}
