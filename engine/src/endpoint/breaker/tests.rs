//! Each rule by example, then any history against the table of legal transitions.

use super::*;
use crate::outcome::classify::HealthSignal::{Failing, Healthy, Throttled, Unknown};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

struct Bench {
    breaker: Breaker,
    now: UnixMs,
    rng: StdRng,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Breaker::new(BreakerConfig::default()))
    }

    fn with(breaker: Breaker) -> Bench {
        Bench { breaker, now: UnixMs(1_000_000), rng: StdRng::seed_from_u64(42) }
    }

    fn acquire(&mut self) -> Admission {
        self.breaker.try_acquire(self.now)
    }

    fn ticket(&mut self) -> Ticket {
        match self.acquire() {
            Admission::Allowed(ticket) | Admission::Probe(ticket) => ticket,
            Admission::Rejected { until } => panic!("rejected until {until:?}"),
        }
    }

    fn result(&mut self, ticket: Ticket, signal: HealthSignal) -> Option<Transition> {
        self.breaker.on_result(ticket, signal, self.now, &mut self.rng)
    }

    fn attempt(&mut self, signal: HealthSignal) -> Option<Transition> {
        let ticket = self.ticket();
        self.result(ticket, signal)
    }

    fn attempts(&mut self, signal: HealthSignal, times: usize) -> Option<Transition> {
        (0..times).find_map(|_| self.attempt(signal))
    }

    /// Trips it; returns the length of the hold.
    fn trip(&mut self) -> u64 {
        match self.attempts(Failing, 5) {
            Some(Transition::Opened { until, .. }) => until.since_ms(self.now),
            other => panic!("did not open: {other:?}"),
        }
    }

    fn hold_is_over(&self, state: State) -> bool {
        matches!(state, State::Open { until } if until <= self.now)
    }

    /// Moves to the end of the hold.
    fn wait(&mut self) {
        match self.breaker.state() {
            State::Open { until } => self.now = until,
            other => panic!("not open: {other:?}"),
        }
    }
}

#[test]
fn five_failures_in_a_row_open_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.attempts(Failing, 4), None);
    assert_eq!(bench.attempt(Healthy), None);
    assert_eq!(bench.attempts(Failing, 4), None, "a success in between starts the count over");
    let transition = bench.attempt(Failing);
    assert!(matches!(transition, Some(Transition::Opened { reason: TripReason::ConsecutiveFailures, .. })));
    assert!(matches!(bench.acquire(), Admission::Rejected { until: Some(until) } if until > bench.now));
}

#[test]
fn a_low_success_rate_opens_it_without_a_row_of_failures() {
    let mut bench = Bench::new();
    let transition = (0..).find_map(|round| {
        bench.now.0 += 100;
        bench.attempt(if round % 3 == 0 { Healthy } else { Failing }).map(|transition| (round, transition))
    });
    let (round, Transition::Opened { reason, .. }) = transition.unwrap() else { panic!("did not open") };
    assert_eq!((round, reason), (19, TripReason::LowSuccessRate), "at the twentieth sample");
}

#[test]
fn half_good_is_good_enough() {
    let mut bench = Bench::new();
    for _ in 0..200 {
        bench.now.0 += 50;
        assert_eq!((bench.attempt(Healthy), bench.attempt(Failing)), (None, None));
    }
}

#[test]
fn throttling_counts_in_the_rate_but_not_in_the_row() {
    let mut bench = Bench::new();
    assert_eq!(bench.attempts(Throttled, 19), None);
    let transition = bench.attempt(Throttled);
    assert!(matches!(transition, Some(Transition::Opened { reason: TripReason::LowSuccessRate, .. })));

    let mut bench = Bench::new();
    assert_eq!(bench.attempts(Failing, 4), None);
    assert_eq!(bench.attempt(Throttled), None, "neither counts nor clears");
    assert!(bench.attempt(Failing).is_some());
}

#[test]
fn failures_of_our_own_are_nobody_s() {
    let mut bench = Bench::new();
    assert_eq!(bench.attempts(Unknown, 100), None);
    bench.trip();
    bench.wait();
    assert_eq!(bench.attempt(Unknown), None);
    assert!(matches!(bench.acquire(), Admission::Probe(_)), "the next one probes at once");
}

#[test]
fn exactly_one_of_a_thousand_callers_probes() {
    let mut bench = Bench::new();
    bench.trip();
    bench.wait();
    let admissions: Vec<Admission> = (0..1_000).map(|_| bench.acquire()).collect();
    assert!(matches!(admissions[0], Admission::Probe(_)));
    assert!(admissions[1..].iter().all(|admission| *admission == Admission::Rejected { until: None }));
    assert_eq!(bench.breaker.state(), State::HalfOpen);
}

#[test]
fn nothing_passes_before_the_hold_is_over() {
    let mut bench = Bench::new();
    let hold_ms = bench.trip();
    let until = bench.now.plus_ms(hold_ms);
    bench.now = UnixMs(until.0 - 1);
    assert_eq!(bench.acquire(), Admission::Rejected { until: Some(until) });
    bench.now = until;
    assert!(matches!(bench.acquire(), Admission::Probe(_)));
}

