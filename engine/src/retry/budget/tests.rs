//! Floor, share and expiry by example, then the bound over every span of any history.

use super::*;
use proptest::prelude::*;

fn withdraw_all(budget: &mut RetryBudget, now_ms: u64) -> u32 {
    (0..1_000_000).take_while(|_| budget.try_withdraw(now_ms).is_ok()).count() as u32
}

#[test]
fn a_quiet_endpoint_retries_at_the_floor() {
    let mut budget = RetryBudget::new(BudgetConfig::default(), 0);
    assert_eq!(withdraw_all(&mut budget, 0), 10);
    assert_eq!(budget.try_withdraw(0), Err(NextAt(100)));
    assert_eq!(budget.try_withdraw(99), Err(NextAt(100)));
    assert_eq!(budget.try_withdraw(100), Ok(()));
    assert_eq!(withdraw_all(&mut budget, 60_000), 10, "the floor saves up one second, no more");
}

#[test]
fn first_attempts_earn_their_share() {
    let mut budget = RetryBudget::new(BudgetConfig::default(), 0);
    (0..1_000).for_each(|_| budget.deposit(0));
    assert_eq!(withdraw_all(&mut budget, 0), 200 + 10);
}

#[test]
fn a_share_expires() {
    let mut budget = RetryBudget::new(BudgetConfig::default(), 0);
    (0..1_000).for_each(|_| budget.deposit(0));
    assert_eq!(withdraw_all(&mut budget, 10_000), 10);
}

#[test]
fn what_expires_first_is_spent_first() {
    let mut budget = RetryBudget::new(BudgetConfig::default(), 0);
    (0..5).for_each(|_| budget.deposit(0));
    (0..5).for_each(|_| budget.deposit(9_000));
    assert_eq!(budget.try_withdraw(9_000), Ok(()));
    assert_eq!(withdraw_all(&mut budget, 10_000), 1 + 10, "the later deposit is still there");
}

#[test]
fn fractions_of_deposits_and_floor_add_up() {
    let mut budget = RetryBudget::new(BudgetConfig::default(), 0);
    assert_eq!(withdraw_all(&mut budget, 0), 10);
    (0..3).for_each(|_| budget.deposit(0));
    assert!(budget.try_withdraw(39).is_err());
    assert_eq!(budget.try_withdraw(40), Ok(()), "600 deposited and 400 from the floor");
    assert_eq!(budget.try_withdraw(40), Err(NextAt(140)));
}

#[test]
fn no_floor_still_gives_everyone_a_turn() {
    let mut budget = RetryBudget::new(BudgetConfig { floor_per_s: 0, ..BudgetConfig::default() }, 0);
    assert_eq!(budget.try_withdraw(0), Ok(()));
    assert_eq!(budget.try_withdraw(0), Err(NextAt(1_000)));
}

#[test]
fn retries_that_succeed_are_soon_as_many_as_there_are() {
    let mut budget = RetryBudget::new(BudgetConfig::default(), 0);
    let mut in_flight = withdraw_all(&mut budget, 0);
    for round in 1..=30 {
        (0..in_flight).for_each(|_| budget.give_back(round * 10));
        in_flight = withdraw_all(&mut budget, round * 10);
    }
    assert!(in_flight > 1_000, "{in_flight} at once after 0.3 s of successes");
    assert!(withdraw_all(&mut budget, 20_000) <= 10, "and the floor again when none succeeded");
}

#[test]
fn both_or_neither() {
    let mut endpoint = RetryBudget::new(BudgetConfig::default(), 0);
    let mut shard = RetryBudget::new(BudgetConfig { floor_per_s: 2, ..BudgetConfig::default() }, 0);
    assert_eq!(withdraw_both(&mut endpoint, &mut shard, 0), Ok(()));
    assert_eq!(withdraw_both(&mut endpoint, &mut shard, 0), Ok(()));
    assert_eq!(withdraw_both(&mut endpoint, &mut shard, 0), Err(NextAt(500)));
    assert_eq!(withdraw_all(&mut endpoint, 0), 8, "the refused one was not taken");
    assert_eq!(withdraw_both(&mut endpoint, &mut shard, 0), Err(NextAt(500)), "the later of the two");
}

#[test]
fn it_stays_small() {
    assert!(size_of::<RetryBudget>() <= 96, "{} bytes", size_of::<RetryBudget>());
}

proptest! {
    /// Every span is checked, not only the whole: storms are short.
    #[test]
    fn retries_stay_within_what_was_earned_and_the_floor(steps in prop::collection::vec((0_u64..400, 0_u8..3), 1..300)) {
        let config = BudgetConfig { ratio_percent: 20, floor_per_s: 3, ttl_ms: 2_000 };
        let (mut budget, mut now_ms) = (RetryBudget::new(config, 0), 0);
        let (mut firsts, mut successes, mut retries) = (vec![], vec![], vec![]);
        for (pause_ms, step) in steps {
            now_ms += pause_ms;
            if step == 0 {
                budget.deposit(now_ms);
                firsts.push(now_ms);
            } else {
                match budget.try_withdraw(now_ms) {
                    Ok(()) => {
                        retries.push(now_ms);
                        if step == 1 {
                            budget.give_back(now_ms);
                            successes.push(now_ms);
                        }
                    }
                    Err(NextAt(next_ms)) => {
                        prop_assert!(next_ms > now_ms && next_ms <= now_ms + 334);
                        prop_assert_eq!(budget.clone().try_withdraw(next_ms), Ok(()));
                    }
                }
            }
        }
        for (index, &from_ms) in retries.iter().enumerate() {
            for (count, &until_ms) in retries[index..].iter().enumerate() {
                let earning = from_ms.saturating_sub(2_000)..=until_ms;
                let counted = |times: &[u64]| times.iter().filter(|at| earning.contains(at)).count() as u64;
                let earned = 200 * counted(&firsts) + 1_200 * counted(&successes);
                let floor = 3 * (until_ms - from_ms + 1_000);
                prop_assert!((count as u64 + 1) * 1_000 <= earned + floor);
            }
        }
    }
}
