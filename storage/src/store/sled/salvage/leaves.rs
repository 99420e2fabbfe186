//! The leaves of the rows' tree in the order of their keys, and the stretches of keys that no leaf is left of.
//!
//! Every leaf says from which key to which it reaches, so those that can be read tell which are missing, without the
//! index pages above them. Each key is taken from one leaf: the one that begins where the one before it ends.
//!
//! *What bounds it:* two keys in memory for each leaf; rows are read again when they are asked for.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use super::message::LeafRows;
use super::segments::{DataFile, Page, Pages};
use crate::store::sled::base::COMMITS_KEY;

/// A stretch of keys; an empty end is the end of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: Bytes,
    pub(super) to: Bytes,
}

/// The rows' leaves, and what is missing between them.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    order: Vec<u64>,
    /// No leaf is left of these.
    pub(super) lost: Vec<Stretch>,
    /// Of these a change is lost: how many.
    pub(super) outdated: Vec<(Stretch, usize)>,
    /// The commit number that the map holds.
    pub(super) sealed: Option<u64>,
}

/// A leaf as it competes for its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    // In this order: an empty leaf is never preferred, the commits' own may be one.
    has_rows: bool,
    position: i64,
    page: u64,
    high: Bytes,
}

/// Lays the leaves out.
pub(super) fn lay_out(file: &DataFile, pages: &Pages) -> io::Result<Leaves> {
    let mut leaves = Leaves::default();
    let mut by_low: BTreeMap<Bytes, Candidate> = BTreeMap::new();
    let mut sealed_at = -1;
    for (number, page) in &pages.pages {
        let Some(leaf) = file.leaf(page)? else { continue };
        if let Some(commit) = leaf.rows.get(COMMITS_KEY).and_then(|value| value.as_ref().try_into().ok()) {
            if page.position() > sealed_at {
                (sealed_at, leaves.sealed) = (page.position(), Some(u64::from_be_bytes(commit)));
            }
            continue;
        }
        let candidate = Candidate {
            has_rows: !leaf.rows.is_empty(),
            position: page.position(),
            page: *number,
            high: leaf.high.clone(),
        };
        let place = by_low.entry(leaf.low).or_insert_with(|| candidate.clone());
        *place = candidate.max(place.clone());
    }
    let mut next = Some(Bytes::new());
    while let Some(from) = next {
        let Some((low, leaf)) = by_low.range(from.clone()..).next() else {
            leaves.lost.push(Stretch { from, to: Bytes::new() });
            break;
        };
        if *low > from {
            leaves.lost.push(Stretch { from, to: low.clone() });
        }
        let lost_links = pages.pages.get(&leaf.page).map_or(0, Page::lost_links);
        if lost_links > 0 {
            leaves.outdated.push((Stretch { from: low.clone(), to: leaf.high.clone() }, lost_links));
        }
        leaves.order.push(leaf.page);
        next = (!leaf.high.is_empty()).then(|| leaf.high.clone());
    }
    Ok(leaves)
}

// === impl Leaves ===

impl Leaves {
    /// Those of a map that no checkpoint reached, or that nobody needs.
    pub(super) fn none() -> Self {
        Self { sealed: Some(0), ..Self::default() }
    }

    /// Hands the rows of every leaf to `take`, ascending.
    pub(super) fn rows<E: From<io::Error>>(
        &self,
        file: &DataFile,
        pages: &Pages,
        mut take: impl FnMut(LeafRows) -> Result<(), E>,
    ) -> Result<(), E> {
        for number in &self.order {
            let Some(page) = pages.pages.get(number) else { continue };
            if let Some(leaf) = file.leaf(page)? {
                take(leaf.rows)?;
            }
        }
        Ok(())
    }
}
