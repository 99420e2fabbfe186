//! Fair shares of what tenants share: attempt places, name lookups, connections, bytes of bodies.
//!
//! A tenant may hold as much as is free. So one tenant alone gets half of the capacity. `n` greedy tenants get
//! `capacity / (n + 1)` each, once their holdings turn over. As much as each of them holds stays free for a tenant that
//! comes later. Nothing that was granted is taken away: an attempt in flight cannot be called back. This is the dynamic
//! threshold of shared-memory switches with a factor of 1 (Choudhury and Hahne, "Dynamic Queue Length Thresholds for
//! Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking 6(2), 1998). The reasons against a fixed share
//! and against a queue with weights are in docs/adr/0011-fair-shares.md.
//!
//! - *Owner of the state:* the owner of the resource, one [`Shares`] each.
//! - *Bound:* one entry for each tenant that holds something.
//! - *When it is full:* the answer is [`Answer::Wait`]; the caller decides whether to wait, to refuse, or to make room.
//! - *When the process dies here:* the resources are gone with it.
//! - *When the input is hostile:* a tenant that holds everything it can get never holds more than half.
//!
//! Pure: no clock, no lock, no queue. [`Turns`] is the order in which tenants that wait are asked again.

mod turns;

pub use turns::Turns;

use foldhash::HashMap;
use std::hash::Hash;

/// An answer to "may I have so much?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what was granted is to be given back"]
pub enum Answer {
    /// Yes; [`Shares::give_back`] follows.
    Granted,
    /// Not now.
    Wait,
}

/// The units of a resource that tenants hold, where something else says how many are free.
#[derive(Clone, Debug)]
pub struct Held<T> {
    total: usize,
    by_tenant: HashMap<T, usize>,
}

/// One resource that tenants share.
#[derive(Clone, Debug)]
pub struct Shares<T> {
    capacity: usize,
    held: Held<T>,
}

// === impl Held ===

impl<T> Default for Held<T> {
    fn default() -> Held<T> {
        Held { total: 0, by_tenant: HashMap::default() }
    }
}

impl<T: Copy + Eq + Hash> Held<T> {
    /// True when `tenant` may have `units` more of the `free` ones: it then holds no more than was free before. One
    /// unit may be had as long as any is free, by a tenant that holds none.
    #[must_use]
    pub fn may_take(&self, tenant: T, units: usize, free: usize) -> bool {
        units <= free && self.by(tenant) + units <= free.max(1)
    }

    /// `tenant` has `units` more.
    pub fn add(&mut self, tenant: T, units: usize) {
        self.total += units;
        *self.by_tenant.entry(tenant).or_default() += units;
    }

    /// `tenant` gives `units` back, or all that it holds if that is less. Answers how many that were.
    pub fn remove(&mut self, tenant: T, units: usize) -> usize {
        let Some(held) = self.by_tenant.get_mut(&tenant) else { return 0 };
        let units = units.min(*held);
        *held -= units;
        self.total -= units;
        if *held == 0 {
            self.by_tenant.remove(&tenant);
        }
        units
    }

    /// Units that somebody holds.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Units that this tenant holds.
    #[must_use]
    pub fn by(&self, tenant: T) -> usize {
        self.by_tenant.get(&tenant).copied().unwrap_or(0)
    }
}

// === impl Shares ===

impl<T: Copy + Eq + Hash> Shares<T> {
    /// One of `capacity` units, none of them in use.
    #[must_use]
    pub fn new(capacity: usize) -> Shares<T> {
        Shares { capacity, held: Held::default() }
    }

    /// See [`Held::may_take`].
    #[must_use]
    pub fn may_take(&self, tenant: T, units: usize) -> bool {
        self.held.may_take(tenant, units, self.free())
    }

    /// Takes `units` for `tenant`, if it may have them.
    pub fn take(&mut self, tenant: T, units: usize) -> Answer {
        if !self.may_take(tenant, units) {
            return Answer::Wait;
        }
        self.held.add(tenant, units);
        Answer::Granted
    }

    /// Gives back units that were granted. More than `tenant` holds counts as all of it.
    pub fn give_back(&mut self, tenant: T, units: usize) {
        self.held.remove(tenant, units);
    }

