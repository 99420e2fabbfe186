//! News from other threads to a shard, behind one mutex held for a push or a swap.
//!
//! Offers are bounded. When they do not fit, their endpoints are marked *behind* instead: one mark per endpoint,
//! however many events. The endpoint then reads the events from the log. All other news coalesce per endpoint as well,
//! so nothing here grows with the load. No thread ever waits to tell a shard something.
//!
//! No payloads of its own: an offer shares the commit's events.

use super::expunged::Expunged;
use crate::dispatch::{AttemptRequest, AttemptResult};
use crate::endpoint::offer::Offer;
use crate::pace::Wake;
use crate::waiting::Holding;
use model::{AppId, AppSettings, Cursor, Endpoint, EndpointRef, Seq, UnixMs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// Deliveries that may wait in one shard's inbox.
const OFFERED_MAX: usize = 16 * 1024;

/// Questions that may wait in one shard's inbox.
const QUESTIONS_MAX: usize = 1_024;

/// Trials that may wait in one shard's inbox.
const TRIALS_MAX: usize = 32;

/// An attempt that belongs to no endpoint: a caller tries a URL. Nothing of it is kept.
#[derive(Debug)]
pub struct Trial {
    /// The attempt.
    pub request: AttemptRequest,
    /// The caller's channel for the result.
    pub reply: oneshot::Sender<AttemptResult>,
}

/// A caller's question: the thing that an endpoint waits for.
#[derive(Debug)]
pub struct Question {
    /// Which endpoint.
    pub target: EndpointRef,
    /// The caller's channel for the answer.
    pub reply: oneshot::Sender<Holding>,
}

/// An endpoint that is to read the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The cursor it stands at, if it has no actor that knows better.
    pub from: Cursor,
    /// The last position it was offered.
    pub upto: Seq,
}

/// A change of an endpoint's row, or its end.
#[derive(Debug)]
pub enum EndpointChange {
    /// Its row is this, and its URL has this number. No row is to be read for it.
    Put(Box<Endpoint>, u32),
    /// It is gone.
    Gone,
}

/// The number of a commit that changed endpoints of the shard, from 1.
///
/// The reader of a row tells by this number which news the row contains already.
pub type NewsNumber = u64;

/// The news that a shard takes in one go. Ordered, so that the same history always leads to the same next step.
#[derive(Debug, Default)]
pub struct News {
    /// Endpoints whose receivers must be asked for their proof, with the times: for start-up.
    pub challenges: BTreeMap<EndpointRef, UnixMs>,
    /// In commit order.
    pub offers: VecDeque<Offer>,
    /// To be applied after the offers.
    pub behind: BTreeMap<EndpointRef, Behind>,
    /// Endpoints that changed or are gone, each with the number of its news.
    pub changed: BTreeMap<EndpointRef, (NewsNumber, EndpointChange)>,
    /// Applications with other settings, to be applied after the endpoints.
    pub apps_changed: BTreeMap<AppId, (NewsNumber, Arc<AppSettings>)>,
    /// Applications that were paused, or resumed, to be applied after the endpoints.
    pub paused: BTreeMap<AppId, (NewsNumber, bool)>,
    /// Applications that are gone, with all their endpoints.
    pub apps_gone: BTreeSet<AppId>,
    /// Endpoints with rows put back in line.
    pub requeued: BTreeSet<EndpointRef>,
    /// Endpoints that are to look for work again.
    pub woken: BTreeSet<EndpointRef>,
    /// To be answered after the rest.
    pub questions: Vec<Question>,
    /// To be made beside the attempts of endpoints.
    pub trials: Vec<Trial>,
    /// The writer has taken settlements: work that was held back may go on.
    pub resume: bool,
    /// No new attempts; attempts in flight end.
    pub stop: bool,
}

/// One shard's inbox.
#[derive(Debug)]
pub struct ShardInbox {
    offered_max: usize,
    state: Mutex<State>,
    expunged: Expunged,
    wake: Notify,
}

