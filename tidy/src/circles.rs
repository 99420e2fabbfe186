//! Circles of modules: each uses the next, and the last one the first. A module and those in its folder are one for
//! this.

use crate::tree::is_within;
use crate::uses::Use;
use std::collections::{BTreeMap, BTreeSet};

/// Circles that there are all the same: a module of each, and the reason. One that is gone fails the test.
pub const CIRCLES: &[(&str, &str)] = &[
    (
        "admin-api/state",
        "handlers, their extractors and the state they share; commands and queries take most of it apart",
    ),
    ("engine/dispatch/connect", "errors of an attempt and of a connection name each other"),
    ("engine/dispatch/http1/answer", "a body's framing is part of its answer"),
    ("engine/shard/core", "the core of a shard and the functions that take its turns name each other"),
    ("storage/damage/salvage/lost", "what a segment lost is counted while it is read"),
    ("storage/disk/checkpoint", "the thread of checkpoints and the state that it shares"),
    ("storage/tables/delivery", "a delivery's rows and its event's in the log are read for each other"),
];

/// Circles without an exception, and exceptions without a circle.
#[must_use]
pub fn check(uses: &[Use], exceptions: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut circles = circles(uses);
    for (module, _) in exceptions {
        match circles.iter().position(|circle| circle.contains(module)) {
            Some(at) => drop(circles.remove(at)),
            None => wrong.push(format!("tidy/src/circles.rs: {module} is in no circle any more; take it out")),
        }
    }
    wrong.extend(circles.iter().map(|circle| {
        let modules: Vec<&str> = circle.iter().copied().collect();
        format!("a circle of {}", modules.join(", "))
    }));
    wrong
}

/// Sets of modules that reach each other, with more than one member.
fn circles(uses: &[Use]) -> Vec<BTreeSet<&str>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Use { from, to, .. } in uses {
        if !is_within(from, to) && !is_within(to, from) {
            next.entry(from).or_default().insert(to);
        }
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|from| (*from, reach(&next, from))).collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (from, there) in &reached {
        let back = |to: &&str| reached.get(to).is_some_and(|there| there.contains(from));
        let circle: BTreeSet<&str> = there.iter().copied().filter(back).collect();
        if circle.contains(from) && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn reach<'a>(next: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = next.get(from).into_iter().flatten().copied().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(next.get(module).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;
    use crate::uses;

    fn found(c: &str, exceptions: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of([
            ("x/Cargo.toml", ""),
            ("x/src/a.rs", "use crate::b::d::B;"),
            ("x/src/b/mod.rs", "use crate::b::d::B;"),
            ("x/src/b/d.rs", "use super::A; use crate::c::C;"),
            ("x/src/c.rs", c),
        ]);
        check(&uses::all(&tree), exceptions)
    }

    #[test]
    fn a_circle_is_seen_and_a_folder_is_none() {
        assert!(found("", &[]).is_empty());
        let text = "use crate::a::A;";
        assert_eq!(found(text, &[]), ["a circle of x/a, x/b/d, x/c"]);
        assert!(found(text, &[("x/c", "why")]).is_empty());
        assert_eq!(found("", &[("x/c", "why")]), ["tidy/src/circles.rs: x/c is in no circle any more; take it out"]);
    }
}
