//! Erasing: replaced values are overwritten in both log files and in the value files.
//!
//! ```text
//! log files    in use A: rows       the other B: older rows
//!          ─▶  in use A: rows       the other B: wiped
//!          ─▶  in use B: new rows   the other A: rows, a checkpoint of them, then wiped
//! ```
//!
//! Once each of the two log files was wiped, neither has anything of before. Each is wiped when it is in no lap and the
//! map has its rows; so the checkpoint has replaced the values in the value files by then, and the seal that ended it
//! has wiped those. Commits go on meanwhile: while they are many the laps turn by themselves, and while they are few
//! this turns them.

use std::sync::Mutex;

use super::shared::Shared;
use super::writer::Writer;
use crate::store::StoreError;

/// Erases, and returns once that is durable. One at a time.
pub(crate) fn run(shared: &Shared, writer: &Mutex<Writer>) -> Result<(), StoreError> {
    let before = shared.checkpoints.begin_erasing();
    let result = loop {
        match shared.check() {
            Ok(()) if shared.checkpoints.both_wiped_since(before) => break Ok(()),
            Ok(()) => {}
            Err(error) => break Err(error),
        }
        if let Err(error) = go_on(shared, writer, before) {
            break Err(error);
        }
    };
    shared.checkpoints.end_erasing();
    result.map_err(|error| shared.poison.latch(error))
}

/// Has the next file wiped if nothing is under way; else waits for a moment.
fn go_on(shared: &Shared, writer: &Mutex<Writer>, before: [u64; 2]) -> Result<(), StoreError> {
    let checkpoints = &shared.checkpoints;
    if !checkpoints.wait_for_rest() {
        return Ok(());
    }
    let panicked = |_| StoreError::io("erasure")(std::io::Error::other("an earlier commit panicked"));
    let mut writer = writer.lock().map_err(panicked)?;
    // The writer may have handed something over since: then that file is wiped once it is free.
    let unused = 1 - writer.log.current();
    if !checkpoints.is_at_rest() || checkpoints.wipe_unused(unused, before) {
        return Ok(());
    }
    turn(&mut writer, shared)
}

/// Turns to the unused file, so that the one in use comes free.
fn turn(writer: &mut Writer, shared: &Shared) -> Result<(), StoreError> {
    if writer.log.is_empty() {
        // A lap without a record has nothing to hand over.
        let next = writer.last_commit + 1;
        return writer.log.begin_lap(next).map_err(StoreError::io("beginning of a lap"));
    }
    writer.turn(shared)
}
