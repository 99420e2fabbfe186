//! Several rounds of the same scenarios in one figure: the median, with the least and the largest.
//!
//! A round is each of them once, one after the other, so that a ratio is between neighbours in time. There is
//! no mean: on a machine that others use too, a single bad minute must not move the figure.

use super::Outcome;

/// The middle of several values, and the ends. Nothing is a number here when one of them is not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The middle one; of an even number of values the mean of the two in the middle.
    pub(crate) median: f64,
    least: f64,
    greatest: f64,
    count: usize,
}

impl Spread {
    /// Of these values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let (Some(least), Some(greatest), false) =
            (values.first(), values.last(), values.iter().any(|value| value.is_nan()))
        else {
            return Spread { median: f64::NAN, least: f64::NAN, greatest: f64::NAN, count };
        };
        let median = f64::midpoint(values[(count - 1) / 2], values[count / 2]);
        Spread { median, least: *least, greatest: *greatest, count }
    }

    /// `0.44 (0.43 to 0.46)`; of a single value only that.
    pub(crate) fn show(&self) -> String {
        let Spread { median, least, greatest, count } = self;
        if *count == 1 { format!("{median:.2}") } else { format!("{median:.2} ({least:.2} to {greatest:.2})") }
    }
}

/// The outcomes of each scenario together, in the order of the rounds.
pub(crate) fn by_scenario(outcomes: &[Outcome]) -> Vec<Vec<&Outcome>> {
    let mut groups: Vec<Vec<&Outcome>> = Vec::new();
    for outcome in outcomes {
        match groups.iter_mut().find(|group| group[0].scenario == outcome.scenario) {
            Some(group) => group.push(outcome),
            None => groups.push(vec![outcome]),
        }
    }
    groups
}

/// A scenario's number in each round that has the scenario.
pub(crate) fn values(outcomes: &[Outcome], scenario: &str, key: &str) -> Spread {
    let of_it = outcomes.iter().filter(|outcome| outcome.scenario == scenario);
    Spread::of(of_it.map(|outcome| outcome.value(key)))
}

/// A scenario's number : the same of another scenario, both of the same round.
pub(crate) fn ratios(outcomes: &[Outcome], scenario: &str, base: &str, key: &str) -> Spread {
    let of_it = outcomes.iter().filter(|outcome| outcome.scenario == scenario);
    Spread::of(of_it.map(|outcome| {
        let neighbour = outcomes.iter().find(|other| other.scenario == base && other.round == outcome.round);
        outcome.value(key) / neighbour.map_or(f64::NAN, |neighbour| neighbour.value(key))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::outcome;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(Spread::of([5.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 100.0]).median, 3.0);
        assert_eq!(Spread::of([0.46, 0.43, 0.44]).show(), "0.44 (0.43 to 0.46)");
        assert_eq!(Spread::of([0.444]).show(), "0.44");
    }

    #[test]
    fn what_is_missing_in_one_round_is_no_number() {
        assert!(Spread::of([1.0, f64::NAN, 2.0]).median.is_nan());
        assert!(Spread::of([]).median.is_nan());
        assert!(values(&[outcome("steady", 1, 7.0)], "steady", "no_such_key").median.is_nan());
        assert!(ratios(&[outcome("steady", 1, 7.0)], "steady", "limit", "deliveries_per_s").median.is_nan());
    }

    #[test]
    fn a_ratio_is_of_neighbours_in_the_same_round() {
        let outcomes = [
            outcome("limit", 1, 100.0),
            outcome("steady", 1, 40.0),
            outcome("limit", 2, 10.0),
            outcome("steady", 2, 5.0),
        ];
        let ratios = ratios(&outcomes, "steady", "limit", "deliveries_per_s");
        assert_eq!(ratios, Spread { median: 0.45, least: 0.4, greatest: 0.5, count: 2 });
        let groups = by_scenario(&outcomes);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert_eq!((groups[1][0].scenario, groups[1][1].round), ("steady", 2));
    }
}
