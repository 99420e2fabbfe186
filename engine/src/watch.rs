//! Looks at the disk between commits: whether there is room on it, and whether it failed where nobody waits for a commit.
//!
//! A read or a write in the background that fails poisons the store, which the writer would find out at its next commit;
//! told here, the process ends at once, however idle. Deliberately no decision: room is `room`'s, the end is the server's.

use crate::clock::Clock;
use crate::room::Room;
use crate::stall::Shown;
use std::sync::Arc;
use std::time::Duration;
use storage::SharedStore;
use storage::writer::WriterHandle;

/// How often.
const PERIOD: Duration = Duration::from_millis(100);

/// Looks until the store has failed.
pub(crate) async fn run(room: Arc<Room>, store: SharedStore, writer: WriterHandle, clock: Clock) {
    let mut stalls = Shown::new("writer".to_owned());
    loop {
        tokio::time::sleep(PERIOD).await;
        stalls.note(writer.take_longest_step(), clock.now());
        if let Some(reason) = store.poisoned() {
            writer.fail(reason);
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
