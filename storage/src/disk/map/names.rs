//! What the map calls its trees and its own rows.

/// The tree, apart from the rows, of what the map itself is to know.
pub(crate) const COMMITS_TREE: &str = "pinion.commits";

/// In the tree of commits: the number of the last one.
pub(crate) const COMMITS_KEY: &[u8] = b"last";

/// The tree of the keys whose values may be apart.
pub(crate) const APART_TREE: &str = "pinion.apart";

/// In the tree of commits: before the number of a value file, what is known of that.
pub(crate) const USAGE_PREFIX: &[u8] = b"values:";

/// In the tree of commits: before the name of a value that is to be wiped, its place and key.
pub(crate) const WIPE_PREFIX: &[u8] = b"wipe:";

/// In the tree of commits: before the number of a value file that is being swept.
pub(crate) const SWEEP_PREFIX: &[u8] = b"sweep:";
