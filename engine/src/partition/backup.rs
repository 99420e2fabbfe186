//! The stream of a backup: steps of [`Copier`], made on a thread that may block, handed over one by one.
//!
//! - *Who owns the state:* a task, which ends with its reader.
//! - *What bounds it:* one backup at a time; two frames and the commits that wait, `backup_queue_bytes`; a minute for the
//!   reader to take a frame.
//! - *When the reader is too slow:* the backup ends. Ingest never waits for it.

use super::{Inner, Partition};
use crate::clock::Clock;
use crate::observe::{BackupOutcome, backups};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use storage::backup::copy::{Copier, CopyError};
use storage::backup::frame::Frame;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Longest time that a reader may take for a frame, of a megabyte or two: far more than any network needs.
const FRAME_WITHIN: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 60_000 });

/// The right to make a backup: only one has it.
pub struct BackupPlace {
    _permit: OwnedSemaphorePermit,
}

/// A backup under way. Dropped, it ends.
pub struct Backup {
    frames: mpsc::Receiver<Bytes>,
}

impl Backup {
    /// The next part of the stream. The last one says that it is whole, or why it is not; a stream without one was
    /// broken off.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.frames.recv().await
    }
}

impl Partition {
    /// Takes the place of a backup; none while one is being made.
    #[must_use]
    pub fn claim_backup(&self) -> Option<BackupPlace> {
        self.inner.backups.clone().try_acquire_owned().ok().map(|_permit| BackupPlace { _permit })
    }

    /// Begins a backup. Call it within a tokio runtime.
    #[must_use]
    pub fn back_up(&self, place: BackupPlace) -> Backup {
        // One is made while one is on its way; more would only be older when they arrive.
        let (give, frames) = mpsc::channel(1);
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let outcome = run(inner, give).await;
            backups(outcome).increment(1);
            drop(place);
        });
        Backup { frames }
    }
}

/// Makes all of it.
async fn run(inner: Arc<Inner>, give: mpsc::Sender<Bytes>) -> BackupOutcome {
    let clock = inner.node.clock();
    let (store, most_bytes) = (inner.store.clone(), inner.node.config().backup_queue_bytes);
    // It waits for a commit that is under way.
    let begun = tokio::task::spawn_blocking(move || Copier::begin(store, most_bytes, VERSION, clock.now()));
    let mut copier = match begun.await {
        Ok(Ok(copier)) => copier,
        Ok(Err(error)) => return failed(&give, &error.to_string()).await,
        Err(error) => return failed(&give, &error.to_string()).await,
    };
    loop {
        if inner.writer.failed().is_some() || inner.is_stopped() {
            return failed(&give, "the server is stopping").await;
        }
        let (back, frame) = match tokio::task::spawn_blocking(move || step(copier, clock)).await {
            Ok((back, Ok(Some(frame)))) => (back, frame),
            Ok((_, Ok(None))) => return BackupOutcome::Complete,
            Ok((_, Err(error))) => return failed(&give, &error.to_string()).await,
            Err(error) => return failed(&give, &error.to_string()).await,
        };
        copier = back;
        match tokio::time::timeout(FRAME_WITHIN, give.send(frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_gone)) => return BackupOutcome::Abandoned,
            Err(_elapsed) => {
                tracing::warn!(within = ?FRAME_WITHIN, "a backup was broken off: its reader takes nothing");
                return BackupOutcome::Abandoned;
            }
        }
    }
}

/// The version of Pinion, for the backup to say.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn step(mut copier: Copier, clock: Clock) -> (Copier, Result<Option<Bytes>, CopyError>) {
    let frame = copier.step(clock.now()).map(|frame| frame.as_ref().map(Frame::encode));
    (copier, frame)
}

/// Tells the reader, as far as it still reads.
async fn failed(give: &mpsc::Sender<Bytes>, reason: &str) -> BackupOutcome {
    tracing::error!(reason, "a backup failed");
    let frame = Frame::Failed(reason.to_owned()).encode();
    // A reader that takes nothing finds out when the stream ends without its last frame.
    let _unread = tokio::time::timeout(FRAME_WITHIN, give.send(frame)).await;
    BackupOutcome::Failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use crate::node::Node;
    use crate::partition_id::PartitionId;
    use crate::seal::MasterKey;
    use storage::backup::frame::FrameReader;
    use storage::store::MemoryStore;

    const SOON: Duration = Duration::from_secs(30);

    fn frames(bytes: &[u8]) -> Vec<Frame> {
        let mut reader = FrameReader::default();
        reader.push(bytes);
        std::iter::from_fn(|| reader.next_frame().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_gives_its_place_back_and_has_no_backup() {
        let config = EngineConfig { shards: 1, ..EngineConfig::default() };
        let node = Node::start(config, MasterKey::new([7; 32])).unwrap();
        let partition = Partition::open(&node, PartitionId(0), Arc::new(MemoryStore::new())).unwrap();
        let mut backup = partition.back_up(partition.claim_backup().expect("nobody has it"));
        assert!(partition.claim_backup().is_none());
        let free_again = async {
            while partition.claim_backup().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, free_again).await.expect("the place is given back");
        let mut read = Vec::new();
        while let Some(bytes) = backup.next().await {
            read.extend(frames(&bytes));
        }
        assert!(matches!(read[..], [Frame::Begin(_)]), "{read:?}");
        // One that is read is whole.
        let mut backup = partition.back_up(partition.claim_backup().expect("nobody has it"));
        while let Some(bytes) = backup.next().await {
            read.extend(frames(&bytes));
        }
        assert!(matches!(read[..], [_, Frame::Begin(_), .., Frame::End(_)]), "{read:?}");
        partition.stop().await;
        node.stop().await;
    }
}