#[test]
fn a_good_probe_closes_it_with_a_clean_record() {
    let mut bench = Bench::new();
    bench.trip();
    bench.wait();
    assert_eq!(bench.attempt(Healthy), Some(Transition::Closed));
    assert_eq!(bench.breaker.snapshot(), EndpointHealth::default());
    assert_eq!(bench.attempts(Failing, 4), None);
    assert!(bench.attempt(Failing).is_some());

    let mut bench = Bench::new();
    assert!(bench.attempts(Throttled, 20).is_some());
    bench.wait();
    assert_eq!(bench.attempt(Healthy), Some(Transition::Closed));
    assert_eq!(bench.attempts(Throttled, 19), None, "the samples from before, still within the window, are gone");
}

#[test]
fn each_failed_probe_holds_longer_up_to_the_maximum() {
    let mut bench = Bench::new();
    let mut holds = vec![bench.trip()];
    for signal in [Failing, Throttled, Failing, Failing, Failing, Failing, Failing, Failing] {
        bench.wait();
        match bench.attempt(signal) {
            Some(Transition::Reopened { until }) => holds.push(until.since_ms(bench.now)),
            other => panic!("did not reopen: {other:?}"),
        }
    }
    for (hold_ms, longest_s) in holds.iter().zip([5, 10, 20, 30, 30, 30, 30, 30, 30]) {
        let longest_ms = longest_s * 1_000;
        assert!((longest_ms / 2..=longest_ms).contains(hold_ms), "{holds:?}");
    }
    assert_eq!(bench.breaker.snapshot().breaker_openings, 9);
}

#[test]
fn holds_are_spread() {
    let holds: std::collections::BTreeSet<u64> = (0..100)
        .map(|seed| {
            let mut bench = Bench::new();
            bench.rng = StdRng::seed_from_u64(seed);
            bench.trip()
        })
        .collect();
    assert!(holds.len() > 80, "only {} different holds", holds.len());
}

#[test]
fn a_probe_that_was_not_made_passes_on_its_turn() {
    let mut bench = Bench::new();
    bench.trip();
    bench.wait();
    let probe = bench.ticket();
    assert!(probe.is_probe());
    let before = bench.breaker.snapshot();
    bench.breaker.release(probe);
    assert_eq!(bench.breaker.snapshot(), before, "no new hold");
    assert!(bench.ticket().is_probe());
}

#[test]
fn results_from_before_the_trip_are_void() {
    let mut bench = Bench::new();
    let mut old: Vec<Ticket> = (0..20).map(|_| bench.ticket()).collect();
    bench.trip();
    let open = bench.breaker.state();
    assert_eq!(bench.result(old.pop().unwrap(), Healthy), None);
    assert_eq!(bench.result(old.pop().unwrap(), Failing), None);
    assert_eq!(bench.breaker.state(), open);

    bench.wait();
    let probe = bench.ticket();
    for signal in [Healthy, Failing, Throttled] {
        assert_eq!(bench.result(old.pop().unwrap(), signal), None);
    }
    bench.breaker.release(old.pop().unwrap());
    assert_eq!(bench.breaker.state(), State::HalfOpen, "only the probe decides");

    assert_eq!(bench.result(probe, Healthy), Some(Transition::Closed));
    for ticket in old {
        assert_eq!(bench.result(ticket, Failing), None, "nor do they trip it again");
    }
}

#[test]
fn it_survives_a_restart_in_every_state() {
    let config = BreakerConfig::default();
    let mut bench = Bench::new();
    assert_eq!(Breaker::restore(config, &bench.breaker.snapshot(), bench.now).state(), State::Closed);

    bench.trip();
    let health = bench.breaker.snapshot();
    let restored = Breaker::restore(config, &health, bench.now);
    assert_eq!(restored.state(), bench.breaker.state());
    assert_eq!(restored.snapshot(), health);

    bench.wait();
    let _probe = bench.ticket();
    let mut again = Bench::with(Breaker::restore(config, &bench.breaker.snapshot(), bench.now));
    again.now = bench.now;
    assert!(matches!(again.attempt(Failing), Some(Transition::Reopened { .. })), "half-open restarts as a probe");
    assert_eq!(again.breaker.snapshot().breaker_openings, 2, "and its holds go on growing");
}

#[test]
fn a_clock_that_steps_back_does_not_prolong_the_hold() {
    let mut bench = Bench::new();
    bench.trip();
    bench.now = UnixMs(0);
    let longest = UnixMs(BreakerConfig::default().hold_max_ms);
    let health = bench.breaker.snapshot();
    assert_eq!(bench.acquire(), Admission::Rejected { until: Some(longest) });
    let restored = Breaker::restore(BreakerConfig::default(), &health, UnixMs(0));
    assert_eq!(restored.state(), State::Open { until: longest });
}

