//! Arrows between rooms: each room uses only rooms below it. They are read from `Cargo.toml` and from the paths in the code.

use crate::rooms::{Room, room_of};
use crate::rust;
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// An arrow: a room uses another at a place.
#[derive(Debug)]
struct Arrow {
    from: usize,
    to: usize,
    place: String,
}

/// Faults of the arrows of `tree`.
#[must_use]
pub fn check(tree: &Tree, rooms: &[Room], upward: &[(&str, &str, &str)]) -> Vec<String> {
    let crates = crates(tree);
    let (mut wrong, mut arrows) = (manifests(tree, rooms, &crates), Vec::new());
    let mut needed = BTreeSet::new();
    for (path, file) in tree.rust() {
        let Some(module) = module_of(path) else { continue };
        match room_of(rooms, &module) {
            Some(from) => arrows.extend(code_arrows(tree, rooms, &crates, path, &module, from, &file.product)),
            None if is_root(&module) => {}
            None => wrong.push(format!("{path}: is in no room; name its module in tidy/src/rooms.rs")),
        }
    }
    for Arrow { from, to, place } in arrows {
        let (from, to, is_up) = (&rooms[from], &rooms[to], to < from);
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

/// The crates of the tree, by the name that code gives them.
fn crates(tree: &Tree) -> BTreeMap<String, String> {
    let manifests = tree.files().filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"));
    manifests.map(|folder| (folder.replace('-', "_"), folder.to_owned())).collect()
}

/// Faults of the `[dependencies]` of each crate: one that is above it, or that its lowest room avoids. The rooms that are
/// used show in the code.
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

/// `engine/router/routes` for `engine/src/router/routes.rs`; `None` for what is not below a `src` or `benches`.
fn module_of(path: &str) -> Option<String> {
    let (folder, rest) = path.split_once("/src/").or_else(|| path.split_once("/benches/"))?;
    let stem = rest.trim_end_matches(".rs");
    let module = stem.strip_suffix("/mod").unwrap_or(stem);
    Some(format!("{folder}/{module}"))
}

fn is_root(module: &str) -> bool {
    ["/lib", "/main"].iter().any(|name| module.ends_with(name))
}

fn code_arrows(
    tree: &Tree,
    rooms: &[Room],
    crates: &BTreeMap<String, String>,
    path: &str,
    module: &str,
    from: usize,
    product: &str,
) -> Vec<Arrow> {
    let mut roots: Vec<&str> = crates.keys().map(String::as_str).collect();
    roots.extend(["crate", "super"]);
    let here: Vec<&str> = module.split('/').collect();
    let mut arrows = Vec::new();
    for (at, parts) in rust::paths(product, &roots) {
        let ups = parts.iter().take_while(|part| **part == "super").count();
        let mut whole: Vec<&str> = match parts[0] {
            "crate" => vec![here[0]],
            "super" => here[..here.len().saturating_sub(ups).max(1)].to_vec(),
            name => crates.get(name).map(|folder| vec![folder.as_str()]).unwrap_or_default(),
        };
        whole.extend(&parts[ups.max(1)..]);
        let Some(to) = resolve(tree, &whole, 0).and_then(|to| room_of(rooms, &to)) else { continue };
        if to != from {
            arrows.push(Arrow { from, to, place: format!("{path}:{}", rust::line(product, at)) });
        }
    }
    arrows
}

/// The module that holds the item at a path: the longest beginning that is a file, or where `lib.rs` takes the name from.
fn resolve(tree: &Tree, path: &[&str], depth: usize) -> Option<String> {
    let folder = path[0];
    for length in (2..=path.len()).rev() {
        let inner = path[1..length].join("/");
        if [".rs", "/mod.rs"].iter().any(|ending| tree.text(&format!("{folder}/src/{inner}{ending}")).is_some()) {
            return Some(format!("{folder}/{inner}"));
        }
    }
    // A name of the crate itself: follow its `pub use`, once.
    let lib = tree.text(&format!("{folder}/src/lib.rs"))?;
    let wanted = path.get(1)?;
    if depth > 0 {
        return None;
    }
    let code = rust::code(lib);
    for statement in code.split("pub use ").skip(1) {
        let statement = format!("crate::{}", statement.split(';').next().unwrap_or_default());
        for (_, parts) in rust::paths(&statement, &["crate"]) {
            if parts.last() == Some(wanted) {
                let whole: Vec<&str> = [folder].into_iter().chain(parts[1..].iter().copied()).collect();
                return resolve(tree, &whole, depth + 1);
            }
        }
    }
    None
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
        check(&Tree::of(all), ROOMS, upward)
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
