//! The leaves of the trees of rows in the order of their keys, and the stretches of keys that no leaf is left of.
//!
//! Every leaf says from which key to which it reaches, so those that can be read tell which are missing, without the
//! index pages above them. Each key is taken from one leaf of a tree: the one that begins where the one before it ends.
//!
//! *What bounds it:* a few keys in memory for each leaf; rows are read again when they are asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use bytes::Bytes;

use super::message::{Leaf, LeafRows};
use super::segments::{DataFile, Page, Pages};
use super::trees::{self, Head, Tree};
use super::values::ValueFiles;
use crate::disk::map::ApartKeys;
use crate::disk::map::names::{COMMITS_KEY, USAGE_PREFIX};

/// A stretch of keys; an empty end is the end of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) from: Bytes,
    pub(crate) to: Bytes,
}

/// The leaves with rows, and what is missing between them.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    rows: Vec<u64>,
    apart: Vec<u64>,
    /// No leaf is left of these.
    pub(crate) lost: Vec<Stretch>,
    /// Of these a change is lost: how many.
    pub(crate) outdated: Vec<(Stretch, usize)>,
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

/// Lays the leaves out. `expects_apart`: the store is of a format that keeps values apart.
pub(crate) fn lay_out(file: &DataFile, pages: &Pages, apart: ApartKeys, expects_apart: bool) -> io::Result<Leaves> {
    let mut leaves = Leaves::default();
    let heads = leaves.heads(file, pages, apart)?;
    let trees = trees::assign(file, pages, &heads)?;
    let (mut of_rows, mut of_apart) = (ByLow::new(), ByLow::new());
    let (mut some_are_apart, mut some_are_not) = (false, false);
    for (number, head) in heads {
        let by_low = match trees.get(&number) {
            Some(Tree::Rows) => {
                some_are_not |= head.has_apart_keys;
                &mut of_rows
            }
            Some(Tree::Apart) => {
                some_are_apart |= head.has_rows;
                &mut of_apart
            }
            Some(Tree::Commits) | None => continue,
        };
        let position = pages.pages.get(&number).map_or(0, Page::position);
        let candidate = Candidate { has_rows: head.has_rows, position, page: number, high: head.high };
        let place = by_low.entry(head.low).or_insert_with(|| candidate.clone());
        *place = candidate.max(place.clone());
    }
    let [below, ours, above] = apart_and_around(apart);
    // Rows that an older version left in the tree are moved all together, from the first on, before anything else.
    let all_are_apart = some_are_apart && !some_are_not;
    let of_tree = if all_are_apart { vec![below, above] } else { vec![Stretch::default()] };
    leaves.rows = leaves.in_order(&of_rows, pages, &of_tree);
    if trees::names_apart(pages).unwrap_or(expects_apart) || !of_apart.is_empty() {
        leaves.apart = leaves.in_order(&of_apart, pages, &[ours]);
    }
    Ok(leaves)
}

/// The keys below those, those, and the ones above.
fn apart_and_around(apart: ApartKeys) -> [Stretch; 3] {
    let (from, to) = (Bytes::copy_from_slice(&[apart.from]), Bytes::copy_from_slice(&[apart.to]));
    [
        Stretch { from: Bytes::new(), to: from.clone() },
        Stretch { from, to: to.clone() },
        Stretch { from: to, to: Bytes::new() },
    ]
}

// === impl Stretch ===

impl Stretch {
    fn within(&self, other: &Self) -> Option<Self> {
        let from = self.from.clone().max(other.from.clone());
        let to = match (self.to.is_empty(), other.to.is_empty()) {
            (true, _) => other.to.clone(),
            (_, true) => self.to.clone(),
            _ => self.to.clone().min(other.to.clone()),
        };
        (to.is_empty() || from < to).then_some(Self { from, to })
    }
}

