//! Reads that take more than a few rows: pages, statistics. They are made on threads of their own, a few at once, and
//! keys take turns.
//!
//! A page of a megabyte takes milliseconds of a core. Made as they were asked for, the pages of one key would leave the
//! cores of a small machine to nobody else, pushes included. So a key has half of the turns at most, and the others of
//! its requests wait in line. The answer's text is made there too, and not on a thread that serves connections.
//!
//! - *Who owns the state:* the API's state has the line; a read that runs has its [`Turn`].
//! - *What bounds it:* reads at once by the number of cores; those that wait by [`WAITING_OF_KEY_MAX`] and by the time
//!   that a request may take.
//! - *When it is full:* the request is refused, and told to come again.

use crate::auth::Reaching;
use crate::edge::NO_ROOM_RETRY_AFTER_S;
use crate::error::ApiError;
use crate::json::JsonBytes;
use crate::state::ApiState;
use axum::extract::FromRequestParts;
use control::Reach;
use engine::fairness::{Answer, Shares, Turns};
use http::request::Parts;
use serde::Serialize;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use tokio::sync::oneshot;

/// Reads of one key that wait for their turn.
const WAITING_OF_KEY_MAX: usize = 256;

/// Reads at once at least: one of a key, and one of another.
const AT_ONCE_MIN: usize = 2;

/// The state of the API, for a handler that reads much.
pub(crate) struct Reader {
    state: ApiState,
    reach: Reach,
}

/// The line of those that read.
#[derive(Debug)]
pub(crate) struct Readers(Mutex<Line>);

#[derive(Debug)]
struct Line {
    running: Shares<Reach>,
    waiting: Turns<Reach, oneshot::Sender<Turn>>,
}

/// A read that may run; the next one may when this is dropped.
#[derive(Debug)]
struct Turn {
    readers: Arc<Readers>,
    /// None once the turn was handed on.
    reach: Option<Reach>,
}

// === impl Reader ===

impl Deref for Reader {
    type Target = ApiState;

    fn deref(&self) -> &ApiState {
        &self.state
    }
}

impl FromRequestParts<ApiState> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Reader, ApiError> {
        let Reaching(reach) = Reaching::from_request_parts(parts, state).await?;
        Ok(Reader { state: state.clone(), reach })
    }
}

impl Reader {
    /// Reads, in turn, on a thread that may block.
    ///
    /// # Errors
    /// 503 when too many reads of this key wait already, and the errors of `read`.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T, ApiError>
    where
        F: FnOnce(&ApiState) -> Result<T, ApiError> + Send + 'static,
        T: Send + 'static,
    {
        let turn = self.readers.turn(self.reach).await?;
        let state = self.state.clone();
        let made = tokio::task::spawn_blocking(move || {
            // Held until the read is over, also when the request is given up meanwhile.
            let _turn = turn;
            read(&state)
        });
        made.await?
    }

    /// Reads, and makes the text of the answer there too.
    ///
    /// # Errors
    /// Those of [`Reader::read`].
    pub(crate) async fn answer<T, F>(&self, read: F) -> Result<JsonBytes, ApiError>
    where
        F: FnOnce(&ApiState) -> Result<T, ApiError> + Send + 'static,
        T: Serialize,
    {
        self.read(move |state| serde_json::to_vec(&read(state)?).map(JsonBytes).map_err(|_| ApiError::Internal)).await
    }
}

// === impl Readers ===

impl Readers {
    /// As many at once as there are cores.
    pub(crate) fn new() -> Arc<Readers> {
        let cores = available_parallelism().map_or(AT_ONCE_MIN, |cores| cores.get());
        Readers::with_turns(cores.max(AT_ONCE_MIN))
    }

    fn with_turns(at_once: usize) -> Arc<Readers> {
        let line = Line { running: Shares::new(at_once), waiting: Turns::default() };
        Arc::new(Readers(Mutex::new(line)))
    }

