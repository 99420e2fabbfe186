//! The words of the tree: names of modules are words of the field or stand in the glossary, and comments are in plain
//! English where somebody has read them for that.

use crate::answers::DOCUMENT;
use crate::rust;
use crate::tree::{Tree, is_within};
use std::collections::BTreeSet;

/// Words that names of modules may be made of because every reader knows them. A word of our own goes into the glossary
/// of ARCHITECTURE.md instead.
pub const VOCABULARY: &str = include_str!("vocabulary.txt");

/// Folders whose comments were read for plain English. A folder is added when its last comment was.
pub const PLAIN: &[&str] =
    &["admin-api", "benches", "control", "engine", "loadtest", "model", "server", "sim", "storage", "tidy"];

/// Words that no comment in a plain folder begins with: what follows them is a riddle until its end.
const RIDDLES: [&str; 4] = ["What", "Who", "Where", "Whether"];

/// Files of the whole tree that say what they leave out, at most. It is news only where a reader would expect it.
pub const ABSENCES_AT_MOST: usize = 40;

/// Modules of the product with a name that is neither in `vocabulary` nor in the glossary, and words of the glossary that
/// no code has.
#[must_use]
pub fn names(tree: &Tree, vocabulary: &str) -> Vec<String> {
    let known: BTreeSet<&str> = vocabulary.split_whitespace().collect();
    let glossary = glossary(tree.text(DOCUMENT).unwrap_or_default());
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, _) in tree.rust().filter(|(_, file)| !file.product.trim().is_empty()) {
        let Some((_, module)) = path.trim_end_matches(".rs").split_once("/src/") else { continue };
        for word in module.split(['/', '_']) {
            let one = word.strip_suffix('s').unwrap_or(word);
            let is_known = |word: &str| known.contains(word) || glossary.contains(word);
            if ![word, one, &format!("{word}s")].into_iter().any(is_known) {
                wrong.push(format!(
                    "{path}: `{word}` is neither in tidy/src/vocabulary.txt nor in the glossary of {DOCUMENT}"
                ));
            }
            seen.insert(word);
        }
    }
    let codes: Vec<&str> = tree.rust().map(|(_, file)| file.product.as_str()).collect();
    let is_used = |word: &str| seen.contains(word) || codes.iter().any(|code| has_word(code, word));
    let stale = glossary.iter().filter(|word| !is_used(word));
    wrong.extend(stale.map(|word| format!("{DOCUMENT}: no code has `{word}` of the glossary")));
    wrong
}

/// The words in the rows `| **word** | meaning |`, in lower case; one of two words is both.
fn glossary(document: &str) -> BTreeSet<String> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| **")?.split_once("**"));
    rows.flat_map(|(term, _)| term.to_lowercase().split([' ', ',']).map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| !word.is_empty())
        .collect()
}

/// True when a name in `code` has `word` as one of its parts: `BlockWriter` and `block_writer` have `block`.
fn has_word(code: &str, word: &str) -> bool {
    let mut capital = word.to_owned();
    capital[..1].make_ascii_uppercase();
    let bytes = code.as_bytes();
    let ends = |at: usize| bytes.get(at).is_none_or(|byte| !byte.is_ascii_lowercase());
    code.match_indices(&capital).any(|(at, _)| ends(at + word.len()))
        || code.match_indices(word).any(|(at, _)| {
            let begins = at == 0 || !rust::is_name(bytes[at - 1]) || bytes[at - 1] == b'_';
            // The plural counts.
            begins && (ends(at + word.len()) || bytes[at + word.len()] == b's' && ends(at + word.len() + 1))
        })
}

/// Comments in `plain` folders that begin with a riddle.
#[must_use]
pub fn riddles(tree: &Tree, plain: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, file) in tree.rust().filter(|(path, _)| plain.iter().any(|folder| is_within(path, folder))) {
        let mut before = false;
        for (number, line) in file.text.lines().enumerate() {
            let comment = line.trim_start().strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']));
            let first = comment.and_then(|text| text.split_whitespace().next());
            let riddle = first.filter(|word| !before && RIDDLES.contains(word));
            wrong.extend(riddle.map(|word| format!("{path}:{}: the comment begins with `{word}`", number + 1)));
            // A line that continues a comment begins wherever the text was cut.
            before = first.is_some();
        }
    }
    wrong
}

/// Too many statements of what is not there.
#[must_use]
pub fn absences(tree: &Tree, at_most: usize) -> Vec<String> {
    let word = ["Deliber", "ately"].concat();
    let count: usize = tree.rust().map(|(_, file)| file.text.matches(&word).count()).sum();
    if count > at_most {
        vec![format!("`{word}` stands {count} times in the tree, {at_most} at most")]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLOSSARY: &str = "| **lane** | a queue |\n| **lost** | nothing |\n";

    #[test]
    fn names_that_nobody_explains_are_seen() {
        let tree = Tree::of([
            (DOCUMENT, GLOSSARY),
            ("a/src/lane.rs", "fn a() {}"),
            ("a/src/block_pen.rs", "fn a() {}"),
            ("a/src/pen/tests.rs", "fn a() {}"),
            ("a/src/lib.rs", "#[cfg(test)]\nmod block { mod lost {} }\n"),
        ]);
        let expected = [
            "a/src/block_pen.rs: `pen` is neither in tidy/src/vocabulary.txt nor in the glossary of ARCHITECTURE.md",
            "ARCHITECTURE.md: no code has `lost` of the glossary",
        ];
        assert_eq!(names(&tree, "block"), expected);
    }

    #[test]
    fn a_word_of_the_glossary_is_found_in_names() {
        for code in ["struct Lost;", "fn lost() {}", "enum A { IsLost }", "let a_lost = 1", "a.losts"] {
            assert!(has_word(code, "lost"), "{code}");
        }
        assert!(!has_word("struct Lostly; fn alost() {} let lostness = 2;", "lost"));
    }

    #[test]
    fn a_riddle_is_seen_where_a_comment_begins() {
        let text = "//! What it is.\n\n/// It is\n/// Where it is.\nfn a() {} // What\n/// Whether b.\nfn b() {}\n";
        let tree = Tree::of([("a/src/lib.rs", text), ("b/src/lib.rs", text)]);
        let expected =
            ["a/src/lib.rs:1: the comment begins with `What`", "a/src/lib.rs:6: the comment begins with `Whether`"];
        assert_eq!(riddles(&tree, &["a"]), expected);
    }

    #[test]
    fn one_absence_too_many_is_seen() {
        let text = ["//! Deliber", "ately not.\n"].concat();
        assert!(absences(&Tree::of([("a/src/lib.rs", text.as_str())]), 1).is_empty());
        let both = Tree::of([("a/src/lib.rs", text.as_str()), ("b/src/lib.rs", text.as_str())]);
        assert_eq!(absences(&both, 1).len(), 1);
    }
}
