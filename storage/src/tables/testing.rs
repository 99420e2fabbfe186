//! A store in memory and what tests of tables share.

use crate::store::{Batch, Direction, MAX_VALUE_BYTES, Store, StoreError};
use crate::txn::{Change, Txn};
use bytes::Bytes;
use model::{AppId, EndpointId, EndpointRef};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The rows that transactions wrote.
#[derive(Default)]
pub(crate) struct TestStore(Mutex<BTreeMap<Bytes, Bytes>>);

impl TestStore {
    /// Runs `work` in one transaction and applies it; gives what it asked to tell.
    pub(crate) fn write(&self, work: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>) -> Vec<Change> {
        let mut txn = Txn::new(self);
        work(&mut txn).unwrap();
        let (batch, changes) = txn.into_parts();
        self.apply(batch).unwrap();
        changes
    }

    pub(crate) fn row_count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Every value, for tests that look at what is on disk.
    pub(crate) fn rows(&self) -> Vec<(Bytes, Bytes)> {
        self.scan(&[0], &[0xff], usize::MAX, Direction::Forward).unwrap()
    }
}

impl Store for TestStore {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut rows = self.0.lock().unwrap();
        for (key, value) in writes_of(&batch) {
            match value {
                Some(value) => {
                    assert!(value.len() <= MAX_VALUE_BYTES, "a value of {} bytes", value.len());
                    rows.insert(key, value);
                }
                None => drop(rows.remove(&key)),
            }
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let rows = self.0.lock().unwrap();
        let range = rows
            .range(Bytes::copy_from_slice(start)..Bytes::copy_from_slice(end))
            .map(|(key, value)| (key.clone(), value.clone()));
        Ok(match direction {
            Direction::Forward => range.take(limit).collect(),
            Direction::Reverse => range.rev().take(limit).collect(),
        })
    }
}

/// The writes of a batch, read from what `Debug` shows of it: a batch has no other way out yet.
fn writes_of(batch: &Batch) -> Vec<(Bytes, Option<Bytes>)> {
    let shown = format!("{batch:?}");
    let mut rest = shown.strip_prefix("Batch { rows: {").unwrap();
    let mut writes = Vec::new();
    while let Some(quoted) = rest.strip_prefix("b\"") {
        let (key, after) = unquote(quoted);
        rest = after.strip_prefix(": ").unwrap();
        if let Some(quoted) = rest.strip_prefix("Some(b\"") {
            let (value, after) = unquote(quoted);
            writes.push((key, Some(value)));
            rest = after.strip_prefix(")").unwrap();
        } else {
            writes.push((key, None));
            rest = rest.strip_prefix("None").unwrap();
        }
        rest = rest.strip_prefix(", ").unwrap_or(rest);
    }
    assert_eq!((rest, writes.len()), ("} }", batch.len()));
    writes
}

/// Bytes up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> (Bytes, &str) {
    let text = quoted.as_bytes();
    let (mut bytes, mut at) = (Vec::new(), 0);
    loop {
        match (text[at], text[at + 1]) {
            (b'"', _) => return (Bytes::from(bytes), &quoted[at + 1..]),
            (b'\\', b'x') => {
                bytes.push(u8::from_str_radix(&quoted[at + 2..at + 4], 16).unwrap());
                at += 4;
            }
            (b'\\', escaped) => {
                bytes.push(match escaped {
                    b'0' => 0,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                });
                at += 2;
            }
            (byte, _) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
}

pub(crate) fn target(app: u32, endpoint: u32) -> EndpointRef {
    EndpointRef { app: AppId(app), endpoint: EndpointId(endpoint) }
}
