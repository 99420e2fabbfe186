//! The leaves of the map in the order of their keys, and the spans of keys that no leaf is left of.
//!
//! There is one tree. Every leaf says from which key to which it reaches, so those that can be read tell which are
//! missing, without the index pages above them. Each key is taken from one leaf: the one that begins where the one
//! before it ends.
//!
//! *What bounds it:* a few keys in memory for each leaf; rows are read again when they are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;

use super::message::{Leaf, LeafRows};
use super::segments::{DataFile, Page, Pages};
use super::values::ValueFiles;
use crate::disk::map::layout::Held;
use crate::disk::map::names::{LAST_COMMIT, USAGE_PREFIX, is_own};

/// A span of keys; an empty end is the end of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Bytes,
    pub(crate) to: Bytes,
}

/// The leaves with rows, and the spans that are missing between them.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    order: Vec<u64>,
    /// No leaf is left of these.
    pub(crate) lost: Vec<Span>,
    /// Of these a change is lost: how many.
    pub(crate) outdated: Vec<(Span, usize)>,
    /// The commit number that the map holds.
    pub(crate) sealed: Option<u64>,
    /// The value files that the map knows of.
    pub(crate) value_files: BTreeSet<u32>,
}

/// A leaf as it competes for its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    // In this order: an empty leaf is never preferred.
    has_rows: bool,
    position: i64,
    page: u64,
    high: Bytes,
}

/// By the lowest key that belongs there.
type ByLow = BTreeMap<Bytes, Candidate>;

/// Lays the leaves out.
pub(crate) fn lay_out(file: &DataFile, pages: &Pages) -> io::Result<Leaves> {
    let (mut leaves, mut by_low, mut sealed_at) = (Leaves::default(), ByLow::new(), -1);
    for (number, page) in &pages.pages {
        let Some(leaf) = file.leaf(page)? else { continue };
        leaves.note_own_rows(&leaf, page.position(), &mut sealed_at);
        let has_rows = !leaf.rows.is_empty();
        let candidate = Candidate { has_rows, position: page.position(), page: *number, high: leaf.high };
        let place = by_low.entry(leaf.low).or_insert_with(|| candidate.clone());
        *place = candidate.max(place.clone());
    }
    leaves.put_in_order(&by_low, pages);
    Ok(leaves)
}

/// Only what the map's own rows say: the commit number that it holds, and the value files that it knows of.
pub(crate) fn own_rows(file: &DataFile, pages: &Pages) -> io::Result<Leaves> {
    let (mut leaves, mut sealed_at) = (Leaves::default(), -1);
    for page in pages.pages.values().filter(|page| page.may_have_own_rows) {
        if let Some(leaf) = file.leaf(page)? {
            leaves.note_own_rows(&leaf, page.position(), &mut sealed_at);
        }
    }
    Ok(leaves)
}

// === impl Leaves ===

impl Leaves {
    /// Those of a map that no checkpoint reached, or that no caller needs.
    pub(crate) fn none() -> Self {
        Self { sealed: Some(0), ..Self::default() }
    }

    fn note_own_rows(&mut self, leaf: &Leaf, position: i64, sealed_at: &mut i64) {
        if let Some(commit) = leaf.rows.get(LAST_COMMIT).and_then(|held| Held::commit(held))
            && position > *sealed_at
        {
            (*sealed_at, self.sealed) = (position, Some(commit));
        }
        let own = leaf.rows.keys().take_while(|key| is_own(key));
        let numbers = own.filter_map(|key| key.strip_prefix(USAGE_PREFIX)?.try_into().ok());
        self.value_files.extend(numbers.map(u32::from_be_bytes));
    }

    /// Puts the leaves in order, and notes the spans that are missing.
    fn put_in_order(&mut self, by_low: &ByLow, pages: &Pages) {
        let mut next = Some(Bytes::new());
        while let Some(from) = next {
            let Some((low, leaf)) = by_low.range(from.clone()..).next() else {
                self.lost.push(Span { from, to: Bytes::new() });
                break;
            };
            if *low > from {
                self.lost.push(Span { from, to: low.clone() });
            }
            let lost_links = pages.pages.get(&leaf.page).map_or(0, Page::lost_links);
            if lost_links > 0 {
                self.outdated.push((Span { from: low.clone(), to: leaf.high.clone() }, lost_links));
            }
            self.order.push(leaf.page);
            next = (!leaf.high.is_empty()).then(|| leaf.high.clone());
        }
    }

    /// A value file that the map leads to, and that is not there.
    pub(crate) fn missing_value_file(&self, values: &ValueFiles) -> io::Result<Option<u32>> {
        for number in &self.value_files {
            if !values.has(*number)? {
                return Ok(Some(*number));
            }
        }
        Ok(None)
    }

    /// Hands the rows of every leaf to `take`, in order, but for the map's own.
    pub(crate) fn rows<E: From<io::Error>>(
        &self,
        file: &DataFile,
        pages: &Pages,
        mut take: impl FnMut(LeafRows) -> Result<(), E>,
    ) -> Result<(), E> {
        for page in self.order.iter().filter_map(|number| pages.pages.get(number)) {
            if let Some(mut leaf) = file.leaf(page)? {
                leaf.rows.retain(|key, _| !is_own(key));
                take(leaf.rows)?;
            }
        }
        Ok(())
    }
}
