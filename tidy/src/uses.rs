//! Uses between modules: the paths in the code, each resolved to the file that it names.

use crate::rust;
use crate::tree::Tree;
use std::collections::BTreeMap;

/// A module uses another, in a line of its file.
#[derive(Debug)]
pub struct Use {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// Its module, such as `engine/router/routes`.
    pub from: String,
    /// The other module.
    pub to: String,
}

/// The crates of the tree, by the name that code gives them.
#[must_use]
pub fn crates(tree: &Tree) -> BTreeMap<String, String> {
    let manifests = tree.files().filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"));
    manifests.map(|folder| (folder.replace('-', "_"), folder.to_owned())).collect()
}

/// `engine/router/routes` for `engine/src/router/routes.rs`; `None` for what is not below a `src` or `benches`.
#[must_use]
pub fn module_of(path: &str) -> Option<String> {
    let (folder, rest) = path.split_once("/src/").or_else(|| path.split_once("/benches/"))?;
    let stem = rest.trim_end_matches(".rs");
    let module = stem.strip_suffix("/mod").unwrap_or(stem);
    Some(format!("{folder}/{module}"))
}

/// Every use in the product, but for those of a module by itself. The root of a crate uses nothing: it only declares.
#[must_use]
pub fn all(tree: &Tree) -> Vec<Use> {
    let crates = crates(tree);
    let mut roots: Vec<&str> = crates.keys().map(String::as_str).collect();
    roots.extend(["crate", "super"]);
    let mut uses = Vec::new();
    for (path, file) in tree.rust() {
        let Some(from) = module_of(path).filter(|module| !is_root(module)) else { continue };
        for (at, parts) in rust::paths(&file.product, &roots) {
            if let Some(to) = resolve(tree, &absolute(&crates, &from, &parts), 0).filter(|to| *to != from) {
                uses.push(Use { path: path.to_owned(), line: rust::line(&file.product, at), from: from.clone(), to });
            }
        }
    }
    uses
}

/// True for the module of a `lib.rs` or `main.rs`.
#[must_use]
pub fn is_root(module: &str) -> bool {
    ["/lib", "/main"].iter().any(|name| module.ends_with(name))
}

/// A path from the folder of its crate on.
fn absolute<'a>(crates: &'a BTreeMap<String, String>, from: &'a str, parts: &[&'a str]) -> Vec<&'a str> {
    let here: Vec<&str> = from.split('/').collect();
    let ups = parts.iter().take_while(|part| **part == "super").count();
    let mut whole = match parts[0] {
        "crate" => vec![here[0]],
        "super" => here[..here.len().saturating_sub(ups).max(1)].to_vec(),
        name => crates.get(name).map(|folder| vec![folder.as_str()]).unwrap_or_default(),
    };
    whole.extend(&parts[ups.max(1)..]);
    whole
}

/// The module that holds the item at a path: the longest beginning that is a file, or where `lib.rs` takes the name
/// from.
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
