//! The endpoint actor: a bounded mailbox in front of a lane. The only file that names the actor framework.
//!
//! Each message is an input of the lane. After each, the actions that the lane asks for are begun, until it asks for
//! none. Attempts and reads run beside it. Reads come back as messages. Results of attempts are left with the lane's
//! cell, and one message tells of all that ended in a turn.
//!
//! - *What bounds it:* the mailbox, by [`OFFERS_MAX`] offers, and one message for each delivery that is read or tried.
//! - *When it is full:* an offer is not waited for; the lane is told and reads the log instead.
//! - *When the process dies here:* nothing is lost, mailbox and lane are caches of the disk.
//!
//! No decision: those are the lane's.

use crate::endpoint::mailbox::{Input, Mailbox, OFFERS_MAX};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};

impl Message for Input {
    type Result = ();
}

/// The address of an endpoint's actor; cheap to clone.
#[derive(Clone)]
pub struct EndpointAddr(Addr<EndpointActor>);

impl Mailbox for EndpointAddr {
    fn try_send(&self, input: Input) -> bool {
        self.0.try_send(input).is_ok()
    }
}

impl EndpointAddr {
    /// Tells it the end of a read. Waits while the mailbox is full. `false` when the actor stopped first.
    pub async fn tell(&self, input: Input) -> bool {
        let taken = self.0.send(input).await.is_ok();
        if !taken {
            tracing::trace!("an actor stopped before it was told the end of something");
        }
        taken
    }
}

/// The function that takes an actor's messages.
type Feed = Box<dyn FnMut(&EndpointAddr, Input)>;

/// One endpoint's actor: hands each message to its lane's shell.
pub struct EndpointActor {
    feed: Feed,
    in_flight_max: usize,
}

impl EndpointActor {
    /// Starts one on this thread. `feed` takes its messages, one at a time; at most `in_flight_max` of them may be ends
    /// of reads.
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