impl Default for ShardInbox {
    fn default() -> ShardInbox {
        ShardInbox::with_capacity(OFFERED_MAX)
    }
}

#[derive(Debug, Default)]
struct State {
    news: News,
    offered: usize,
    /// Of the last changes that were told.
    number: NewsNumber,
}

impl ShardInbox {
    /// One in which so many deliveries may wait, or those of one offer.
    #[must_use]
    pub fn with_capacity(offered_max: usize) -> ShardInbox {
        ShardInbox { offered_max, state: Mutex::default(), expunged: Expunged::default(), wake: Notify::new() }
    }

    /// Offers a commit's events; if they do not fit, their endpoints are marked as behind.
    pub fn offer(&self, offer: Offer) {
        let mut state = self.lock();
        if state.offered > 0 && state.offered + offer.targets.len() > self.offered_max {
            metrics::counter!(model::metric::MAILBOX_FULL).increment(offer.targets.len() as u64);
            for run in offer.targets.chunk_by(|one, other| one.0 == other.0) {
                let seq_at = |at: &(EndpointRef, u32)| offer.events[at.1 as usize].seq;
                let from = Cursor { upto: seq_at(&run[0]).previous(), holes: Vec::new() };
                mark(&mut state.news.behind, run[0].0, Behind { from, upto: seq_at(&run[run.len() - 1]) });
            }
        } else {
            state.offered += offer.targets.len();
            state.news.offers.push_back(offer);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Marks an endpoint as behind.
    pub fn behind(&self, target: EndpointRef, behind: Behind) {
        mark(&mut self.lock().news.behind, target, behind);
        self.wake.notify_one();
    }

    /// Tells the changes of endpoints, the settings and the pauses of applications of one commit. The shard takes them
    /// together.
    pub fn changed(
        &self,
        endpoints: Vec<(EndpointRef, EndpointChange)>,
        apps: &[(AppId, Arc<AppSettings>)],
        paused: &[(AppId, bool)],
    ) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.number += 1;
        let number = state.number;
        state.news.changed.extend(endpoints.into_iter().map(|(target, change)| (target, (number, change))));
        state.news.apps_changed.extend(apps.iter().map(|(app, settings)| (*app, (number, settings.clone()))));
        state.news.paused.extend(paused.iter().map(|(app, paused)| (*app, (number, *paused))));
        drop(guard);
        self.wake.notify_one();
    }

    /// The receiver of an endpoint must be asked for its proof at this time: for start-up.
    pub fn challenge(&self, target: EndpointRef, at: UnixMs) {
        self.lock().news.challenges.insert(target, at);
        self.wake.notify_one();
    }

    /// The number of the last changes that were told.
    ///
    /// Changes are durable before they are told, one commit at a time. So a row that is read between two equal answers
    /// is as these changes left it, or as the very next ones do.
    #[must_use]
    pub fn told(&self) -> NewsNumber {
        self.lock().number
    }

    /// An endpoint has rows put back in line.
    pub fn requeued(&self, target: EndpointRef) {
        self.lock().news.requeued.insert(target);
        self.wake.notify_one();
    }

    /// The payload of an event is gone: copies of it in memory are not to be sent. Nobody is woken for it.
    pub fn expunged(&self, app: AppId, seq: Seq) {
        self.expunged.add(app, seq);
    }

    /// An application is gone.
    pub fn app_gone(&self, app: AppId) {
        self.lock().news.apps_gone.insert(app);
        self.wake.notify_one();
    }

    /// No endpoint of this application is served any more: nobody asks for its expunged events.
    pub fn forget_expunged(&self, app: AppId) {
        self.expunged.forget(app);
    }

    /// True if a copy of this event in memory may date from before its expunging: then the store tells.
    #[must_use]
    pub fn may_be_expunged(&self, app: AppId, seq: Seq) -> bool {
        self.expunged.may_have(app, seq)
    }

    /// Asks for the thing that an endpoint waits for. A full inbox drops the question, and with it the caller's sender.
    pub fn ask(&self, question: Question) {
        let mut state = self.lock();
        if state.news.questions.len() < QUESTIONS_MAX {
            state.news.questions.push(question);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Asks for a trial. A full inbox drops it, and with it the caller's sender.
    pub fn try_out(&self, trial: Trial) {
        let mut state = self.lock();
        if state.news.trials.len() < TRIALS_MAX {
            state.news.trials.push(trial);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Work that was held back may go on.
    pub fn resume(&self) {
        self.lock().news.resume = true;
        self.wake.notify_one();
    }

    /// No new attempts from here on.
    pub fn stop(&self) {
        self.lock().news.stop = true;
        self.wake.notify_one();
    }

    /// Takes everything there is.
    pub fn take(&self) -> News {
        let mut state = self.lock();
        state.offered = 0;
        std::mem::take(&mut state.news)
    }

    /// Offers that wait in it, and their deliveries.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.news.offers.len(), state.offered)
    }

    /// Deliveries that may wait in it.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.offered_max
    }

    /// True if there is nothing to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let news = &self.lock().news;
        let nobody =
            news.challenges.is_empty() && news.behind.is_empty() && news.changed.is_empty() && news.requeued.is_empty();
        let nobody = nobody && news.woken.is_empty() && news.apps_changed.is_empty() && news.paused.is_empty();
        let nobody = nobody && news.apps_gone.is_empty();
        let nobody = nobody && news.offers.is_empty() && news.questions.is_empty() && news.trials.is_empty();
        nobody && !news.resume && !news.stop
    }

    /// Waits until there may be something to take.
    ///
    /// # Cancel safety
    /// Nothing is lost: a wake-up that nobody took is remembered.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, the queues are still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mark(all: &mut BTreeMap<EndpointRef, Behind>, target: EndpointRef, behind: Behind) {
    match all.get_mut(&target) {
        // The first mark has the endpoint's cursor from before, the last one the position to read up to.
        Some(marked) => marked.upto = marked.upto.max(behind.upto),
        None => {
            all.insert(target, behind);
        }
    }
}

impl Wake for ShardInbox {
    fn wake(&self, target: EndpointRef) {
        self.lock().news.woken.insert(target);
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use model::{EndpointId, Event};

    fn target() -> EndpointRef {
        EndpointRef { app: AppId(1), endpoint: EndpointId(1) }
    }

    fn offer(first: u64, count: usize) -> Offer {
        let event = |seq| Event {
            app: AppId(1),
            seq: Seq(seq),
            accepted_at: UnixMs(0),
            event_type: Arc::from("a"),
            event_id: None,
            channels: Vec::new(),
            only_for: None,
            more: None,
            payload: Bytes::new(),
        };
        let events: Vec<Event> = (first..first + count as u64).map(event).collect();
        Offer::new(events.into(), (0..count as u32).map(|index| (target(), index)).collect())
    }

    #[test]
    fn what_does_not_fit_becomes_one_mark_that_spans_it() {
        let inbox = ShardInbox::default();
        inbox.offer(offer(1, OFFERED_MAX));
        inbox.offer(offer(20_001, 10));
        inbox.offer(offer(20_011, 10));
        let news = inbox.take();
        assert_eq!(news.offers.len(), 1);
        let marked = Behind { from: Cursor { upto: Seq(20_000), holes: Vec::new() }, upto: Seq(20_020) };
        assert_eq!(news.behind.get(&target()), Some(&marked));
        inbox.offer(offer(30_000, 1));
        assert_eq!(inbox.take().offers.len(), 1, "taking makes room");
    }

    #[test]
    fn an_offer_larger_than_the_bound_still_passes_an_empty_inbox() {
        let inbox = ShardInbox::default();
        inbox.offer(offer(1, OFFERED_MAX + 1));
        assert_eq!(inbox.take().offers.len(), 1);
    }
}
