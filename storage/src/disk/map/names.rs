//! The keys of the map's own rows. They begin with 0, which no other key does, so they come before all others.

/// The number of the last commit that is in the map: the first row there is.
pub(crate) const LAST_COMMIT: &[u8] = b"\0last";

/// Before the number of a value file that is being swept.
pub(crate) const SWEEP_PREFIX: &[u8] = b"\0sweep:";

/// Before the number of a value file: its usage.
pub(crate) const USAGE_PREFIX: &[u8] = b"\0values:";

/// Before the name of a value that is to be wiped: its place and key.
pub(crate) const WIPE_PREFIX: &[u8] = b"\0wipe:";

/// The lowest key of all other rows.
pub(crate) const ROWS_FROM: &[u8] = &[1];

/// True if the row of this key is the map's own.
pub(crate) fn is_own(key: &[u8]) -> bool {
    key.first() == Some(&0)
}
