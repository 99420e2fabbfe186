//! What lanes asked for: reads of the store and attempts. Each is done in several steps, so that anything may happen in
//! between, and ends in exactly one message to the endpoint that asked.

use super::futures::Reply;
use super::mailbox::SimMailbox;
use crate::network::Exchange;
use engine::endpoint::backlog::{LogFound, LogRead};
use engine::endpoint::lane::Fetch;
use engine::endpoint::retries::{DueKey, DueLoad, Urgency};
use engine::prepare::Plan;
use model::{Event, Pending, UnixMs};
use std::rc::Rc;
use std::sync::Arc;

/// A delivery's event and row.
pub(super) type Rows = (Option<Event>, Option<Pending>);

/// Rows of the due index.
pub(super) type DueRows = Vec<(DueKey, Urgency)>;

/// One thing under way.
pub enum Errand {
    /// An attempt.
    Attempt(Box<Flight>),
    /// A read of the log.
    Log {
        /// Who asked.
        mailbox: Rc<SimMailbox>,
        /// What for.
        read: LogRead,
        /// The endpoint's when it was asked: its filter says what matches.
        plan: Arc<Plan>,
        /// What was found, with the bytes that were set aside for it.
        found: Option<(Option<LogFound>, usize)>,
    },
    /// A load of the due index.
    Due {
        /// Who asked.
        mailbox: Rc<SimMailbox>,
        /// What for.
        load: DueLoad,
        /// How far it is.
        state: Due,
    },
    /// A fetch of one delivery's rows.
    Fetch {
        /// Who asked.
        mailbox: Rc<SimMailbox>,
        /// What for.
        fetch: Fetch,
        /// What was found; none inside when the read failed.
        rows: Option<Option<Rows>>,
    },
}

/// How far a load of the due index is.
pub enum Due {
    /// The barrier is still to be asked for: the reports go first.
    Begin,
    /// Waits until all that was settled is durable.
    Barrier(Reply<bool>),
    /// May read.
    Read,
    /// Has read; none when that failed.
    Found(Option<DueRows>),
}

/// An attempt on its way.
pub struct Flight {
    /// Who asked.
    pub mailbox: Rc<SimMailbox>,
    /// The event.
    pub event: Event,
    /// Which attempt of its round.
    pub number: u16,
    /// When it was due.
    pub due: Option<UnixMs>,
    /// When it started, by the engine's clock.
    pub started_at: UnixMs,
    /// What becomes of it, in real time.
    pub exchange: Exchange,
    /// The receiver has it.
    pub arrived: bool,
}

impl Errand {
    /// Who asked.
    #[must_use]
    pub fn mailbox(&self) -> &Rc<SimMailbox> {
        match self {
            Errand::Attempt(flight) => &flight.mailbox,
            Errand::Log { mailbox, .. } | Errand::Due { mailbox, .. } | Errand::Fetch { mailbox, .. } => mailbox,
        }
    }

    /// Whether it can go on.
    pub fn is_ready(&mut self, real: UnixMs) -> bool {
        match self {
            Errand::Attempt(flight) => flight.is_ready(real),
            Errand::Log { found: None, .. } | Errand::Fetch { rows: None, .. } => true,
            Errand::Log { mailbox, .. } | Errand::Fetch { mailbox, .. } => mailbox.takes_more(),
            Errand::Due { state, mailbox, .. } => match state {
                Due::Begin | Due::Read => true,
                Due::Found(_) => mailbox.takes_more(),
                Due::Barrier(reply) => match reply.poll() {
                    Some(durable) => {
                        *state = if durable { Due::Read } else { Due::Found(None) };
                        true
                    }
                    None => false,
                },
            },
        }
    }

    /// When it goes on by itself.
    #[must_use]
    pub fn deadline(&self) -> Option<UnixMs> {
        match self {
            Errand::Attempt(flight) if !flight.arrived => flight.exchange.arrives_at.or(Some(flight.exchange.ends_at)),
            Errand::Attempt(flight) => Some(flight.exchange.ends_at),
            _ => None,
        }
    }
}

impl Flight {
    fn is_ready(&self, real: UnixMs) -> bool {
        let arrives = !self.arrived && self.exchange.arrives_at.is_some_and(|at| at <= real);
        arrives || (self.exchange.ends_at <= real && self.mailbox.takes_more())
    }
}
