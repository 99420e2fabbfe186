//! A look through every row of a store that came of a backup: whether each can be read, and whether rows that belong
//! together are both there. Changes nothing.
//!
//! *What bounds it:* a page of rows at a time, and [`FAULTS_SHOWN`] faults that are told.

use bytes::Bytes;
use model::AppId;

use crate::rows::{self, KeyKind, key};
use crate::store::{Direction, Store, StoreError, prefix_end};
use crate::tables::audit::verify::Verification;
use crate::tables::delivery;

/// Faults that are told; more are counted.
pub const FAULTS_SHOWN: usize = 20;

/// Rows looked at in one step; of payloads few, as each may be long.
const PAGE: usize = 512;
const PAYLOADS_PAGE: usize = 4;

/// The result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Rows that were looked at.
    pub rows: u64,
    /// The first faults, in words that show no content.
    pub faults: Vec<String>,
    /// Their number.
    pub faulty: u64,
}

impl Findings {
    fn fault(&mut self, words: impl FnOnce() -> String) {
        self.faulty += 1;
        if self.faults.len() < FAULTS_SHOWN {
            self.faults.push(words());
        }
    }
}

/// Looks at all rows. Blocks for the disk, as long as it takes to read all of it.
///
/// # Errors
/// Damage below the rows, and any error of the store.
pub fn check(store: &dyn Store) -> Result<Findings, StoreError> {
    let mut found = Findings::default();
    let mut chain = Verification::new(&|_, _| true, None);
    for first in 1..=u8::MAX {
        let kind = KeyKind::ALL.iter().copied().find(|kind| *kind as u8 == first);
        let page = if kind == Some(KeyKind::Payload) { PAYLOADS_PAGE } else { PAGE };
        let (mut from, end) = (vec![first], prefix_end(&[first]));
        loop {
            let rows = store.scan(&from, &end, page, Direction::Forward)?;
            let Some((last, _)) = rows.last() else { break };
            from = [last, &[0][..]].concat();
            found.rows += rows.len() as u64;
            let Some(kind) = kind else {
                found.fault(|| format!("a row of kind {first}, which this version does not know"));
                break;
            };
            for (key, value) in &rows {
                look(store, kind, (key, value), &mut chain, &mut found)?;
            }
        }
    }
    let chain = chain.finish();
    chain.faults.iter().for_each(|fault| found.fault(|| format!("audit log: {fault}")));
    Ok(found)
}

fn look(
    store: &dyn Store,
    kind: KeyKind,
    (key, value): (&Bytes, &Bytes),
    chain: &mut Verification<'_>,
    found: &mut Findings,
) -> Result<(), StoreError> {
    match decodes(kind, key, value).and_then(|()| partner(store, kind, key, value)) {
        Ok(None) => {}
        Ok(Some(missing)) => found.fault(|| format!("{}: {missing}", key::describe(key))),
        Err(StoreError::CorruptRow { detail, .. }) => found.fault(|| format!("{}: {detail}", key::describe(key))),
        Err(error) => return Err(error),
    }
    if kind == KeyKind::Audit
        && let (Ok(seq), Ok(record)) = (rows::audit::decode(key), rows::audit::from_value(value))
    {
        chain.next(seq, &record);
    }
    Ok(())
}

/// Reads a value as its kind does. Every kind is here, so a new one does not compile before it is.
fn decodes(kind: KeyKind, key: &Bytes, value: &Bytes) -> Result<(), StoreError> {
    match kind {
        // The content of a fact depends on its name.
        KeyKind::Meta => Ok(()),
        KeyKind::ApplicationUid => rows::application_uid::from_value(value).map(drop),
        KeyKind::EventType => rows::event_type::from_value(value).map(drop),
        KeyKind::ApiKey => rows::api_key::from_value(value).map(drop),
        KeyKind::Job => rows::job::from_value(value).map(drop),
        KeyKind::Audit => rows::audit::from_value(value).map(drop),
        KeyKind::Application => rows::application::from_value(value).map(drop),
        KeyKind::Event => {
            let app = key::app_of(key).unwrap_or(AppId(0));
            rows::event::block::read(app, value).map(drop)
        }
        KeyKind::Payload => rows::event::block::decode_payload(value).map(drop),
        KeyKind::EventUid => rows::event_uid::from_value(value).map(drop),
        KeyKind::Scheduled => rows::scheduled::from_value(value).map(drop),
        KeyKind::DeadLetterDays => rows::dead_letter_days::from_value(value).map(drop),
        KeyKind::Endpoint => rows::endpoint::from_value(value).map(drop),
        KeyKind::EndpointUid => rows::endpoint_uid::from_value(value).map(drop),
        KeyKind::Cursor => rows::cursor::from_value(value).map(drop),
        KeyKind::Pending => rows::pending::from_value(value).map(drop),
        KeyKind::DeadLetter => rows::dead_letter::from_value(value).map(drop),
        KeyKind::AttemptFirst => rows::attempt_first::run::decode(value).map(drop),
        KeyKind::AttemptLater => rows::attempt_later::from_value(value).map(drop),
        KeyKind::Gap => rows::gap::from_value(value).map(drop),
        KeyKind::Health => rows::health::from_value(value).map(drop),
        KeyKind::Idempotency => rows::idempotency::from_value(value).map(drop),
        KeyKind::Expired => rows::expired::from_value(value).map(drop),
        KeyKind::EndpointUrl => rows::endpoint_url::from_value(value).map(drop),
        KeyKind::DeletedEndpoint => rows::deleted_endpoint::from_value(value).map(drop),
        KeyKind::Routed => rows::routed::from_value(value).map(drop),
        // Indexes: all is in the key.
        KeyKind::ExpungeAt
        | KeyKind::AuditByApp
        | KeyKind::CalledOff
        | KeyKind::Due
        | KeyKind::DeadLetterByTime
        | KeyKind::AttemptLaterBySeq => Ok(()),
    }
}

/// Says which row is missing that must be there with this one, by "What always holds" in `docs/FORMAT.md`.
fn partner(store: &dyn Store, kind: KeyKind, key: &[u8], value: &[u8]) -> Result<Option<&'static str>, StoreError> {
    let (other, missing) = match kind {
        KeyKind::Pending => {
            let ((target, seq), row) = (rows::pending::decode(key)?, rows::pending::from_value(value)?);
            (rows::due::encode(target, row.due, seq), "it waits, and is not in line")
        }
        KeyKind::Due => {
            let (target, due, seq) = rows::due::decode(key)?;
            let is_there = delivery::pending(store, target, seq)?.is_some_and(|row| row.due == due);
            return Ok((!is_there).then_some("it is in line, and does not wait"));
        }
        KeyKind::DeadLetter => {
            let ((target, seq), row) = (rows::dead_letter::decode(key)?, rows::dead_letter::from_value(value)?);
            let entry = rows::dead_letter_by_time::encode(target.app, row.at, target.endpoint, seq);
            (entry, "it is not in the index by time")
        }
        _ => return Ok(None),
    };
    Ok(store.get(&other)?.is_none().then_some(missing))
}
