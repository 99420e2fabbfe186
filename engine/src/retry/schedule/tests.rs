//! Gaps by table, bounds by property, spread by statistics.

use super::*;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

const HOUR_MS: u64 = 3_600_000;

fn policy(spacing: Spacing, jitter: Jitter) -> RetryPolicy {
    RetryPolicy { spacing, max_attempts: 6, max_delay_ms: 60_000, jitter }
}

fn exponential(initial_ms: u64, hundredths: u16) -> Spacing {
    Spacing::Exponential { initial_ms, multiplier: Multiplier { hundredths } }
}

fn gaps(policy: &RetryPolicy) -> Vec<u64> {
    let mut rng = StdRng::seed_from_u64(1);
    (1..).map_while(|made| next_delay_ms(policy, made, &mut rng)).collect()
}

#[test]
fn each_spacing_gives_its_gaps_and_then_none() {
    let check = |spacing, expected: &[u64]| assert_eq!(gaps(&policy(spacing, Jitter::None)), expected);
    check(Spacing::Schedule { delays_ms: vec![5, 70, 900] }, &[5, 70, 900, 900, 900]);
    check(exponential(10_000, 200), &[10_000, 20_000, 40_000, 60_000, 60_000]);
    check(exponential(1_000, 150), &[1_000, 1_500, 2_250, 3_375, 5_062]);
    check(exponential(7, 100), &[7; 5]);
    check(exponential(3, 1_000), &[3, 30, 300, 3_000, 30_000]);
    check(Spacing::Linear { step_ms: 20_000 }, &[20_000, 40_000, 60_000, 60_000, 60_000]);
    check(Spacing::Fixed { delay_ms: 7 }, &[7; 5]);
}

#[test]
fn the_standard_policy_is_valid_and_spans_more_than_a_day() {
    let mut standard = RetryPolicy::standard();
    assert_eq!(validate(&standard), Ok(()));
    standard.jitter = Jitter::None;
    let seconds = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];
    assert_eq!(gaps(&standard), seconds.map(|s| s * 1_000));
}

#[test]
fn the_first_attempt_comes_at_once() {
    let mut rng = StdRng::seed_from_u64(1);
    let policy = policy(Spacing::Fixed { delay_ms: 9_000 }, Jitter::Full);
    assert_eq!(next_delay_ms(&policy, 0, &mut rng), Some(0));
}

#[test]
fn one_attempt_means_no_retry() {
    let mut rng = StdRng::seed_from_u64(1);
    let policy = RetryPolicy { max_attempts: 1, ..RetryPolicy::standard() };
    assert_eq!(next_delay_ms(&policy, 1, &mut rng), None);
    assert_eq!(next_delay_ms(&policy, u16::MAX, &mut rng), None);
}

#[test]
fn validation_names_the_field() {
    let check = |change: fn(&mut RetryPolicy), field: &str, message: &str| {
        let mut policy = RetryPolicy::standard();
        change(&mut policy);
        let error = validate(&policy).unwrap_err();
        assert_eq!(error.field(), field);
        assert_eq!(error.to_string(), message);
    };
    check(|p| p.max_attempts = 0, "max_attempts", "max_attempts must be from 1 to 1000, not 0");
    check(|p| p.max_attempts = 1_001, "max_attempts", "max_attempts must be from 1 to 1000, not 1001");
    check(|p| p.max_delay_ms = 0, "max_delay_ms", "max_delay_ms must be from 1 to 604800000, not 0");
    check(|p| p.max_delay_ms = 604_800_001, "max_delay_ms", "max_delay_ms must be from 1 to 604800000, not 604800001");
    check(
        |p| p.spacing = Spacing::Schedule { delays_ms: vec![] },
        "delays_ms",
        "delays_ms must have from 1 to 50 entries, not 0",
    );
    check(
        |p| p.spacing = Spacing::Schedule { delays_ms: vec![1; 51] },
        "delays_ms",
        "delays_ms must have from 1 to 50 entries, not 51",
    );
    check(
        |p| p.spacing = Spacing::Schedule { delays_ms: vec![5, 0] },
        "delays_ms",
        "delays_ms[1] must be from 1 to 604800000, not 0",
    );
    check(|p| p.spacing = exponential(0, 200), "initial_ms", "initial_ms must be from 1 to 604800000, not 0");
    check(|p| p.spacing = exponential(1, 99), "multiplier", "multiplier must be from 1 to 10");
    check(|p| p.spacing = exponential(1, 1_001), "multiplier", "multiplier must be from 1 to 10");
    assert_eq!(validate(&policy(exponential(60_001, 200), Jitter::None)).unwrap_err().field(), "initial_ms");
    assert_eq!(validate(&policy(Spacing::Linear { step_ms: 60_001 }, Jitter::None)).unwrap_err().field(), "step_ms");
    check(
        |p| p.spacing = Spacing::Fixed { delay_ms: MAX_DELAY_MS },
        "delay_ms",
        "delay_ms must not be above max_delay_ms",
    );
    check(
        |p| p.spacing = Spacing::Schedule { delays_ms: vec![1, MAX_DELAY_MS] },
        "delays_ms",
        "delays_ms must not be above max_delay_ms",
    );
    check(|p| p.spacing = Spacing::Linear { step_ms: 0 }, "step_ms", "step_ms must be from 1 to 604800000, not 0");
    check(|p| p.spacing = Spacing::Fixed { delay_ms: 0 }, "delay_ms", "delay_ms must be from 1 to 604800000, not 0");
}

