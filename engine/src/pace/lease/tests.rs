//! Endpoints of several shards that ask for leases under a simulated clock.

use super::*;
use proptest::prelude::*;

/// An endpoint that always has something to send.
#[derive(Clone, Debug, Default)]
struct Endpoint {
    turn: Turn,
    asks_at_ms: u64,
    sent: Vec<u64>,
}

/// Runs the endpoints until `until_ms`, each timer `late_ms` late.
fn run(pace: &mut Pace, endpoints: &mut [Endpoint], from_ms: u64, until_ms: u64, late_ms: u64) {
    for now_ms in from_ms..until_ms {
        for endpoint in endpoints.iter_mut().filter(|endpoint| endpoint.asks_at_ms <= now_ms) {
            loop {
                match pace.lease(now_ms, &mut endpoint.turn) {
                    Ok(granted) => endpoint.sent.extend((0..granted).map(|_| now_ms)),
                    Err(NextAt(next_ms)) => {
                        endpoint.asks_at_ms = next_ms + late_ms;
                        break;
                    }
                }
            }
        }
    }
}

fn total(endpoints: &[Endpoint]) -> usize {
    endpoints.iter().map(|endpoint| endpoint.sent.len()).sum()
}

#[test]
fn all_endpoints_together_keep_to_the_rate_and_use_it() {
    for (rate_per_s, count, late_ms) in [(5, 3, 0), (1, 3, 7), (7, 20, 3), (150, 10, 2), (1_000, 3, 1), (20_000, 2, 1)]
    {
        let (mut pace, mut endpoints) = (Pace::new(rate_per_s, 0), vec![Endpoint::default(); count]);
        run(&mut pace, &mut endpoints, 0, 20_000, late_ms);
        let (sent, exact) = (total(&endpoints) as u64, 20 * u64::from(rate_per_s));
        let burst = 1 + u64::from(rate_per_s) / 10;
        assert!(sent <= exact + burst, "{rate_per_s}/s over {count}: {sent}");
        assert!(sent * 100 >= exact * 97, "{rate_per_s}/s over {count}: {sent}");
    }
}

#[test]
fn endpoints_get_equal_parts() {
    let (mut pace, mut endpoints) = (Pace::new(10, 0), vec![Endpoint::default(); 4]);
    run(&mut pace, &mut endpoints, 0, 60_000, 2);
    for endpoint in &endpoints {
        assert!(endpoint.sent.len().abs_diff(150) <= 3, "{}", endpoint.sent.len());
    }
}

#[test]
fn each_token_wakes_one_endpoint_and_those_that_wait_long_look_once_a_second() {
    let (mut pace, mut turns) = (Pace::new(10, 0), vec![Turn::default(); 30]);
    let asked: Vec<_> = turns.iter_mut().map(|turn| pace.lease(0, turn)).collect();
    // One token is there, and a tenth of a second was saved up.
    assert_eq!(asked[..5], [Ok(1), Ok(1), Err(NextAt(100)), Err(NextAt(200)), Err(NextAt(300))]);
    assert_eq!(asked[29], Err(NextAt(1_000)));
    // Asked again before its time, one keeps its turn.
    assert_eq!(pace.lease(50, &mut turns[3]), Err(NextAt(200)));
}

#[test]
fn what_one_does_not_use_others_have_within_a_second() {
    let (mut pace, mut endpoints) = (Pace::new(10, 0), vec![Endpoint::default(); 20]);
    run(&mut pace, &mut endpoints, 0, 2_000, 0);
    // All but one are gone, with turns of the next two seconds.
    let mut left = endpoints.split_off(19);
    let before = left[0].sent.len();
    run(&mut pace, &mut left, 2_000, 12_000, 0);
    let sent = left[0].sent.len() - before;
    assert!((80..=103).contains(&sent), "{sent}");
}

#[test]
fn a_part_of_a_lease_that_is_given_back_is_there_for_the_next() {
    let mut pace = Pace::new(2_000, 0);
    let granted = pace.lease(0, &mut Turn::default()).unwrap();
    assert_eq!(granted, 10, "5 ms of it");
    pace.give_back(granted);
    assert!(pace.is_idle(0));
    let total: u32 = std::iter::from_fn(|| pace.lease(0, &mut Turn::default()).ok()).sum();
    assert_eq!(total, 1 + 200, "the burst, whole");
}

#[test]
fn a_new_rate_holds_at_once_and_gives_no_extra() {
    let (mut pace, mut turn) = (Pace::new(1, 0), Turn::default());
    assert_eq!(pace.lease(0, &mut turn), Ok(1));
    assert_eq!(pace.lease(0, &mut turn), Err(NextAt(900)));
    pace.set_rate(1_000, 0);
    assert_eq!(pace.lease(0, &mut turn), Err(NextAt(1)), "its turn was of the rate before");
    (0..100).for_each(|n| pace.set_rate(1 + n % 2, 0));
    assert!(pace.lease(0, &mut turn).is_err());
}

#[test]
fn threads_that_come_out_of_order_do_not_fill_it_twice_and_a_clock_set_back_does_not_freeze_it() {
    let (mut pace, mut sent) = (Pace::new(1_000, 5_000), 0);
    for now_ms in 5_000..6_000 {
        for at_ms in [now_ms, now_ms - 1, now_ms] {
            sent += pace.lease(at_ms, &mut Turn::default()).unwrap_or(0);
        }
    }
    assert!(sent <= 1_000 + 101, "{sent}");
    let (mut pace, mut turn) = (Pace::new(1, 1_000_000), Turn::default());
    assert_eq!(pace.lease(1_000_000, &mut turn), Ok(1));
    assert_eq!(pace.lease(1_000_000, &mut turn), Err(NextAt(1_000_900)));
    assert_eq!(pace.lease(5, &mut turn), Err(NextAt(905)), "its turn was of the clock before");
    assert_eq!(pace.lease(905, &mut turn), Ok(1));
}

proptest! {
    /// However endpoints come and go: no span has more than its share.
    #[test]
    fn no_span_has_more_than_its_share(
        rate_per_s in 1_u32..500,
        steps in proptest::collection::vec((0_u64..40, 0_usize..5, any::<bool>()), 1..300),
    ) {
        let (mut pace, mut turns, mut now_ms, mut taken) = (Pace::new(rate_per_s, 0), [Turn::default(); 5], 0, vec![]);
        for (pause_ms, who, is_used) in steps {
            now_ms += pause_ms;
            if let Ok(granted) = pace.lease(now_ms, &mut turns[who]) {
                if is_used {
                    taken.extend((0..granted).map(|_| now_ms));
                } else {
                    pace.give_back(granted);
                }
            }
        }
        for (index, &from_ms) in taken.iter().enumerate() {
            for (count, &until_ms) in taken[index..].iter().enumerate() {
                let allowed = 1_000 + u64::from(rate_per_s) * (until_ms - from_ms + 100);
                prop_assert!((count as u64 + 1) * 1_000 <= allowed);
            }
        }
    }
}
