//! The order in which those that wait are asked again: one of each tenant in turn, each tenant's own oldest first.
//!
//! So a tenant with ten thousand in line delays another with one by a single turn. The caller says of each
//! tenant if it may go.

use foldhash::HashMap;
use std::collections::VecDeque;
use std::hash::Hash;

/// Those that wait, by tenant. The caller bounds them: each waits once.
#[derive(Clone, Debug)]
pub struct Turns<T, W> {
    waiting: HashMap<T, VecDeque<W>>,
    /// Tenants of `waiting`, each once; the next one in front.
    order: VecDeque<T>,
}

impl<T, W> Default for Turns<T, W> {
    fn default() -> Turns<T, W> {
        Turns { waiting: HashMap::default(), order: VecDeque::new() }
    }
}

impl<T: Copy + Eq + Hash, W> Turns<T, W> {
    /// Puts one in line behind all others of its tenant.
    pub fn push(&mut self, tenant: T, waiting: W) {
        let line = self.waiting.entry(tenant).or_default();
        if line.is_empty() {
            self.order.push_back(tenant);
        }
        line.push_back(waiting);
    }

    /// The next one whose tenant may go; that tenant is last in turn then. Looks at each tenant once at most.
    pub fn pop(&mut self, mut may_go: impl FnMut(T) -> bool) -> Option<(T, W)> {
        for _ in 0..self.order.len() {
            let tenant = self.order.pop_front()?;
            if !may_go(tenant) {
                self.order.push_back(tenant);
                continue;
            }
            let line = self.waiting.get_mut(&tenant)?;
            let next = line.pop_front()?;
            if line.is_empty() {
                self.waiting.remove(&tenant);
            } else {
                self.order.push_back(tenant);
            }
            return Some((tenant, next));
        }
        None
    }

    /// True when nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Number of those that wait of this tenant.
    #[must_use]
    pub fn waiting_of(&self, tenant: T) -> usize {
        self.waiting.get(&tenant).map_or(0, VecDeque::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_take_turns_and_each_keeps_its_own_order() {
        let mut turns = Turns::default();
        (0..4).for_each(|each| turns.push('a', each));
        turns.push('b', 9);
        turns.push('c', 5);
        let all: Vec<_> = std::iter::from_fn(|| turns.pop(|_| true)).collect();
        assert_eq!(all, [('a', 0), ('b', 9), ('c', 5), ('a', 1), ('a', 2), ('a', 3)]);
        assert!(turns.is_empty());
    }

    #[test]
    fn one_that_may_not_go_keeps_its_place_and_holds_nobody_up() {
        let mut turns = Turns::default();
        turns.push('a', 1);
        turns.push('b', 2);
        assert_eq!(turns.pop(|tenant| tenant != 'a'), Some(('b', 2)));
        assert_eq!(turns.pop(|tenant| tenant != 'a'), None);
        assert_eq!((turns.waiting_of('a'), turns.waiting_of('b')), (1, 0));
        assert_eq!(turns.pop(|_| true), Some(('a', 1)));
    }
}
