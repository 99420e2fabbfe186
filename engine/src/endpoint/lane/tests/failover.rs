//! The side that each attempt of a lane with a backup goes to, and the end of a delivery that both sides gave up.

use super::world::BOUNDS;
use super::*;
use crate::outcome::decide::Decision;
use crate::prepare::{FailoverPolicy, Side};
use rand::SeedableRng;
use rand::rngs::StdRng;

const T0: UnixMs = UnixMs(1_000_000);

const FAILOVER: FailoverPolicy = FailoverPolicy {
    backup: EndpointId(9),
    threshold: 3,
    auto_switch: true,
    auto_return: false,
    probe_interval_ms: 60_000,
    to_backup: false,
    switches: 0,
    since: UnixMs::ZERO,
    backup_ready: true,
};

/// With one attempt for each delivery, before the one at the other side.
fn with(failover: FailoverPolicy) -> LanePolicy {
    let retry = RetryPolicy { max_attempts: 1, ..policy().retry };
    LanePolicy { retry, failover: Some(failover), disable_after_failed_deliveries: Some(2), ..policy() }
}

fn lane() -> Lane {
    Lane::new(TARGET, with(FAILOVER), BOUNDS, BreakerConfig::default(), LaneStart::default(), T0)
}

fn next(lane: &mut Lane, now: UnixMs) -> Option<Action> {
    let mut budget = RetryBudget::new(BudgetConfig::default(), T0.0);
    lane.next_action(now, Room { attempt: true, bytes: usize::MAX }, &mut budget)
}

fn fail(lane: &mut Lane, seq: u64, now: UnixMs) -> Ruled {
    lane.finished(answer(Seq(seq), now, OutcomeClass::Timeout, 0), now, &mut StdRng::seed_from_u64(1)).unwrap()
}

/// Offers a message and has its first attempt fail.
fn offer_and_fail(lane: &mut Lane, seq: u64) -> (Side, Decision) {
    lane.offer([event(seq, MATCHING, T0)].iter(), usize::MAX, |_| Wants::Yes);
    let Some(Action::Start(attempt)) = next(lane, T0) else { panic!("{seq} starts") };
    (attempt.side, fail(lane, seq, T0).decision)
}

/// Lets the delivery that is due be fetched and its rows be read.
fn fetched(lane: &mut Lane, trigger: Trigger, now: UnixMs, meanwhile: impl FnOnce(&mut Lane)) -> Attempt {
    let Some(Action::Fetch(asked)) = next(lane, now) else { panic!("it is due") };
    meanwhile(lane);
    let row = Pending { attempts: 1, due: asked.due.unwrap(), last_outcome: None, trigger };
    lane.fetched(asked, Some(event(asked.seq.0, MATCHING, T0)), Some(row), now).unwrap()
}

#[test]
fn a_delivery_is_given_up_after_one_more_attempt_at_the_other_side() {
    let mut lane = lane();
    let (side, decision) = offer_and_fail(&mut lane, 1);
    let Decision::RetryAt { due } = decision else { panic!("{decision:?}") };
    assert_eq!(side, Side::Primary);
    let settled = lane.report().unwrap().settled;
    assert!(matches!(&settled[0].verdict, model::Verdict::Retry(row) if row.trigger == Trigger::LastAtBackup));
    let last = fetched(&mut lane, Trigger::LastAtBackup, due, |_| {});
    assert_eq!(last.side, Side::LastAtBackup);
    let ruled = fail(&mut lane, 1, due);
    assert_eq!(ruled.decision, Decision::DeadLetter(DeadLetterReason::AttemptsExhausted));
    assert_eq!(ruled.disabled, None, "one delivery failed, not two");
}

#[test]
fn failures_in_a_row_at_the_endpoint_send_the_next_message_to_the_backup() {
    let mut lane = lane();
    let sides: Vec<Side> = (1..=4).map(|seq| offer_and_fail(&mut lane, seq).0).collect();
    assert_eq!(sides, [Side::Primary, Side::Primary, Side::Primary, Side::Backup]);
    let switches = lane.report().unwrap().switches;
    let [switch] = &switches[..] else { panic!("{switches:?}") };
    assert!(switch.switch.to_backup && switch.after == 0);
}

#[test]
fn a_switch_while_the_rows_are_read_decides_the_side() {
    let mut lane = lane();
    let (_, decision) = offer_and_fail(&mut lane, 1);
    let Decision::RetryAt { due } = decision else { panic!("{decision:?}") };
    let by_hand = FailoverPolicy { to_backup: true, switches: 1, since: T0, ..FAILOVER };
    let retried = fetched(&mut lane, Trigger::Scheduled, due, |lane| {
        lane.configure(with(by_hand), due);
    });
    assert_eq!(retried.side, Side::Backup);
}

#[test]
fn every_switch_since_the_last_report_is_reported() {
    let failover = FailoverPolicy { threshold: 1, auto_return: true, probe_interval_ms: 0, ..FAILOVER };
    let mut lane = Lane::new(TARGET, with(failover), BOUNDS, BreakerConfig::default(), LaneStart::default(), T0);
    offer_and_fail(&mut lane, 1);
    lane.offer([event(2, MATCHING, T0)].iter(), usize::MAX, |_| Wants::Yes);
    let Some(Action::Start(probe)) = next(&mut lane, T0) else { panic!("2 starts") };
    assert_eq!(probe.side, Side::Probe);
    lane.finished(answer(Seq(2), T0, OutcomeClass::Success, 200), T0, &mut StdRng::seed_from_u64(1)).unwrap();
    let switches: Vec<_> =
        lane.report().unwrap().switches.iter().map(|one| (one.after, one.switch.to_backup)).collect();
    assert_eq!(switches, [(0, true), (1, false)]);
}

#[test]
fn another_backup_starts_over() {
    let mut lane = lane();
    let by_hand = FailoverPolicy { to_backup: true, switches: 3, since: T0, ..FAILOVER };
    lane.configure(with(by_hand), T0);
    let other = FailoverPolicy { backup: EndpointId(8), ..FAILOVER };
    lane.configure(with(other), T0);
    assert_eq!(offer_and_fail(&mut lane, 1).0, Side::Primary);
    // Its first switch is by hand, and counts although the old failover had more of them.
    lane.configure(with(FailoverPolicy { to_backup: true, switches: 1, since: T0, ..other }), T0);
    assert_eq!(offer_and_fail(&mut lane, 2).0, Side::Backup);
}
