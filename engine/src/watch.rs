//! Looks at the disk between commits: whether there is room on it, and whether it failed where nobody waits for a
//! commit.
//!
//! A read or a write in the background that fails poisons the store, which the writer would find out at its next
//! commit. Told here, the partition ends at once, however idle. `room` decides what room means. The owner of the
//! partition decides what follows its end.

use crate::clock::Clock;
use crate::room::Room;
use crate::shard::inbox::ShardInbox;
use crate::stall::Shown;
use std::sync::Arc;
use std::time::Duration;
use storage::SharedStore;
use storage::writer::{Failure, WriterHandle};

/// Interval between two looks.
const PERIOD: Duration = Duration::from_millis(100);

/// Looks until the store has failed; the writer's stalls are shown under `name`.
pub(crate) async fn run(name: String, room: Arc<Room>, store: SharedStore, writer: WriterHandle, clock: Clock) {
    let mut stalls = Shown::new(name);
    loop {
        tokio::time::sleep(PERIOD).await;
        stalls.note(writer.take_longest_step(), clock.now());
        if let Some(failure) = Failure::of(&*store) {
            writer.fail(failure);
            return;
        }
        let (room, store) = (room.clone(), store.clone());
        // A file system may take its time to answer.
        let looked = tokio::task::spawn_blocking(move || room.look(&store));
        if let Err(error) = looked.await {
            tracing::error!(%error, "a look at the disk did not finish");
        }
    }
}

/// Starts no attempts any more once the partition has failed: nobody would write their results.
pub(crate) async fn stop_when_failed(writer: WriterHandle, inboxes: Vec<Arc<ShardInbox>>) {
    let failure = writer.failure().await;
    tracing::error!(%failure, "a partition ends");
    inboxes.iter().for_each(|inbox| inbox.stop());
}
