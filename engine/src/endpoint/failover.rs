//! Failover of a lane: the side that an attempt goes to, the failures in a row that switch to the backup, and the probe that
//! returns.
//!
//! ```text
//! primary ── as many failures in a row as the threshold, or by hand ──▶ backup
//! backup  ── a probe of the primary succeeded, or by hand ────────────▶ primary
//! ```
//! A switch takes effect in memory at once and is durable in the commit that settles the attempt. A crash before that loses
//! both. A switch by hand that came first wins: the lane's own is counted from the number of switches that it knows.
//! An endpoint that gets another backup, or one anew, starts over.
//!
//! While the backup is disabled or paused nothing switches to it, and deliveries go to the primary although the backup is the
//! active side. Pure.

use crate::prepare::{FailoverPolicy, Side};
use model::{DecidedSwitch, EndpointHealth, OutcomeClass, Switch, SwitchedBy, UnixMs};

/// The memory of one lane with a failover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failover {
    policy: FailoverPolicy,
    /// Switches in the last plan. A lane's own that are not durable yet come on top.
    told: u32,
    failures: u32,
    probed_at: UnixMs,
}

impl Failover {
    pub(super) fn new(policy: FailoverPolicy, health: &EndpointHealth, now: UnixMs) -> Failover {
        // Cut to now: the clock may have been set back since.
        let probed_at = health.probed_at.unwrap_or_default().min(now);
        Failover { policy, told: policy.switches, failures: health.failures_in_row, probed_at }
    }

    /// Another plan. One that does not know the last switch of this lane yet leaves the side as it is. Answers `false` if it
    /// is the plan of another failover, which knows nothing of this one.
    #[must_use]
    pub(super) fn configure(&mut self, policy: FailoverPolicy) -> bool {
        // The count of a failover only grows.
        if policy.backup != self.policy.backup || policy.switches < self.told {
            return false;
        }
        self.told = policy.switches;
        let FailoverPolicy { to_backup, switches, since, .. } = self.policy;
        self.policy = policy;
        if policy.switches < switches {
            (self.policy.to_backup, self.policy.switches, self.policy.since) = (to_backup, switches, since);
        }
        true
    }

    /// Deliveries go to the backup now.
    pub(super) fn uses_backup(&self) -> bool {
        self.policy.to_backup && self.policy.backup_ready
    }

    /// The other side may be called.
    pub(super) fn has_other_side(&self) -> bool {
        self.policy.backup_ready
    }

    /// The side of the next attempt; `probing` when a probe is out already.
    pub(super) fn next_side(&self, now: UnixMs, probing: impl FnOnce() -> bool) -> Side {
        if !self.uses_backup() {
            return Side::Primary;
        }
        let last = self.probed_at.max(self.policy.since);
        let is_due = self.policy.auto_return && now.since_ms(last) >= self.policy.probe_interval_ms;
        if is_due && !probing() { Side::Probe } else { Side::Backup }
    }

    /// An attempt ended. Answers the switch that follows from it; and what is remembered may have changed.
    pub(super) fn ended(&mut self, side: Side, outcome: OutcomeClass, now: UnixMs) -> Option<DecidedSwitch> {
        let succeeded = outcome == OutcomeClass::Success;
        match side {
            Side::Primary if !self.policy.to_backup => {
                // A failure on this side says nothing about the endpoint.
                if outcome != OutcomeClass::InternalError {
                    self.failures = if succeeded { 0 } else { self.failures.saturating_add(1) };
                }
                let over = self.failures >= self.policy.threshold.into();
                let switches = over && self.policy.auto_switch && self.policy.backup_ready;
                switches.then(|| self.switch(true, SwitchedBy::Auto, now))
            }
            Side::Probe if self.policy.to_backup => {
                self.probed_at = now;
                succeeded.then(|| self.switch(false, SwitchedBy::Probe, now))
            }
            _ => None,
        }
    }

    fn switch(&mut self, to_backup: bool, by: SwitchedBy, now: UnixMs) -> DecidedSwitch {
        let after = self.policy.switches;
        self.policy.to_backup = to_backup;
        self.policy.switches = after.saturating_add(1);
        self.policy.since = now;
        self.failures = 0;
        DecidedSwitch { switch: Switch { at: now, to_backup, by }, after }
    }

