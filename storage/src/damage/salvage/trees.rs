//! Which tree a leaf is of: all trees of sled are in one file, and each of them may span all keys.
//!
//! The page with the names of the trees leads to their topmost pages, those to the leaves, and each leaf to the next one.
//! Where such a page is lost, what is linked to a leaf whose rows tell its tree is of the same tree. A pointer is only
//! believed where it leads to the key that it says, for it may be an older one.
//!
//! Deliberately no order of the leaves: that is [`super::leaves`].

use std::collections::HashMap;
use std::io;

use bytes::Bytes;

use super::message::Leaf;
use super::segments::{DataFile, Pages};
use crate::disk::map::ApartKeys;
use crate::disk::map::names::{APART_TREE, COMMITS_KEY, COMMITS_TREE, SWEEP_PREFIX, USAGE_PREFIX, WIPE_PREFIX};
use crate::disk::values::{EARLIER_MIN_BYTES, Held};

/// As sled names the one without a name.
const DEFAULT_TREE: &[u8] = b"__sled__default";

/// A tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// Rows as they are.
    Rows,
    /// Rows of which the large values are apart.
    Apart,
    /// The number of the last commit, and what is known of the value files.
    Commits,
}

/// What the trees are told from: of each leaf its bounds and what its rows say.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) low: Bytes,
    pub(crate) high: Bytes,
    next: u64,
    says: Says,
    pub(crate) has_rows: bool,
    /// Whether there are rows whose values may be apart.
    pub(crate) has_apart_keys: bool,
}

/// What the rows of a leaf say of its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// It can be no other.
    Is(Tree),
    /// Rows of the other tree look like this once in 256 times.
    MayBeApart,
    Nothing,
}

// === impl Head ===

impl Head {
    pub(crate) fn new(leaf: &Leaf, apart: ApartKeys) -> Self {
        Self {
            low: leaf.low.clone(),
            high: leaf.high.clone(),
            next: leaf.next,
            says: Says::of(leaf, apart),
            has_rows: !leaf.rows.is_empty(),
            has_apart_keys: leaf.rows.keys().any(|key| apart.contains(key)),
        }
    }

    pub(crate) fn is_of_commits(&self) -> bool {
        self.says == Says::Is(Tree::Commits)
    }
}

// === impl Says ===

impl Says {
    fn of(leaf: &Leaf, apart: ApartKeys) -> Self {
        let of_commits = |(key, value): (&Bytes, &Bytes)| {
            (key.as_ref() == COMMITS_KEY && value.len() == 8)
                || (key.starts_with(USAGE_PREFIX) && key.len() == USAGE_PREFIX.len() + 4 && value.len() == 16)
                || (key.starts_with(SWEEP_PREFIX) && key.len() == SWEEP_PREFIX.len() + 4 && value.is_empty())
                || (key.starts_with(WIPE_PREFIX) && key.len() == WIPE_PREFIX.len() + 8)
        };
        let of_apart = |(key, held): (&Bytes, &Bytes)| {
            apart.contains(key)
                && match Held::decode(held) {
                    Some(Held::Inline(value)) => value.len() < EARLIER_MIN_BYTES,
                    Some(Held::Apart(_)) => true,
                    None => false,
                }
        };
        if leaf.rows.is_empty() {
            Self::Nothing
        } else if leaf.rows.iter().all(of_commits) {
            Self::Is(Tree::Commits)
        } else if leaf.rows.iter().all(of_apart) {
            Self::MayBeApart
        } else {
            Self::Is(Tree::Rows)
        }
    }
}

/// The tree of each leaf that can be told; of an empty one that nothing leads to it cannot.
pub(crate) fn assign(file: &DataFile, pages: &Pages, heads: &HashMap<u64, Head>) -> io::Result<HashMap<u64, Tree>> {
    let linked = links(file, pages, heads)?;
    let mut assigned: HashMap<u64, Tree> = HashMap::new();
    // What leads to a leaf tells more than two or three rows of it do.
    let certain = |says| matches!(says, Says::Is(_)).then_some(says);
    for told in [roots(pages), told(heads, certain), told(heads, Some)] {
        let mut open: Vec<(u64, Tree)> = told;
        while let Some((page, tree)) = open.pop() {
            if assigned.contains_key(&page) {
                continue;
            }
            assigned.insert(page, tree);
            open.extend(linked.get(&page).into_iter().flatten().map(|other| (*other, tree)));
        }
    }
    for (page, head) in heads {
        if let Says::Is(tree) = head.says {
            assigned.insert(*page, tree);
        }
    }
    Ok(assigned)
}

/// Whether there is a tree of rows whose values are apart, as far as the page with the names says.
pub(crate) fn names_apart(pages: &Pages) -> Option<bool> {
    pages.trees.as_ref().map(|trees| trees.contains_key(APART_TREE.as_bytes()))
}

fn roots(pages: &Pages) -> Vec<(u64, Tree)> {
    let trees = pages.trees.iter().flatten();
    let named = trees.filter_map(|(name, root)| {
        let tree = match name.as_ref() {
            DEFAULT_TREE => Tree::Rows,
            name if name == APART_TREE.as_bytes() => Tree::Apart,
            name if name == COMMITS_TREE.as_bytes() => Tree::Commits,
            _ => return None,
        };
        Some((*root, tree))
    });
    named.collect()
}

fn told(heads: &HashMap<u64, Head>, counts: impl Fn(Says) -> Option<Says>) -> Vec<(u64, Tree)> {
    let tree = |head: &Head| match counts(head.says)? {
        Says::Is(tree) => Some(tree),
        Says::MayBeApart => Some(Tree::Apart),
        Says::Nothing => None,
    };
    heads.iter().filter_map(|(page, head)| Some((*page, tree(head)?))).collect()
}

/// Pages of one tree, both ways.
fn links(file: &DataFile, pages: &Pages, heads: &HashMap<u64, Head>) -> io::Result<HashMap<u64, Vec<u64>>> {
    let mut linked: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut link = |one: u64, other: u64| {
        linked.entry(one).or_default().push(other);
        linked.entry(other).or_default().push(one);
    };
    for (page, head) in heads {
        if heads.get(&head.next).is_some_and(|next| next.low == head.high) {
            link(*page, head.next);
        }
    }
    let mut lows: HashMap<u64, Bytes> = HashMap::new();
    let mut children = Vec::new();
    for (page, inner) in &pages.inner {
        let leads_to = file.children(inner)?;
        lows.extend(leads_to.first().map(|(low, _)| (*page, low.clone())));
        children.extend(leads_to.into_iter().map(|(low, child)| (*page, low, child)));
    }
    for (page, low, child) in children {
        let begins = heads.get(&child).map(|head| &head.low).or_else(|| lows.get(&child));
        if begins.is_some_and(|begins| *begins == low) {
            link(page, child);
        }
    }
    Ok(linked)
}
