//! A change with its reply, run on the writer's thread, and its result.
//!
//! Each change collects into a transaction of its own. A change that fails, is too large or panics leaves nothing
//! behind, and those that share the commit do not notice.

use super::REQUEST_MAX_BYTES;
use crate::store::StoreError;
use crate::txn::Txn;
use std::panic::{self, AssertUnwindSafe};
use tokio::sync::oneshot;

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The change itself said no; nothing was written.
    #[error("{0}")]
    Rejected(E),
    /// It would write more than the store takes; nothing was written.
    #[error("the change was refused: {0}")]
    Refused(StoreError),
    /// Too many requests wait; try again.
    #[error("too many requests are waiting for the store")]
    Busy,
    /// The store failed or the process is stopping; or the change itself panicked, and nothing was written.
    #[error("the store takes no more writes: {0}")]
    Unavailable(String),
}

/// A change with its reply, its types erased.
pub(super) trait RunChange: Send {
    fn run(self: Box<Self>, txn: &mut Txn<'_>) -> Box<dyn FnOnce() + Send>;
}

pub(super) struct ChangeRequest<F, T, E> {
    pub(super) change: F,
    pub(super) reply: oneshot::Sender<Result<T, ChangeError<E>>>,
}

impl<F, T, E> RunChange for ChangeRequest<F, T, E>
where
    F: FnOnce(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn run(self: Box<Self>, txn: &mut Txn<'_>) -> Box<dyn FnOnce() + Send> {
        let ChangeRequest { change, reply } = *self;
        let mut nested = txn.nested();
        // A panic leaves only the change's own state in disorder: it owns all that it captured, and its writes are
        // dropped.
        let run = panic::catch_unwind(AssertUnwindSafe(|| change(&mut nested)));
        let result = match run {
            Ok(Ok(value)) => check_size(&nested).map(|()| value).map_err(ChangeError::Refused),
            Ok(Err(rejected)) => Err(ChangeError::Rejected(rejected)),
            Err(_) => Err(ChangeError::Unavailable("the change panicked; nothing of it was written".to_owned())),
        };
        if result.is_ok() {
            let collected = nested.into_parts();
            txn.merge(collected);
        }
        Box::new(move || drop(reply.send(result)))
    }
}

/// A refusal of the store would fail all that share the commit, so it is found here.
fn check_size(txn: &Txn<'_>) -> Result<(), StoreError> {
    if txn.bytes() > REQUEST_MAX_BYTES {
        return Err(StoreError::BatchTooLarge { bytes: txn.bytes() });
    }
    txn.check_limits()
}