#[test]
fn a_reset_forgets_everything_and_voids_what_is_out() {
    let mut bench = Bench::new();
    bench.trip();
    bench.wait();
    let probe = bench.ticket();
    assert_eq!(bench.breaker.reset(), Some(Transition::Closed));
    assert_eq!((bench.breaker.state(), bench.breaker.snapshot()), (State::Closed, EndpointHealth::default()));
    assert_eq!(bench.result(probe, Failing), None);
    assert_eq!(bench.attempts(Failing, 4), None);
    let slow = bench.ticket();
    assert_eq!(bench.breaker.reset(), None, "it was closed");
    assert_eq!(bench.result(slow, Failing), None);
    assert_eq!(bench.attempts(Failing, 4), None);
    assert!(bench.attempt(Failing).is_some(), "the fifth in a row");
}

#[test]
fn rules_can_be_switched_off() {
    let off = BreakerConfig { consecutive_failures: 0, min_success_percent: 0, ..BreakerConfig::default() };
    assert_eq!(Bench::with(Breaker::new(off)).attempts(Failing, 1_000), None);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    Result(usize, HealthSignal),
    Release(usize),
    Wait(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Step> {
    let signal = prop::sample::select(vec![Healthy, Failing, Failing, Failing, Throttled, Unknown]);
    prop_oneof![
        4 => Just(Step::Acquire),
        4 => (any::<usize>(), signal).prop_map(|(pick, signal)| Step::Result(pick, signal)),
        1 => any::<usize>().prop_map(Step::Release),
        2 => (0_u64..4_000).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// The name of a state, without its time.
fn name(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open { .. } => "open",
        State::HalfOpen => "half-open",
    }
}

proptest! {
    #[test]
    fn every_history_keeps_to_the_table(steps in prop::collection::vec(steps(), 1..300), seed: u64) {
        let config = BreakerConfig { consecutive_failures: 3, min_samples: 6, window_ms: 1_000, ..BreakerConfig::default() };
        let mut bench = Bench::with(Breaker::new(config));
        bench.rng = StdRng::seed_from_u64(seed);
        let mut tickets: Vec<Ticket> = vec![];
        for step in steps {
            let (before, saved) = (bench.breaker.state(), bench.breaker.snapshot());
            let mut transition = None;
            let cause = match step {
                Step::Acquire => match bench.acquire() {
                    Admission::Allowed(ticket) => {
                        prop_assert_eq!(before, State::Closed);
                        prop_assert!(!ticket.is_probe());
                        tickets.push(ticket);
                        "admit"
                    }
                    Admission::Probe(ticket) => {
                        prop_assert!(bench.hold_is_over(before));
                        prop_assert!(ticket.is_probe());
                        tickets.push(ticket);
                        "probe"
                    }
                    Admission::Rejected { until } => {
                        match before {
                            State::Open { until: end } => prop_assert!(until == Some(end) && end > bench.now),
                            other => prop_assert!(other == State::HalfOpen && until.is_none()),
                        }
                        "reject"
                    }
                },
                Step::Result(..) | Step::Release(_) if tickets.is_empty() => continue,
                Step::Result(pick, signal) => {
                    let ticket = tickets.swap_remove(pick % tickets.len());
                    let (probe, current) = (ticket.is_probe(), ticket.period == bench.breaker.period);
                    transition = bench.result(ticket, signal);
                    match (current, probe, signal) {
                        (false, ..) => "stale",
                        (true, true, Healthy) => "good probe",
                        (true, true, Unknown) => "no probe",
                        (true, true, _) => "bad probe",
                        (true, false, Failing | Throttled) => "failure",
                        (true, false, _) => "other",
                    }
                }
                Step::Release(pick) => {
                    let ticket = tickets.swap_remove(pick % tickets.len());
                    let probe = ticket.is_probe() && ticket.period == bench.breaker.period;
                    bench.breaker.release(ticket);
                    if probe { "no probe" } else { "stale" }
                }
                Step::Wait(ms) => {
                    bench.now = bench.now.plus_ms(ms);
                    "time"
                }
                Step::Restart => {
                    bench.breaker = Breaker::restore(config, &saved, bench.now);
                    tickets.clear();
                    "restart"
                }
            };
            let after = bench.breaker.state();
            let legal = match (name(before), cause, name(after)) {
                ("closed", "failure", "open") => matches!(transition, Some(Transition::Opened { .. })),
                ("half-open", "good probe", "closed") => transition == Some(Transition::Closed),
                ("half-open", "bad probe", "open") => matches!(transition, Some(Transition::Reopened { .. })),
                ("open", "probe", "half-open") | ("half-open", "no probe" | "restart", "open") => transition.is_none(),
                (from, cause, to) => from == to && transition.is_none() && !cause.ends_with("probe") && before == after,
            };
            prop_assert!(legal, "{before:?} --{cause}--> {after:?}, {transition:?}");
            prop_assert_eq!(transition.is_some(), saved != bench.breaker.snapshot(), "a save for each transition");
            prop_assert_eq!(after == State::Closed, bench.breaker.snapshot().breaker_open_until.is_none());
            let live = tickets.iter().filter(|ticket| ticket.is_probe() && ticket.period == bench.breaker.period).count();
            prop_assert_eq!(live, usize::from(after == State::HalfOpen), "one probe while half-open, none otherwise");
        }
    }
}