#[test]
fn the_bounds_themselves_are_valid() {
    let spacing = Spacing::Schedule { delays_ms: vec![MAX_DELAY_MS; MAX_SCHEDULE_ENTRIES] };
    let largest = RetryPolicy { spacing, max_attempts: MAX_ATTEMPTS, max_delay_ms: MAX_DELAY_MS, jitter: Jitter::Full };
    assert_eq!(validate(&largest), Ok(()));
    let spacing = Spacing::Fixed { delay_ms: 1 };
    assert_eq!(validate(&RetryPolicy { spacing, max_attempts: 1, max_delay_ms: 1, jitter: Jitter::None }), Ok(()));
}

#[test]
fn full_jitter_is_uniform() {
    // Chi-squared over 100 bins: 134.64 is exceeded by a uniform source once in 100.
    const BINS: u64 = 100;
    const SAMPLES: u64 = 100_000;
    let mut rng = StdRng::seed_from_u64(7);
    let policy = RetryPolicy {
        spacing: Spacing::Fixed { delay_ms: HOUR_MS - 1 },
        max_attempts: 2,
        max_delay_ms: HOUR_MS,
        jitter: Jitter::Full,
    };
    let mut counts = [0_u64; BINS as usize];
    for _ in 0..SAMPLES {
        let gap_ms = next_delay_ms(&policy, 1, &mut rng).unwrap();
        counts[(gap_ms * BINS / HOUR_MS) as usize] += 1;
    }
    let expected = (SAMPLES / BINS) as f64;
    let chi2: f64 = counts.iter().map(|&n| (n as f64 - expected).powi(2) / expected).sum();
    assert!(chi2 < 134.64, "chi-squared {chi2}");
}

#[test]
fn endpoints_that_failed_together_come_back_apart() {
    let mut rng = StdRng::seed_from_u64(11);
    let policy = policy(Spacing::Fixed { delay_ms: 60_000 }, Jitter::Full);
    let mut per_second = [0_u32; 61];
    for _ in 0..100_000 {
        per_second[(next_delay_ms(&policy, 1, &mut rng).unwrap() / 1_000) as usize] += 1;
    }
    let mean = 100_000.0 / 60.0;
    let peak = f64::from(*per_second.iter().max().unwrap());
    assert!(peak / mean <= 1.5, "peak {peak}, mean {mean}");
}

#[test]
fn a_gap_at_the_cap_is_still_spread() {
    let mut rng = StdRng::seed_from_u64(3);
    let policy = policy(Spacing::Fixed { delay_ms: 60_000 }, Jitter::Proportional);
    let at_cap = (0..1_000).filter(|_| next_delay_ms(&policy, 1, &mut rng) == Some(60_000)).count();
    assert!(at_cap < 10, "{at_cap} of 1000 gaps are exactly the cap");
}

#[test]
fn a_millisecond_grows_by_a_hundredth_too() {
    let policy = RetryPolicy { max_attempts: 1_000, ..policy(exponential(1, 101), Jitter::None) };
    let gaps = gaps(&policy);
    let exact = |nth: i32| 1.01_f64.powi(nth) as u64;
    assert_eq!((gaps[0], gaps[69], gaps[70], gaps[500]), (1, exact(69), exact(70), exact(500)));
    assert_eq!(gaps[998], exact(998));
}

fn spacings() -> impl Strategy<Value = Spacing> {
    prop_oneof![
        prop::collection::vec(any::<u64>(), 0..5).prop_map(|delays_ms| Spacing::Schedule { delays_ms }),
        (any::<u64>(), any::<u16>()).prop_map(|(initial_ms, hundredths)| exponential(initial_ms, hundredths)),
        any::<u64>().prop_map(|step_ms| Spacing::Linear { step_ms }),
        any::<u64>().prop_map(|delay_ms| Spacing::Fixed { delay_ms }),
    ]
}

fn jitters() -> impl Strategy<Value = Jitter> {
    use Jitter::{Additive, Equal, Full, None, Proportional};
    prop_oneof![Just(None), Just(Proportional), Just(Equal), Just(Full), Just(Additive)]
}

proptest! {
    #[test]
    fn any_policy_at_all_is_safe_and_capped(
        spacing in spacings(), jitter in jitters(), max_attempts: u16, max_delay_ms: u64, made: u16, seed: u64,
    ) {
        let policy = RetryPolicy { spacing, max_attempts, max_delay_ms, jitter };
        let gap_ms = next_delay_ms(&policy, made, &mut StdRng::seed_from_u64(seed));
        if made >= max_attempts {
            prop_assert_eq!(gap_ms, None);
        }
        prop_assert!(gap_ms.is_none_or(|gap_ms| gap_ms <= max_delay_ms));
    }

    #[test]
    fn jitter_stays_in_its_range(gap_ms in 1..=MAX_DELAY_MS, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut draw = |jitter| jittered_ms(gap_ms, jitter, u64::MAX, &mut rng);
        prop_assert_eq!(draw(Jitter::None), gap_ms);
        prop_assert!(draw(Jitter::Proportional).abs_diff(gap_ms) <= gap_ms / 5);
        prop_assert!((gap_ms / 2..=gap_ms).contains(&draw(Jitter::Equal)));
        prop_assert!(draw(Jitter::Full) <= gap_ms);
        let added = draw(Jitter::Additive);
        prop_assert!(added >= gap_ms && 2 * added < 3 * gap_ms);
    }
}
