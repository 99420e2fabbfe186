//! Jobs: the deliveries that a job says it looked at are those that it put in line and those that it left as they are.
//! Those that it put in line are there, and its filter names them. It keeps to its rate, does nothing before its
//! time nor once it is cancelled, and ends. One that erases by subject spares nothing.

use super::{Violation, ensure, of_kind};
use model::{AppId, EndpointRef, Event, Job, JobKind, JobStatus, Pending, Seq, Trigger, UnixMs};
use std::collections::{BTreeMap, BTreeSet};
use storage::Batch;
use storage::rows::{self, KeyKind};
use storage::store::{MemoryStore, Write};
use storage::tables::log;

/// A job as the last batch left it.
#[derive(Debug)]
pub(super) struct Known {
    row: Job,
    pace: Pace,
}

/// The time since which a job's pace is counted, and what it had put in line by then: anew when the clock was set back,
/// since nobody can tell how much time has passed.
#[derive(Clone, Copy, Debug)]
struct Pace {
    since: UnixMs,
    before: u64,
}

impl Pace {
    fn begun(row: &Job) -> Self {
        Self { since: row.created_at, before: 0 }
    }

    fn after(self, before: &Job, row: &Job) -> Self {
        let is_set_back = row.updated_at < before.updated_at;
        if is_set_back { Self { since: row.updated_at, before: before.affected } } else { self }
    }
}

/// Checks the jobs that a batch moves; `known` is how they were before, `rows` the store, `expunged` what the batch took
/// out of line again.
pub(super) fn check(
    batch: &Batch,
    known: &mut BTreeMap<u32, Known>,
    rows: &MemoryStore,
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
        ensure!(
            row.looked_at == row.affected + skipped + row.failed,
            "the counts of job {number} do not add up: {row:?}"
        );
        // Nothing of the model store is ever damaged.
        ensure!(row.failed == 0, "job {number} passed over what is not damaged: {:?}", row.failures);
        let before = known.get(&number);
        let moved = row.affected - before.map_or(0, |before| before.row.affected);
        let was_cancelled = before.is_some_and(|before| before.row.status == JobStatus::Cancelled);
        ensure!(!was_cancelled || moved == 0, "job {number} went on after it was cancelled");
        check_begun(&row, before)?;
        let pace = before.map_or(Pace::begun(&row), |before| before.pace.after(&before.row, &row));
        check_rate(&row, pace)?;
        if puts_in_line(row.kind) && !row.dry_run {
            // One chunk of one job in a commit; what clients order besides can only make it more.
            let expunged = expunged.iter().filter(|(target, _)| is_of(&row, *target)).count() as u64;
            let put = put_by_hand(batch, &row, rows)? + expunged;
            ensure!(moved <= put, "job {number} says that it put {moved} in line, and {put} are there");
        }
        known.insert(number, Known { row, pace });
    }
    Ok(())
}

/// A job that waited for its time begins when that has come; one that is called off until then has done nothing.
fn check_begun(row: &Job, before: Option<&Known>) -> Result<(), Violation> {
    let Some(start_at) = row.start_at.filter(|_| before.is_none_or(|before| before.row.status == JobStatus::Pending))
    else {
        return Ok(());
    };
    let has_begun = row.looked_at > 0 || !matches!(row.status, JobStatus::Pending | JobStatus::Cancelled);
    let number = row.number;
    ensure!(!has_begun || row.updated_at >= start_at, "job {number} began at {}, before its time", row.updated_at);
    Ok(())
}

/// At rest every job has ended, and what one was to erase is erased.
pub(super) fn check_rest(known: &BTreeMap<u32, Known>, rows: &MemoryStore) -> Result<(), Violation> {
    for (number, Known { row, .. }) in known {
        ensure!(row.status.is_over(), "job {number} is {} for ever", row.status.as_str());
        if row.kind != JobKind::Erase || row.status != JobStatus::Finished {
            continue;
        }
        for event in log::read_after(rows, row.target.app, Seq::ZERO, usize::MAX, usize::MAX)? {
            let is_spared = event.seq <= row.last && is_of_types(row, &event) && !event.is_expunged();
            ensure!(!is_spared, "job {number} was to erase {}, and has ended", event.seq);
        }
    }
    Ok(())
}

/// No more than its rate since its pace is counted, and one chunk of a quarter of a second.
fn check_rate(row: &Job, pace: Pace) -> Result<(), Violation> {
    let Some(rate) = row.rate_per_s else { return Ok(()) };
    let ms = row.updated_at.since_ms(pace.since);
    let most = pace.before + u64::from(rate) * ms / 1_000 + u64::from(rate) / 4 + 2;
    let (number, affected) = (row.number, row.affected);
    ensure!(affected <= most, "job {number} is faster than {rate}/s: {affected} after {ms} ms, from {}", pace.before);
    Ok(())
}

fn puts_in_line(kind: JobKind) -> bool {
    matches!(kind, JobKind::Recover(_) | JobKind::ReplayMissing(_) | JobKind::Replay(_) | JobKind::RedriveDeadLetters)
}

fn is_of(row: &Job, target: EndpointRef) -> bool {
    if row.is_of_application() { row.target.app == target.app } else { row.target == target }
}

/// Deliveries that a batch puts in line by hand, of those that a job may have put there.
fn put_by_hand(batch: &Batch, job: &Job, rows: &MemoryStore) -> Result<u64, Violation> {
    let mut count = 0;
    for (key, write) in of_kind(batch, KeyKind::Pending) {
        let Write::Put(value) = write else { continue };
        let row: Pending = rows::pending::from_value(value)?;
        let by_hand = row.attempts == 0 && row.trigger == Trigger::Manual;
        let (target, seq) = rows::pending::decode(key)?;
        count += u64::from(by_hand && is_of(job, target) && is_named(job, rows, target.app, seq)?);
    }
    Ok(count)
}

/// True if the types of the job's filter name an event, or if the same commit removed the event for its age. They are read in
/// another way than the product reads them.
fn is_named(job: &Job, rows: &MemoryStore, app: AppId, seq: Seq) -> Result<bool, Violation> {
    let event: Option<Event> = log::get(rows, app, seq)?;
    Ok(event.is_none_or(|event| is_of_types(job, &event)))
}

/// True if the types of a job's filter name an event.
fn is_of_types(job: &Job, event: &Event) -> bool {
    let types = job.filter.as_ref().map_or(&[][..], |filter| &filter.event_types);
    let parts: Vec<&str> = event.event_type.split('.').collect();
    let names = |named: &String| match named.strip_suffix(".*") {
        Some(prefix) => {
            let prefix: Vec<&str> = prefix.split('.').collect();
            parts.len() > prefix.len() && parts.starts_with(&prefix)
        }
        None => **named == *event.event_type,
    };
    types.is_empty() || types.iter().any(names)
}
