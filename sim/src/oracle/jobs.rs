//! Jobs: the deliveries that a job says it looked at are those that it put in line and those that it left as they are.
//! Those that it put in line are there.

use super::{Violation, ensure, of_kind};
use model::{EndpointRef, Job, JobKind, Pending, Seq, Trigger};
use std::collections::{BTreeMap, BTreeSet};
use storage::Batch;
use storage::rows::{self, KeyKind};
use storage::store::Write;

/// Checks the jobs that a batch moves; `known` is how they were before, `expunged` what the batch took out of line
/// again.
pub(super) fn check(
    batch: &Batch,
    known: &mut BTreeMap<u32, Job>,
    expunged: &BTreeSet<(EndpointRef, Seq)>,
) -> Result<(), Violation> {
    for (key, write) in of_kind(batch, KeyKind::Job) {
        let number = rows::job::decode(key)?;
        let Write::Put(value) = write else {
            known.remove(&number);
            continue;
        };
        let row: Job = rows::job::from_value(value)?;
        let skipped = row.skipped.total();
        ensure!(row.looked_at == row.affected + skipped, "the counts of job {number} do not add up: {row:?}");
        let before = known.get(&number).map_or(0, |before| before.affected);
        if puts_in_line(row.kind) {
            // One chunk of one job in a commit; what clients order besides can only make it more.
            let expunged = expunged.iter().filter(|(target, _)| *target == row.target).count() as u64;
            let put = put_by_hand(batch, row.target)? + expunged;
            let moved = row.affected - before;
            ensure!(moved <= put, "job {number} says that it put {moved} in line, and {put} are there");
        }
        known.insert(number, row);
    }
    Ok(())
}

fn puts_in_line(kind: JobKind) -> bool {
    matches!(kind, JobKind::Recover(_) | JobKind::ReplayMissing(_) | JobKind::Replay(_) | JobKind::RedriveDeadLetters)
}

/// Deliveries to an endpoint that a batch puts in line by hand.
fn put_by_hand(batch: &Batch, target: EndpointRef) -> Result<u64, Violation> {
    let mut count = 0;
    for (key, write) in of_kind(batch, KeyKind::Pending) {
        let Write::Put(value) = write else { continue };
        let row: Pending = rows::pending::from_value(value)?;
        let by_hand = row.attempts == 0 && row.trigger == Trigger::Manual;
        count += u64::from(by_hand && rows::pending::decode(key)?.0 == target);
    }
    Ok(count)
}