    /// Waits for a turn.
    async fn turn(self: &Arc<Self>, reach: Reach) -> Result<Turn, ApiError> {
        let waited_for = {
            let mut line = self.line();
            if line.waiting.waiting_of(reach) == 0 && line.running.take(reach, 1) == Answer::Granted {
                return Ok(Turn { readers: Arc::clone(self), reach: Some(reach) });
            }
            if line.waiting.waiting_of(reach) >= WAITING_OF_KEY_MAX {
                return Err(ApiError::Busy { retry_after_s: NO_ROOM_RETRY_AFTER_S });
            }
            let (give, waited_for) = oneshot::channel();
            line.waiting.push(reach, give);
            waited_for
        };
        // The line is dropped with the state, and that lives for as long as the request.
        waited_for.await.map_err(|_| ApiError::Internal)
    }

    /// A read of this key is over; the next in line may run.
    fn hand_on(self: &Arc<Self>, ended: Reach) {
        self.line().running.give_back(ended, 1);
        loop {
            let next = {
                let mut line = self.line();
                let Line { running, waiting } = &mut *line;
                let Some((reach, give)) = waiting.pop(|reach| running.may_take(reach, 1)) else { return };
                if running.take(reach, 1) == Answer::Wait {
                    return;
                }
                (reach, give)
            };
            let (reach, give) = next;
            let turn = Turn { readers: Arc::clone(self), reach: Some(reach) };
            // A request that was given up does not want its turn any more: the next one is asked.
            if let Err(mut unwanted) = give.send(turn) {
                unwanted.reach = None;
                self.line().running.give_back(reach, 1);
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // A panic in between leaves the books as they were: each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Turn ===

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(reach) = self.reach {
            self.readers.hand_on(reach);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use model::AppId;

    const GREEDY: Reach = Reach::Application(AppId(1));
    const OTHER: Reach = Reach::Application(AppId(2));

    #[test]
    fn another_key_has_its_turn_at_once_beside_one_that_asks_for_much() {
        let readers = Readers::with_turns(2);
        let first = readers.turn(GREEDY).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(readers.turn(GREEDY));
        assert!(second.as_mut().now_or_never().is_none(), "half of the turns");
        let other = readers.turn(OTHER).now_or_never().unwrap().unwrap();
        drop(first);
        let second = second.now_or_never().unwrap().unwrap();
        drop((second, other));
        assert_eq!(readers.line().running.used(), 0);
    }

    #[test]
    fn those_who_gave_up_do_not_keep_their_place_in_line() {
        let readers = Readers::with_turns(2);
        let first = readers.turn(GREEDY).now_or_never().unwrap().unwrap();
        let mut waiting: Vec<_> = (0..10).map(|_| Box::pin(readers.turn(GREEDY))).collect();
        assert!(waiting.iter_mut().all(|each| each.as_mut().now_or_never().is_none()));
        let last = waiting.pop().unwrap();
        drop(waiting);
        drop(first);
        assert!(last.now_or_never().unwrap().is_ok());
        let line = readers.line();
        assert_eq!((line.running.used(), line.waiting.is_empty()), (0, true));
    }

    #[test]
    fn a_turn_that_was_given_and_not_taken_goes_to_the_next() {
        let readers = Readers::with_turns(2);
        let first = readers.turn(GREEDY).now_or_never().unwrap().unwrap();
        let (mut second, mut third) = (Box::pin(readers.turn(GREEDY)), Box::pin(readers.turn(GREEDY)));
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        drop(first);
        drop(second);
        assert!(third.now_or_never().is_some_and(|turn| turn.is_ok()));
    }

    #[test]
    fn a_key_has_a_bounded_number_of_reads_in_line() {
        let readers = Readers::with_turns(2);
        let _first = readers.turn(GREEDY).now_or_never().unwrap().unwrap();
        let mut waiting: Vec<_> = (0..WAITING_OF_KEY_MAX).map(|_| Box::pin(readers.turn(GREEDY))).collect();
        assert!(waiting.iter_mut().all(|each| each.as_mut().now_or_never().is_none()));
        let refused = readers.turn(GREEDY).now_or_never().unwrap();
        assert!(matches!(refused, Err(ApiError::Busy { .. })));
        assert!(readers.turn(OTHER).now_or_never().unwrap().is_ok());
    }
}
