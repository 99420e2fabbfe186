//! The bounds on one query, in one place so that the documentation can quote them.

/// Items of a page at most.
pub const PAGE_MAX: usize = 250;
/// Rows that one page looks at once it has found an item. A page that ends for this reason is not at the end of the
/// list.
pub const PAGE_SCAN_MAX: usize = 2_000;
/// Rows that one page looks at to find its first item.
pub const PAGE_SEARCH_MAX: usize = 20_000;
/// Bytes of payload that one page reads to find its first item.
pub const PAGE_SEARCH_BYTES: usize = 64 << 20;
/// Bytes of payload after which a page ends early.
pub const PAGE_PAYLOAD_BYTES: usize = 1 << 20;
/// Endpoints looked at for one page of the attempts of one message.
pub const ENDPOINTS_SCAN_MAX: usize = 10_000;
/// Newest messages that an endpoint's statistics are counted over.
pub const STATS_EVENTS_MAX: usize = 10_000;
/// Dead letters of an endpoint are counted up to here for its state.
pub const DEAD_LETTERS_COUNTED_MAX: u64 = 10_000;
/// Messages looked at to find the oldest of a backlog.
pub const BACKLOG_EVENTS_MAX: usize = 256;

/// Steps of a content filter in one look for the oldest message that an endpoint is to get.
pub const BACKLOG_STEPS_MAX: u64 = 1_000_000;
