//! The files that the rules look at: Rust, Markdown, Cargo manifests and the files of `ops`, by their path from the root.

use crate::rust;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

/// Folders that hold nothing of ours. Names that begin with a dot are passed over too.
const FOREIGN: [&str; 2] = ["target", "node_modules"];

/// Deepest folder that is looked into: a bound for a tree with a circle of links.
const MAX_DEPTH: usize = 16;

/// Endings of names of files that are looked at.
const ENDINGS: [&str; 7] = [".rs", ".md", ".toml", ".yml", ".service", ".conf", "Dockerfile"];

/// One file.
#[derive(Debug, Default)]
pub struct File {
    /// The whole text.
    pub text: String,
    /// Of Rust: the text without what is in comments and literals, byte for byte in the same places. Else empty.
    pub code: String,
    /// Of Rust: `code` without items under `#[cfg(test)]`, in the same places; empty for a file of tests.
    pub product: String,
}

/// All files by their path from the root, with `/` between the parts.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, File>,
}

impl Tree {
    /// Reads the tree under `root`.
    ///
    /// # Errors
    ///
    /// When a folder or file cannot be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut texts = Vec::new();
        collect(root, "", 0, &mut texts)?;
        Ok(Tree::of(texts))
    }

    /// A tree of these paths and texts.
    pub fn of(texts: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        let mut tree = Tree::default();
        let mut tests = BTreeSet::new();
        for (path, text) in texts {
            let (path, text) = (path.into(), text.into());
            let mut file = File { text, ..File::default() };
            if path.ends_with(".rs") {
                file.code = rust::code(&file.text);
                let (product, modules) = rust::without_tests(&file.code);
                file.product = product;
                tests.extend(modules.iter().map(|module| format!("{}/{module}", folder_of_children(&path))));
            }
            tree.files.insert(path, file);
        }
        for (path, file) in &mut tree.files {
            if is_test(path, &tests) {
                file.product.clear();
            }
        }
        tree
    }

    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// The text of `path`, if there is such a file.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|file| file.text.as_str())
    }

    /// True when there is a file or a folder at `path`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.contains_key(path) || self.files.keys().any(|each| is_within(each, path))
    }
}

/// True when `path` is `place`, or a file in it when that is a folder.
#[must_use]
pub fn is_within(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn collect(folder: &Path, prefix: &str, depth: usize, texts: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || FOREIGN.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < MAX_DEPTH {
            collect(&entry.path(), &format!("{path}/"), depth + 1, texts)?;
        } else if kind.is_file() && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            texts.push((path, fs::read_to_string(entry.path())?));
        }
    }
    Ok(())
}

/// The folder with the modules that the file at `path` declares.
fn folder_of_children(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    let own = ["/mod", "/lib", "/main"].iter().find_map(|name| stem.strip_suffix(name));
    own.unwrap_or(stem).to_owned()
}

/// True when the file at `path` holds tests only: it is in a `tests` or `examples` folder of a crate, or a module that
/// is declared under `#[cfg(test)]`, or below one.
fn is_test(path: &str, modules: &BTreeSet<String>) -> bool {
    let mut within = path.trim_end_matches(".rs");
    loop {
        if modules.contains(within) || within.ends_with("/tests") || within.ends_with("/examples") {
            return true;
        }
        match within.rsplit_once('/') {
            Some((above, _)) => within = above,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_is_what_is_compiled_without_tests() {
        let tree = Tree::of([
            ("a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod c;\nfn d() {}\n"),
            ("a/src/b/mod.rs", "fn e() {}\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n"),
            ("a/src/c.rs", "fn g() {}\n"),
            ("a/src/c/h.rs", "fn i() {}\n"),
            ("a/tests/it/main.rs", "fn j() {}\n"),
            ("README.md", "fn k() {}\n"),
        ]);
        let product: String = tree.rust().map(|(_, file)| file.product.as_str()).collect();
        let functions: Vec<char> =
            "abcdefghijk".chars().filter(|name| product.contains(&format!("fn {name}("))).collect();
        assert_eq!(functions, ['d', 'e']);
        assert!(tree.has("a/src/c") && tree.has("a/src/c.rs") && !tree.has("a/src/b.rs") && !tree.has("a/sr"));
    }
}
