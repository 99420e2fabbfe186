//! The endpoint actor: a bounded mailbox in front of a lane. The only file that names the actor framework.
//!
//! Each message is an input of the lane; after each the actor does what the lane asks for, until it asks for nothing.
//! Attempts and reads run beside it. Reads come back as messages; what attempts showed is left with the lane's cell, and
//! one message says so for all that ended in a turn.
//!
//! - *What bounds it:* the mailbox, by [`OFFERS_MAX`] offers besides one message for each delivery that is read or tried.
//! - *When it is full:* an offer is not waited for; the lane is told and reads the log instead.
//! - *When the process dies here:* nothing is lost, mailbox and lane are caches of what is on disk.
//!
//! Deliberately no decision: those are the lane's.

use crate::endpoint::backlog::LogFound;
use crate::endpoint::lane::Fetch;
use crate::endpoint::offer::Offer;
use crate::endpoint::retries::{DueKey, DueLoad, Urgency};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use model::{Event, Pending, Seq};
use std::ops::Range;
use std::sync::Arc;

/// Offers that may wait in one mailbox; each carries what one commit has for the endpoint.
const OFFERS_MAX: usize = 64;

/// What an endpoint is told.
pub enum Input {
    /// A commit's events that match.
    Offer {
        /// The commit's events and who gets them.
        offer: Arc<Offer>,
        /// This endpoint's part of the targets.
        range: Range<usize>,
        /// What was offered before.
        previous: Seq,
    },
    /// Look at the lane: attempts ended, a time has come, room was made, settings changed.
    Poke,
    /// A read of the log ended; none when it failed.
    LogRead(Option<LogFound>),
    /// A load of the due index ended; none when it failed.
    DueLoaded(DueLoad, Option<Vec<(DueKey, Urgency)>>),
    /// A delivery's rows were read; none when that failed.
    Fetched(Fetch, Option<(Option<Event>, Option<Pending>)>),
    /// The endpoint is gone or idle.
    Stop,
}

impl Message for Input {
    type Result = ();
}

/// The mailbox of an endpoint's actor; cheap to clone.
#[derive(Clone)]
pub struct EndpointAddr(Addr<EndpointActor>);

impl EndpointAddr {
    /// Offers without waiting. `false` when the mailbox is full.
    #[must_use]
    pub fn offer(&self, offer: Arc<Offer>, range: Range<usize>, previous: Seq) -> bool {
        self.0.try_send(Input::Offer { offer, range, previous }).is_ok()
    }

    /// Makes it look at its lane. A full mailbox does so anyway, so nothing is lost when this finds no room.
    pub fn poke(&self) {
        drop(self.0.try_send(Input::Poke));
    }

    /// Tells it the end of something it waits for. Waits while the mailbox is full.
    pub async fn tell(&self, input: Input) {
        if self.0.send(input).await.is_err() {
            tracing::trace!("an actor stopped before it was told the end of something");
        }
    }

    /// Stops it; what is in the mailbox is dropped.
    pub fn stop(&self) {
        drop(self.0.try_send(Input::Stop));
    }
}

/// What takes an actor's messages.
type Feed = Box<dyn FnMut(&EndpointAddr, Input)>;

/// One endpoint's actor: hands each message to its lane's shell.
pub struct EndpointActor {
    feed: Feed,
    in_flight_max: usize,
}

impl EndpointActor {
    /// Starts one on this thread. `feed` takes its messages, one at a time; `in_flight_max` is how many of them may be
    /// ends of reads.
    pub fn spawn(in_flight_max: usize, feed: impl FnMut(&EndpointAddr, Input) + 'static) -> EndpointAddr {
        EndpointAddr(EndpointActor { feed: Box::new(feed), in_flight_max }.start())
    }
}

impl Actor for EndpointActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(OFFERS_MAX + self.in_flight_max);
    }
}

impl Handler<Input> for EndpointActor {
    type Result = ();

    fn handle(&mut self, input: Input, ctx: &mut Context<Self>) {
        match input {
            Input::Stop => ctx.stop(),
            input => (self.feed)(&EndpointAddr(ctx.address()), input),
        }
    }
}

/// Runs `shard` on this thread until it ends, with the actor framework under it.
pub fn run_on_this_thread(shard: impl Future<Output = ()>) {
    actix::System::new().block_on(shard);
}
