//! Arrows between rooms: each room uses only rooms below it. They are read from `Cargo.toml` and from the paths in the
//! code.

use crate::rooms::{Room, room_of};
use crate::tree::Tree;
use crate::uses::{self, Use};
use std::collections::{BTreeMap, BTreeSet};

/// Faults of the arrows of `tree`.
#[must_use]
pub fn check(tree: &Tree, uses: &[Use], rooms: &[Room], upward: &[(&str, &str, &str)]) -> Vec<String> {
    let mut wrong = manifests(tree, rooms, &uses::crates(tree));
    let mut needed = BTreeSet::new();
    for (path, _) in tree.rust() {
        let module = uses::module_of(path).filter(|module| !uses::is_root(module));
        if module.is_some_and(|module| room_of(rooms, &module).is_none()) {
            wrong.push(format!("{path}: is in no room; name its module in tidy/src/rooms.rs"));
        }
    }
    for Use { path, line, from, to } in uses {
        let (Some(from), Some(to)) = (room_of(rooms, from), room_of(rooms, to)) else { continue };
        if from == to {
            continue;
        }
        let (from, to, is_up, place) = (&rooms[from], &rooms[to], to < from, format!("{path}:{line}"));
        let key = (from.name, to.name);
        let is_excused = upward.iter().any(|(one, other, _)| key == (*one, *other));
        if is_up && is_excused {
            needed.insert(key);
        } else if is_up {
            wrong.push(format!("{place}: `{}` uses `{}`, which is above it", from.name, to.name));
        } else if is_avoided(from, to) {
            wrong.push(format!("{place}: `{}` uses `{}`, which it shall not know", from.name, to.name));
        }
    }
    for (from, to, _) in upward.iter().filter(|(from, to, _)| !needed.contains(&(*from, *to))) {
        wrong.push(format!("tidy/src/rooms.rs: `{from}` does not use `{to}` any more; take the exception out"));
    }
    wrong
}

/// True when `from` does not use `to`: it avoids the room, or all of its crate.
fn is_avoided(from: &Room, to: &Room) -> bool {
    let its_crate = |avoided: &str| to.modules.iter().all(|module| module.split('/').next() == Some(avoided));
    from.avoids.iter().any(|avoided| *avoided == to.name || its_crate(avoided))
}

/// Faults of the `[dependencies]` of each crate: one that is above it, or that its lowest room avoids. The rooms that
/// are used show in the code.
fn manifests(tree: &Tree, rooms: &[Room], crates: &BTreeMap<String, String>) -> Vec<String> {
    let in_crate = |room: &Room, name: &str| room.modules.iter().any(|module| module.split('/').next() == Some(name));
    let mut wrong = Vec::new();
    for folder in crates.values() {
        let manifest = format!("{folder}/Cargo.toml");
        let Some(lowest) = rooms.iter().rposition(|room| in_crate(room, folder)) else {
            wrong.push(format!("{manifest}: the crate has no room in tidy/src/rooms.rs"));
            continue;
        };
        for name in dependencies(tree.text(&manifest).unwrap_or_default()) {
            if rooms[..lowest].iter().any(|room| in_crate(room, name) && !in_crate(room, folder)) {
                wrong.push(format!("{manifest}: `{folder}` uses `{name}`, which is above it"));
            } else if rooms[lowest].avoids.contains(&name) {
                wrong.push(format!("{manifest}: `{folder}` uses `{name}`, which it shall not know"));
            }
        }
    }
    wrong
}

/// The names in the `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            is_inside = line == "[dependencies]";
            return None;
        }
        is_inside.then(|| line.split(['.', ' ', '=']).next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: &[Room] = &[
        Room { name: "top", modules: &["top"], holds: "", avoids: &["base: a"] },
        Room { name: "base: b", modules: &["base/b"], holds: "", avoids: &[] },
        Room { name: "base: a", modules: &["base/a"], holds: "", avoids: &[] },
    ];

    fn found(extra: &[(&str, &str)], upward: &[(&str, &str, &str)]) -> Vec<String> {
        let files = [
            ("base/Cargo.toml", "[dependencies]\n"),
            ("base/src/lib.rs", "pub mod a;\npub mod b;\npub use a::A;\n"),
            ("base/src/a.rs", "pub struct A;\n#[cfg(test)]\nmod tests { use crate::b::B; }\n"),
            ("base/src/b/mod.rs", "use super::a::A;\n"),
            ("top/Cargo.toml", "[dependencies]\nbase.workspace = true\n"),
            ("top/src/main.rs", "fn main() {}\n"),
            ("top/src/c.rs", "use base::b::B;\n"),
        ];
        let mut all: BTreeMap<&str, &str> = files.into_iter().collect();
        all.extend(extra.iter().copied());
        let tree = Tree::of(all);
        check(&tree, &uses::all(&tree), ROOMS, upward)
    }

    #[test]
    fn a_tree_whose_arrows_point_down_is_fine() {
        assert_eq!(found(&[], &[]), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_up_is_seen_however_it_is_written() {
        for text in ["use crate::b::B;", "use super::{b::B};", "fn f() { crate::b::g() }", "fn f() { base::b::g() }"] {
            assert_eq!(
                found(&[("base/src/a.rs", text)], &[]),
                ["base/src/a.rs:1: `base: a` uses `base: b`, which is above it"]
            );
            assert!(found(&[("base/src/a.rs", text)], &[("base: a", "base: b", "why")]).is_empty());
        }
        let manifest = ("base/Cargo.toml", "[dependencies]\ntop.workspace = true\n");
        assert_eq!(found(&[manifest], &[]), ["base/Cargo.toml: `base` uses `top`, which is above it"]);
    }

    #[test]
    fn a_room_that_shall_not_be_known_is_seen_through_the_crate_too() {
        let expected = ["top/src/c.rs:1: `top` uses `base: a`, which it shall not know"];
        assert_eq!(found(&[("top/src/c.rs", "use base::a::A;")], &[]), expected);
        assert_eq!(found(&[("top/src/c.rs", "use base::A;")], &[]), expected);
    }

    #[test]
    fn a_file_without_a_room_and_an_exception_without_a_use_are_seen() {
        assert_eq!(
            found(&[("base/src/d.rs", "")], &[]),
            ["base/src/d.rs: is in no room; name its module in tidy/src/rooms.rs"]
        );
        let gone = ["tidy/src/rooms.rs: `base: a` does not use `base: b` any more; take the exception out"];
        assert_eq!(found(&[], &[("base: a", "base: b", "why")]), gone);
    }
}
