//! A lane by its stories, and a lane in a small world that does its worst.

mod any_history;
mod examples;
mod expiry;
mod failover;
mod held;
mod in_order;
mod pauses;
mod stories;
mod world;

use super::*;
use crate::endpoint::backlog::LogRead;
use crate::endpoint::order::Keyed;
use bytes::Bytes;
use model::{
    AppId, ClientErrorPolicy, DeadLetter, EndpointHealth, EndpointId, EventMore, Jitter, OnGiveUp, Order, OutcomeClass,
    RetryPolicy, Settlement, Spacing, Trigger,
};
use std::sync::Arc;

pub(super) const TARGET: EndpointRef = EndpointRef { app: AppId(1), endpoint: EndpointId(1) };

/// The event type that this endpoint subscribes to.
pub(super) const MATCHING: &str = "a";

pub(super) fn event(seq: u64, event_type: &str, accepted_at: UnixMs) -> Event {
    Event {
        app: TARGET.app,
        seq: Seq(seq),
        accepted_at,
        event_type: Arc::from(event_type),
        event_id: None,
        channels: Vec::new(),
        only_for: None,
        more: None,
        payload: Bytes::from_static(b"{}"),
    }
}

/// Three attempts, 1 s apart, no limit on the rate, disabled after 10 s.
pub(super) fn policy() -> LanePolicy {
    LanePolicy {
        retry: RetryPolicy {
            spacing: Spacing::Fixed { delay_ms: 1_000 },
            max_attempts: 3,
            max_delay_ms: 60_000,
            jitter: Jitter::None,
        },
        on_client_error: ClientErrorPolicy::Retry,
        disable_after_failing_ms: 10_000,
        rate_limit: None,
        burst: None,
        disable_after_failed_deliveries: None,
        max_in_flight: 8,
        disabled: false,
        order: Order::None,
        on_give_up: OnGiveUp::Skip,
        paused: false,
        failover: None,
    }
}

pub(super) fn answer(seq: Seq, at: UnixMs, outcome: OutcomeClass, status: u16) -> Finished {
    Finished {
        seq,
        started_at: at,
        duration_ms: 1,
        outcome,
        status,
        retry_after_ms: None,
        response: Vec::new(),
        note: None,
        url_number: 0,
        lack: None,
        details: None,
    }
}