/// Only what the tree of commits says: the commit number that the map holds, and the value files that it knows of.
pub(crate) fn commits(file: &DataFile, pages: &Pages, apart: ApartKeys) -> io::Result<Leaves> {
    let mut leaves = Leaves::default();
    let mut sealed_at = -1;
    for page in pages.pages.values().filter(|page| page.may_be_of_commits) {
        if let Some(leaf) = file.leaf(page)? {
            leaves.note_commits(&leaf, &Head::new(&leaf, apart), page.position(), &mut sealed_at);
        }
    }
    Ok(leaves)
}

// === impl Leaves ===

impl Leaves {
    /// Those of a map that no checkpoint reached, or that nobody needs.
    pub(crate) fn none() -> Self {
        Self { sealed: Some(0), ..Self::default() }
    }

    /// The bounds of every leaf, and on the way what the tree of commits says.
    fn heads(&mut self, file: &DataFile, pages: &Pages, apart: ApartKeys) -> io::Result<HashMap<u64, Head>> {
        let mut heads = HashMap::new();
        let mut sealed_at = -1;
        for (number, page) in &pages.pages {
            let Some(leaf) = file.leaf(page)? else { continue };
            let head = Head::new(&leaf, apart);
            self.note_commits(&leaf, &head, page.position(), &mut sealed_at);
            heads.insert(*number, head);
        }
        Ok(heads)
    }

    fn note_commits(&mut self, leaf: &Leaf, head: &Head, position: i64, sealed_at: &mut i64) {
        if !head.is_of_commits() {
            return;
        }
        if let Some(commit) = leaf.rows.get(COMMITS_KEY).and_then(|value| value.as_ref().try_into().ok())
            && position > *sealed_at
        {
            (*sealed_at, self.sealed) = (position, Some(u64::from_be_bytes(commit)));
        }
        let numbers = leaf.rows.keys().filter_map(|key| key.strip_prefix(USAGE_PREFIX)?.try_into().ok());
        self.value_files.extend(numbers.map(u32::from_be_bytes));
    }

    /// The leaves of one tree, and notes what is missing of them within these stretches.
    fn in_order(&mut self, by_low: &ByLow, pages: &Pages, needed: &[Stretch]) -> Vec<u64> {
        let mut order = Vec::with_capacity(by_low.len());
        let needed_of =
            |stretch: &Stretch| -> Vec<Stretch> { needed.iter().filter_map(|needed| stretch.within(needed)).collect() };
        let mut next = Some(Bytes::new());
        while let Some(from) = next {
            let Some((low, leaf)) = by_low.range(from.clone()..).next() else {
                self.lost.extend(needed_of(&Stretch { from, to: Bytes::new() }));
                break;
            };
            if *low > from {
                self.lost.extend(needed_of(&Stretch { from, to: low.clone() }));
            }
            let lost_links = pages.pages.get(&leaf.page).map_or(0, Page::lost_links);
            if lost_links > 0 {
                let of_leaf = needed_of(&Stretch { from: low.clone(), to: leaf.high.clone() });
                self.outdated.extend(of_leaf.into_iter().map(|stretch| (stretch, lost_links)));
            }
            order.push(leaf.page);
            next = (!leaf.high.is_empty()).then(|| leaf.high.clone());
        }
        order
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

    /// Hands the rows of every leaf to `take`, those of one tree after those of the other, each ascending.
    pub(crate) fn rows<E: From<io::Error>>(
        &self,
        file: &DataFile,
        pages: &Pages,
        mut take: impl FnMut(Tree, LeafRows) -> Result<(), E>,
    ) -> Result<(), E> {
        let of_rows = self.rows.iter().map(|number| (Tree::Rows, number));
        for (tree, number) in of_rows.chain(self.apart.iter().map(|number| (Tree::Apart, number))) {
            let Some(page) = pages.pages.get(number) else { continue };
            if let Some(leaf) = file.leaf(page)? {
                take(tree, leaf.rows)?;
            }
        }
        Ok(())
    }
}
