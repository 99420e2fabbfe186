//! The two halves of a history as streams that a list merges: first attempts by position, further ones by start.
//!
//! Each reads the store in small pages, so that a list of any history holds little in memory.

use super::HistoryPosition;
use crate::read::Read;
use crate::rows::attempt_first::run::{self, MAX_SPAN};
use crate::rows::{KeyRange, attempt_first, attempt_later};
use crate::store::{Direction, StoreError};
use crate::tables::scan;
use model::{AttemptRecord, EndpointRef, Seq};
use std::collections::{BTreeMap, VecDeque};

/// Rows read at once: at most 256 KiB. Tests cross the edges of pages all the time.
const PAGE: usize = if cfg!(test) { 3 } else { 32 };

/// First attempts on one side of a cut, by position.
///
/// Runs overlap: a slow delivery is settled with much later ones, and its run begins far below the rest of it. So a
/// record is given out only when no unread run can hold one that comes before it. As runs span fewer than [`MAX_SPAN`]
/// positions and lie in the order of their lowest ones, that is known after at most that many rows.
pub(super) struct Firsts<'a, R: Read + ?Sized> {
    read: &'a R,
    direction: Direction,
    unread: KeyRange,
    exhausted: bool,
    /// The lowest position of the last run read.
    last_run: Seq,
    cut: Seq,
    records: BTreeMap<Seq, AttemptRecord>,
}

impl<'a, R: Read + ?Sized> Firsts<'a, R> {
    pub(super) fn new(read: &'a R, target: EndpointRef, cut: Seq, direction: Direction) -> Firsts<'a, R> {
        let all = attempt_first::of_endpoint(target);
        let unread = match direction {
            Direction::Reverse => all.beyond(Some(attempt_first::encode(target, cut)), direction),
            // A run that begins below the cut may reach above it.
            Direction::Forward => all.from(attempt_first::encode(target, Seq(cut.0.saturating_sub(MAX_SPAN - 1)))),
        };
        Firsts { read, direction, unread, exhausted: false, last_run: cut, cut, records: BTreeMap::new() }
    }

    pub(super) fn peek(&mut self) -> Result<Option<&AttemptRecord>, StoreError> {
        while !self.exhausted && !self.head().is_some_and(|record| self.is_before_unread(record.seq)) {
            self.fill()?;
        }
        Ok(self.head())
    }

    pub(super) fn pop(&mut self) -> Option<AttemptRecord> {
        let head = match self.direction {
            Direction::Forward => self.records.pop_first(),
            Direction::Reverse => self.records.pop_last(),
        };
        head.map(|(_, record)| record)
    }

    fn head(&self) -> Option<&AttemptRecord> {
        let head = match self.direction {
            Direction::Forward => self.records.first_key_value(),
            Direction::Reverse => self.records.last_key_value(),
        };
        head.map(|(_, record)| record)
    }

    /// True if every record of the unread runs comes after `seq`.
    fn is_before_unread(&self, seq: Seq) -> bool {
        match self.direction {
            // They begin above the last one read.
            Direction::Forward => seq <= self.last_run,
            // They begin at least one below it and end at most `MAX_SPAN - 1` later.
            Direction::Reverse => seq.0 + 1 >= self.last_run.0 + MAX_SPAN,
        }
    }

    fn fill(&mut self) -> Result<(), StoreError> {
        let rows = scan(self.read, &self.unread, PAGE, self.direction)?;
        self.exhausted = rows.len() < PAGE;
        for (key, value) in &rows {
            (_, self.last_run) = attempt_first::decode(key)?;
            for record in run::decode(value)? {
                if (record.seq < self.cut) == (self.direction == Direction::Reverse) {
                    self.records.insert(record.seq, record);
                }
            }
        }
        if let Some((key, _)) = rows.last() {
            self.unread = self.unread.clone().beyond(Some(key.to_vec()), self.direction);
        }
        Ok(())
    }
}

/// Further attempts on one side of a cut, by start.
pub(super) struct Laters<'a, R: Read + ?Sized> {
    read: &'a R,
    direction: Direction,
    unread: KeyRange,
    exhausted: bool,
    records: VecDeque<AttemptRecord>,
}

impl<'a, R: Read + ?Sized> Laters<'a, R> {
    pub(super) fn new(
        read: &'a R,
        target: EndpointRef,
        position: HistoryPosition,
        direction: Direction,
    ) -> Laters<'a, R> {
        let all = attempt_later::of_endpoint(target);
        let (time, seq) = position.later_before;
        let cut = attempt_later::encode(target, time, seq);
        let unread = match direction {
            Direction::Reverse => all.beyond(Some(cut), direction),
            Direction::Forward => all.from(cut),
        };
        Laters { read, direction, unread, exhausted: false, records: VecDeque::new() }
    }

    pub(super) fn peek(&mut self) -> Result<Option<&AttemptRecord>, StoreError> {
        if self.records.is_empty() && !self.exhausted {
            let rows = scan(self.read, &self.unread, PAGE, self.direction)?;
            self.exhausted = rows.len() < PAGE;
            for (_, value) in &rows {
                self.records.push_back(attempt_later::from_value(value)?);
            }
            if let Some((key, _)) = rows.last() {
                self.unread = self.unread.clone().beyond(Some(key.to_vec()), self.direction);
            }
        }
        Ok(self.records.front())
    }

    pub(super) fn pop(&mut self) -> Option<AttemptRecord> {
        self.records.pop_front()
    }
}
