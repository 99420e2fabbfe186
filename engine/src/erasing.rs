//! The eraser: has the store overwrite expunged payloads in its files, soon after the expunge.
//!
//! - *What bounds it:* one erasure at a time, at most one each [`ERASE_EVERY`], however much is expunged meanwhile.
//! - *When the process dies here:* a row says that there is something to erase; the next start finds it.
//! - *When the writer is busy:* the row stays, and the next erasure has less to do.

use std::time::Duration;
use storage::tables::erasure;
use storage::writer::{ChangeError, WriterHandle};
use storage::{SharedStore, StoreError};

/// Interval at which the row is looked for: one read of a cached row.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The least time between two erasures: each writes as much as the log has had since the last one.
const ERASE_EVERY: Duration = Duration::from_secs(10);

/// Erases until the store is gone.
pub(crate) async fn run(store: SharedStore, writer: WriterHandle) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let reader = store.clone();
        let erased = tokio::task::spawn_blocking(move || erase(&reader)).await;
        let number = match erased {
            Ok(Ok(None)) => continue,
            Ok(Ok(Some(number))) => number,
            Ok(Err(error)) => {
                tracing::error!(%error, "what was expunged cannot be erased");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "an erasure ended early");
                return;
            }
        };
        match writer.change(move |txn| erasure::done(txn, number)).await {
            Ok(()) | Err(ChangeError::Busy) => {}
            Err(error) => {
                tracing::debug!(%error, "an erasure is not noted; it is made again");
                return;
            }
        }
        tokio::time::sleep(ERASE_EVERY).await;
    }
}

/// Erases if there is something to erase, and answers the number it was for.
fn erase(store: &SharedStore) -> Result<Option<u64>, StoreError> {
    let Some(number) = erasure::wanted(&**store)? else { return Ok(None) };
    store.erase()?;
    Ok(Some(number))
}
