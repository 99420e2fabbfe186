//! Work that lanes asked for: reads of the store and attempts. Each is done in several steps, so that anything may
//! happen in between. Each ends in exactly one message to the endpoint that asked.

use super::futures::Reply;
use super::mailbox::SimMailbox;
use crate::network::Exchange;
use engine::endpoint::backlog::{LogFound, LogRead};
use engine::endpoint::lane::Fetch;
use engine::endpoint::order::Keyed;
use engine::endpoint::retries::{DueKey, DueLoad, Urgency};
use engine::prepare::Plan;
use engine::prepare::Side;
use model::{Event, Pending, Seq, UnixMs};
use std::rc::Rc;
use std::sync::Arc;

/// Deliveries, each with the hash of its ordering key; none for one without a key.
type FoundKeys = Vec<Keyed>;

/// A delivery's event and row.
pub(super) type Rows = (Option<Event>, Option<Pending>);

/// Rows of the due index.
pub(super) type DueRows = Vec<(DueKey, Urgency)>;

/// One thing under way.
pub enum Operation {
    /// An attempt.
    Attempt(Box<Flight>),
    /// A read of the log.
    Log {
        /// The mailbox of the lane that asked.
        mailbox: Rc<SimMailbox>,
        /// The read that it asked for.
        read: LogRead,
        /// The endpoint's when it was asked: its filter says what matches.
        plan: Arc<Plan>,
        /// The result, with the bytes that were set aside for it.
        found: Option<(Option<LogFound>, usize)>,
    },
    /// A load of the due index.
    Due {
        /// The mailbox of the lane that asked.
        mailbox: Rc<SimMailbox>,
        /// The load that it asked for.
        load: DueLoad,
        /// Progress of the load.
        state: Due,
    },
    /// A read of ordering keys.
    Keys {
        /// The mailbox of the lane that asked.
        mailbox: Rc<SimMailbox>,
        /// The deliveries that it asked about.
        seqs: Vec<Seq>,
        /// The result; none inside when the read failed.
        found: Option<Option<FoundKeys>>,
    },
    /// A fetch of one delivery's rows.
    Fetch {
        /// The mailbox of the lane that asked.
        mailbox: Rc<SimMailbox>,
        /// The fetch that it asked for.
        fetch: Fetch,
        /// The result; none inside when the read failed.
        rows: Option<Option<Rows>>,
    },
}

/// Progress of a load of the due index.
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
    /// The mailbox of the lane that asked.
    pub mailbox: Rc<SimMailbox>,
    /// The event.
    pub event: Event,
    /// Number of the attempt in its round.
    pub number: u16,
    /// When it was due.
    pub due: Option<UnixMs>,
    /// When it started, by the engine's clock.
    pub started_at: UnixMs,
    /// The course of the request, in real time.
    pub exchange: Exchange,
    /// The receiver has it.
    pub arrived: bool,
    /// The side that it is for.
    pub side: Side,
    /// The URL that it goes to, if a request could be made.
    pub url: Option<String>,
}

impl Operation {
    /// The mailbox of the lane that asked.
    #[must_use]
    pub fn mailbox(&self) -> &Rc<SimMailbox> {
        match self {
            Operation::Attempt(flight) => &flight.mailbox,
            Operation::Log { mailbox, .. }
            | Operation::Due { mailbox, .. }
            | Operation::Keys { mailbox, .. }
            | Operation::Fetch { mailbox, .. } => mailbox,
        }
    }

    /// True if it can go on.
    pub fn is_ready(&mut self, real: UnixMs) -> bool {
        match self {
            Operation::Attempt(flight) => flight.is_ready(real),
            Operation::Log { found: None, .. }
            | Operation::Keys { found: None, .. }
            | Operation::Fetch { rows: None, .. } => true,
            Operation::Log { mailbox, .. } | Operation::Keys { mailbox, .. } | Operation::Fetch { mailbox, .. } => {
                mailbox.takes_more()
            }
            Operation::Due { state, mailbox, .. } => match state {
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
            Operation::Attempt(flight) if !flight.arrived => {
                flight.exchange.arrives_at.or(Some(flight.exchange.ends_at))
            }
            Operation::Attempt(flight) => Some(flight.exchange.ends_at),
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