    /// Units that nobody holds.
    #[must_use]
    pub fn free(&self) -> usize {
        self.capacity - self.held.total
    }

    /// Units that somebody holds.
    #[must_use]
    pub fn used(&self) -> usize {
        self.held.total
    }

    /// Units that this tenant holds.
    #[must_use]
    pub fn held_by(&self, tenant: T) -> usize {
        self.held.by(tenant)
    }

    /// The tenant that holds most, and how much: the one to take from where something can be taken back.
    #[must_use]
    pub fn largest(&self) -> Option<(T, usize)> {
        self.held.by_tenant.iter().max_by_key(|(_, held)| **held).map(|(tenant, held)| (*tenant, *held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes one unit after the other until it is told to wait; answers how many.
    fn take_all(shares: &mut Shares<u8>, tenant: u8) -> usize {
        (0..).take_while(|_| shares.take(tenant, 1) == Answer::Granted).count()
    }

    #[test]
    fn each_that_comes_gets_half_of_what_is_free() {
        // (capacity, what tenants get that come one after the other and hold on, free at last)
        let table: [(usize, &[usize], usize); 5] = [
            (8, &[4, 2, 1, 1, 0], 0),
            (64, &[32, 16, 8, 4, 2, 1, 1], 0),
            (1, &[1, 0], 0),
            (0, &[0], 0),
            (100, &[50, 25], 25),
        ];
        for (capacity, gets, free) in table {
            let mut shares = Shares::new(capacity);
            let got: Vec<usize> = (0..gets.len() as u8).map(|tenant| take_all(&mut shares, tenant)).collect();
            assert_eq!((got.as_slice(), shares.free()), (gets, free), "of {capacity}");
        }
    }

    #[test]
    fn what_turns_over_ends_in_equal_shares_with_one_left_free() {
        let mut shares = Shares::new(100);
        for tenant in 0..4 {
            take_all(&mut shares, tenant);
        }
        for _round in 0..100 {
            for tenant in 0..4 {
                shares.give_back(tenant, 1);
                for each in 0..4 {
                    take_all(&mut shares, each);
                }
            }
        }
        let held: Vec<usize> = (0..4).map(|tenant| shares.held_by(tenant)).collect();
        assert!(held.iter().all(|held| held.abs_diff(20) <= 1), "{held:?}");
        assert!(shares.free().abs_diff(20) <= 4, "{}", shares.free());
    }

    #[test]
    fn what_is_asked_for_at_once_is_had_whole_or_not_at_all() {
        let mut shares = Shares::new(100);
        assert_eq!(shares.take(1, 101), Answer::Wait);
        assert_eq!(shares.take(1, 60), Answer::Granted, "as much as is free");
        assert_eq!(shares.take(2, 41), Answer::Wait);
        assert_eq!((shares.held_by(1), shares.held_by(2), shares.largest()), (60, 0, Some((1, 60))));
        shares.give_back(1, 1_000);
        assert_eq!((shares.used(), shares.largest()), (0, None));
    }

    proptest! {
        /// Whatever happens: nobody is turned away who holds less than is free, and the books balance.
        #[test]
        fn a_tenant_that_holds_less_than_is_free_is_never_turned_away(
            capacity in 1usize..200,
            steps in proptest::collection::vec((any::<bool>(), 0u8..6, 1usize..8), 0..300),
        ) {
            let mut shares = Shares::new(capacity);
            let mut held = [0usize; 6];
            for (take, tenant, units) in steps {
                let (free, has) = (shares.free(), held[tenant as usize]);
                if take {
                    let granted = shares.take(tenant, units) == Answer::Granted;
                    prop_assert_eq!(granted, units <= free && has + units <= free.max(1));
                    held[tenant as usize] += if granted { units } else { 0 };
                } else {
                    shares.give_back(tenant, units);
                    held[tenant as usize] = has.saturating_sub(units);
                }
                prop_assert_eq!(shares.used(), held.iter().sum::<usize>());
                prop_assert_eq!(shares.held_by(tenant), held[tenant as usize]);
            }
        }
    }
}
