//! Bugs planted on purpose, so that a test can show that the oracle sees them.
//!
//! All of them sit in this crate: in the disk under the engine, or in the redone shells around its cores. Deliberately
//! none in the product.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Settlements lose their rows, but not the cursor that passes them.
    LostSettlement,
    /// The rows of retries that are decided do not reach the disk.
    LostRetryRow,
    /// A commit is acknowledged before it is durable.
    EarlyAck,
    /// A commit that failed is acknowledged.
    AckAfterFailure,
    /// A settled delivery is sent again.
    DoubleDelivery,
    /// An attempt's end is told to nobody.
    LeakedSlot,
    /// An attempt's end is told to its lane, but not to the shard.
    LeakedPlace,
    /// A place that one application takes is counted as another's.
    WrongTenant,
    /// A timer fires and wakes nobody.
    LostTimer,
    /// A read of the log skips an event.
    SkippedInCatchUp,
    /// An offer that finds no room is not noted.
    LostOffer,
    /// Rows put back in line are told to nobody.
    LostRequeue,
    /// An attempt starts before it is due.
    EarlyRetry,
    /// An attempt carries another event's id.
    WrongId,
    /// A second attempt of the same delivery starts beside the first.
    TwiceInFlight,
    /// A delivery that was asked for by hand is acknowledged and left as it is.
    ForgottenOrder,
    /// The mark of how far the log was routed does not reach the disk: passed events show as on their way.
    LostRouted,
    /// A job does not count deliveries that it leaves as they are.
    LostCount,
    /// A job looks past its filter.
    IgnoredFilter,
    /// A job goes on without waiting for its rate.
    IgnoredRate,
    /// Shards are not told that an event was expunged.
    LostExpunge,
    /// Each shard paces an application for itself.
    PaceOfEachShard,
    /// Shards are not told that an endpoint or an application is paused.
    SendsWhilePaused,
    /// Shards are not told that a pause is over.
    LostResume,
}

impl Plant {
    /// All of them.
    pub const ALL: [Plant; 24] = [
        Plant::LostSettlement,
        Plant::LostRetryRow,
        Plant::EarlyAck,
        Plant::AckAfterFailure,
        Plant::DoubleDelivery,
        Plant::LeakedSlot,
        Plant::LeakedPlace,
        Plant::WrongTenant,
        Plant::LostTimer,
        Plant::SkippedInCatchUp,
        Plant::LostOffer,
        Plant::LostRequeue,
        Plant::EarlyRetry,
        Plant::WrongId,
        Plant::TwiceInFlight,
        Plant::ForgottenOrder,
        Plant::LostRouted,
        Plant::LostCount,
        Plant::IgnoredFilter,
        Plant::IgnoredRate,
        Plant::LostExpunge,
        Plant::PaceOfEachShard,
        Plant::SendsWhilePaused,
        Plant::LostResume,
    ];
}