    /// The memory for a restart: failures in a row, and the last probe.
    pub(super) fn noted(&self) -> (u32, Option<UnixMs>) {
        (self.failures, Some(self.probed_at).filter(|at| *at != UnixMs::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::EndpointId;

    const POLICY: FailoverPolicy = FailoverPolicy {
        backup: EndpointId(9),
        threshold: 3,
        auto_switch: true,
        auto_return: true,
        probe_interval_ms: 1_000,
        to_backup: false,
        switches: 0,
        since: UnixMs::ZERO,
        backup_ready: true,
    };

    fn failover(policy: FailoverPolicy) -> Failover {
        Failover::new(policy, &EndpointHealth::default(), UnixMs(5_000))
    }

    fn fail(failover: &mut Failover, times: usize) -> Option<DecidedSwitch> {
        (0..times).filter_map(|_| failover.ended(Side::Primary, OutcomeClass::Timeout, UnixMs(9_000))).last()
    }

    #[test]
    fn failures_in_a_row_switch_and_a_success_between_them_begins_anew() {
        let mut failover = failover(POLICY);
        assert_eq!(fail(&mut failover, 2), None);
        assert_eq!(failover.ended(Side::Primary, OutcomeClass::Success, UnixMs(1)), None);
        assert_eq!(failover.ended(Side::Primary, OutcomeClass::InternalError, UnixMs(1)), None);
        assert_eq!(fail(&mut failover, 2), None);
        let switch = fail(&mut failover, 1).unwrap();
        assert_eq!((switch.after, switch.switch.to_backup, switch.switch.by), (0, true, SwitchedBy::Auto));
        assert!(failover.uses_backup());
        assert_eq!(fail(&mut failover, 9), None, "attempts from before the switch");
    }

    #[test]
    fn nothing_switches_to_a_backup_that_may_not_be_sent_to_or_by_itself_when_that_is_off() {
        for policy in
            [FailoverPolicy { backup_ready: false, ..POLICY }, FailoverPolicy { auto_switch: false, ..POLICY }]
        {
            assert_eq!(fail(&mut failover(policy), 20), None);
        }
        let away = failover(FailoverPolicy { to_backup: true, backup_ready: false, ..POLICY });
        assert_eq!(away.next_side(UnixMs(9_000), || false), Side::Primary);
    }

    #[test]
    fn one_probe_per_interval_goes_to_the_primary_and_its_success_returns() {
        let since = UnixMs(8_000);
        let mut away = failover(FailoverPolicy { to_backup: true, switches: 1, since, ..POLICY });
        assert_eq!(away.next_side(UnixMs(8_999), || false), Side::Backup);
        assert_eq!(away.next_side(UnixMs(9_000), || false), Side::Probe);
        assert_eq!(away.next_side(UnixMs(9_000), || true), Side::Backup);
        assert_eq!(away.ended(Side::Probe, OutcomeClass::Timeout, UnixMs(9_500)), None);
        assert_eq!(away.next_side(UnixMs(10_499), || false), Side::Backup);
        let back = away.ended(Side::Probe, OutcomeClass::Success, UnixMs(10_600)).unwrap();
        assert_eq!((back.after, back.switch.to_backup, back.switch.by), (1, false, SwitchedBy::Probe));
        assert_eq!(away.next_side(UnixMs(99_000), || false), Side::Primary);
    }

    #[test]
    fn a_plan_from_before_its_own_switch_leaves_the_side_and_one_from_after_sets_it() {
        let mut failover = failover(POLICY);
        fail(&mut failover, 3);
        assert!(failover.configure(FailoverPolicy { threshold: 5, ..POLICY }));
        assert!(failover.uses_backup());
        assert!(failover.configure(FailoverPolicy { switches: 1, ..POLICY }));
        assert!(!failover.uses_backup(), "somebody else's switch was the first");
    }

    #[test]
    fn the_plan_of_another_failover_is_told_by_its_backup_or_by_fewer_switches_than_were_known() {
        let mut failover = failover(FailoverPolicy { switches: 2, ..POLICY });
        assert!(!failover.configure(FailoverPolicy { backup: EndpointId(8), ..POLICY }));
        assert!(!failover.configure(FailoverPolicy { switches: 1, to_backup: true, ..POLICY }), "it was given anew");
    }
}
