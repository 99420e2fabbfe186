//! The number of a partition within its node.

/// A partition's number: part of the names of its threads and of its lines in the log. Its node gives it to one at a
/// time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

impl PartitionId {
    /// A name that tells this partition from the others of its node. The first one's is `name` itself.
    #[must_use]
    pub fn name(self, name: &str) -> String {
        if self.0 == 0 { name.to_owned() } else { format!("{name}-{}", self.0) }
    }
}
