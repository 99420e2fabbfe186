//! Any history at all: in any order of steps, every rule of the small world holds at every step.
//!
//! In the end every event was delivered, became a dead letter or was skipped while the endpoint was disabled.

use super::world::{Answer, World};
use super::*;
use proptest::prelude::*;

/// Histories in an ordinary run; `PROPTEST_CASES` sets another number.
const CASES: u32 = 1_500;

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::with_cases(cases.unwrap_or(CASES)) }
}

const ORDERS: [Order; 3] = [Order::None, Order::Endpoint, Order::Key];

/// Makes one step of a history: `kind` chooses the step, `arg` its details.
fn step(world: &mut World, kind: u8, arg: u16, health: u16) {
    let pick = usize::from(arg / 16);
    let rarely = arg.is_multiple_of(16);
    match kind {
        0..=3 => world.ingest(1 + u64::from(arg % 3), true, arg.is_multiple_of(7)),
        4 => world.ingest(1, false, false),
        5..=8 => {
            world.go_on_reading(rarely);
            world.go_on_reading_keys(rarely);
        }
        9..=12 => world.go_on_loading(rarely),
        13..=17 => world.go_on_fetching(pick, rarely),
        18..=25 => world.finish(pick, answer_of(arg, health)),
        26..=29 => world.report(),
        30..=34 => world.apply_report(),
        35..=37 => world.now = world.now.plus_ms(u64::from(arg)),
        38..=40 => world.now = world.lane.wake_at().unwrap_or(world.now),
        41 if rarely => world.now = world.now.plus_ms(86_400_000),
        42..=44 => world.requeue(Seq(1 + u64::from(arg) % world.head.0.max(1))),
        45..=46 => world.tell_requeued(),
        47 if arg.is_multiple_of(4) => world.crash(|seq| seq.0.is_multiple_of(2)),
        48 if arg.is_multiple_of(4) => world.set_disabled(!world.policy.disabled),
        49 => {
            world.policy.max_in_flight = 1 + arg % 8;
            world.policy.rate_limit = arg.is_multiple_of(2).then_some(u32::from(arg % 100));
            world.lane.configure(world.policy.clone(), world.now);
        }
        50 if rarely => world.expire_one(),
        51 if rarely => world.set_order(ORDERS[pick % 3]),
        52..=53 => world.schedule(u64::from(arg % 2_048)),
        _ => {}
    }
    // Now and then the shard has no room.
    world.pump(!arg.is_multiple_of(5));
}

/// The smaller `health` is, of 16, the more attempts fail.
fn answer_of(arg: u16, health: u16) -> Answer {
    if arg / 256 % 16 < health {
        return Answer::OK;
    }
    let retry_after_ms = [None, Some(0), Some(3_000), Some(3_600_000)][usize::from(arg / 16 % 4)];
    match arg % 16 {
        0..=2 => Answer::of(OutcomeClass::ServerError, 500),
        3 => Answer { retry_after_ms, ..Answer::of(OutcomeClass::ServerError, 503) },
        4 => Answer { retry_after_ms, ..Answer::of(OutcomeClass::Throttled, 429) },
        5 if (arg / 16).is_multiple_of(8) => Answer::of(OutcomeClass::Gone, 410),
        6 => Answer::of(OutcomeClass::InternalError, 0),
        7 => Answer::of(OutcomeClass::Timeout, 0),
        8 => Answer::of(OutcomeClass::ConnectError, 0),
        9 => Answer { retry_after_ms: Some(0), ..Answer::of(OutcomeClass::RetryableClientError, 425) },
        _ => Answer::of(OutcomeClass::ClientError, 404),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_event_ends_once_and_every_rule_holds(
        steps in proptest::collection::vec((0u8..=53, any::<u16>()), 1..300),
        seed in any::<u64>(),
        health in 0u16..16,
        rejects in proptest::bool::weighted(0.2),
        jitter in any::<bool>(),
        max_attempts in 1u16..7,
        order in 0usize..3,
    ) {
        let mut policy = LanePolicy { order: ORDERS[order], ..policy() };
        policy.retry.max_attempts = max_attempts;
        if rejects { policy.on_client_error = ClientErrorPolicy::DeadLetter; }
        if jitter { policy.retry.jitter = Jitter::Full; }
        let mut world = World::new(seed, policy);
        for (kind, arg) in steps {
            step(&mut world, kind, arg, health);
        }
        world.settle_down();
    }
}
