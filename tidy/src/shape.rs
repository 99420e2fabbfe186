//! The shape of a file: it opens with what it is, is not too long, has no function that is too long, and no marker of
//! something unfinished.

use crate::rust;
use crate::tree::{File, Tree};

/// Lines of product in one file, at most.
pub const MAX_FILE_LINES: usize = 400;

/// Lines in one file of tests, at most.
pub const MAX_TEST_FILE_LINES: usize = 450;

/// Lines in one function of the product, at most.
pub const MAX_FUNCTION_LINES: usize = 70;

/// Files that are longer all the same, each with the reason. One that is not is refused, so that the list stays true.
pub const LONG_FILES: &[(&str, &str)] = &[];

/// Markers of something unfinished, in two halves so that this file has none.
const LEFTOVERS: [(&str, &str); 6] =
    [("TO", "DO"), ("FIX", "ME"), ("HA", "CK"), ("db", "g!("), ("to", "do!("), ("unimplem", "ented!(")];

/// Files without a `//!` at their head.
#[must_use]
pub fn headers(tree: &Tree) -> Vec<String> {
    let without = tree.rust().filter(|(_, file)| !file.text.starts_with("//! "));
    without.map(|(path, _)| format!("{path}: does not open with `//! ` and what it is")).collect()
}

/// Files and functions that are too long.
#[must_use]
pub fn lengths(tree: &Tree, long_files: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, file) in tree.rust() {
        let (lines, most) = (lines(file), most(file));
        let is_excused = long_files.iter().any(|(long, _)| *long == path);
        if lines > most && !is_excused {
            wrong.push(format!("{path}: {lines} lines, {most} at most"));
        } else if lines <= most && is_excused {
            wrong.push(format!("tidy/src/shape.rs: {path} is not too long any more; take it out of LONG_FILES"));
        }
        for function in rust::functions(&file.product).iter().filter(|function| function.lines > MAX_FUNCTION_LINES) {
            let rust::Function { name, line, lines } = function;
            wrong.push(format!("{path}:{line}: `{name}` has {lines} lines, {MAX_FUNCTION_LINES} at most"));
        }
    }
    let gone = long_files.iter().filter(|(path, _)| tree.text(path).is_none());
    wrong.extend(gone.map(|(path, _)| format!("tidy/src/shape.rs: there is no {path}; take it out of LONG_FILES")));
    wrong
}

/// The lines that count: of a file with product those outside of its tests, of a file of tests all.
fn lines(file: &File) -> usize {
    if is_product(file) {
        let left_out = file.code.split_whitespace().count() != file.product.split_whitespace().count();
        // A module of tests stands at the end of its file.
        let end = if left_out { file.product.trim_end().len() } else { file.text.len() };
        return file.text[..end].lines().count();
    }
    file.text.lines().count()
}

fn most(file: &File) -> usize {
    if is_product(file) { MAX_FILE_LINES } else { MAX_TEST_FILE_LINES }
}

fn is_product(file: &File) -> bool {
    !file.product.trim().is_empty()
}

/// Markers of something unfinished, in code, comments and documents.
#[must_use]
pub fn leftovers(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, file) in tree.files().filter(|(path, _)| !path.ends_with(".toml")) {
        for (number, text) in file.text.lines().enumerate() {
            let marker =
                LEFTOVERS.iter().map(|(one, other)| format!("{one}{other}")).find(|marker| has_word(text, marker));
            wrong.extend(marker.map(|marker| format!("{path}:{}: `{marker}` is left over", number + 1)));
        }
    }
    wrong
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let is_letter = |byte: Option<&u8>| byte.is_some_and(|byte| rust::is_name(*byte));
        let end = at + word.len();
        !is_letter(text.as_bytes()[..at].last()) && (word.ends_with('(') || !is_letter(text.as_bytes().get(end)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_header_is_seen() {
        let tree = Tree::of([("a/src/b.rs", "//! B.\n"), ("a/src/c.rs", "// C.\nfn d() {}\n")]);
        assert_eq!(headers(&tree), ["a/src/c.rs: does not open with `//! ` and what it is"]);
    }

    #[test]
    fn long_files_and_functions_are_seen_and_tests_do_not_count() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn t() {}\n".repeat(300));
        let function = |lines: usize| format!("fn f() {{\n{}}}\n", "g();\n".repeat(lines - 2));
        let fine = function(MAX_FUNCTION_LINES) + &"fn h() {}\n".repeat(MAX_FILE_LINES - MAX_FUNCTION_LINES) + &tests;
        let long = "fn h() {}\n".repeat(MAX_FILE_LINES + 1) + &tests;
        let tree = Tree::of([
            ("a/src/b.rs", fine),
            ("a/src/c.rs", long),
            ("a/src/d.rs", function(MAX_FUNCTION_LINES + 1)),
            ("a/tests/it/e.rs", function(MAX_TEST_FILE_LINES)),
        ]);
        let too_long = "a/src/d.rs:1: `f` has 71 lines, 70 at most";
        assert_eq!(lengths(&tree, &[]), ["a/src/c.rs: 401 lines, 400 at most", too_long]);
        let excused = [("a/src/c.rs", "why"), ("a/src/b.rs", "why"), ("a/src/z.rs", "why")];
        let stale = [
            "tidy/src/shape.rs: a/src/b.rs is not too long any more; take it out of LONG_FILES",
            too_long,
            "tidy/src/shape.rs: there is no a/src/z.rs; take it out of LONG_FILES",
        ];
        assert_eq!(lengths(&tree, &excused), stale);
    }

    #[test]
    fn every_leftover_is_seen() {
        for (one, other) in LEFTOVERS {
            let wrong = leftovers(&Tree::of([("a/src/b.rs", format!("//! B.\nfn c() {{ /* {one}{other} */ }}\n"))]));
            assert_eq!(wrong, [format!("a/src/b.rs:2: `{one}{other}` is left over")]);
        }
        assert!(leftovers(&Tree::of([("a/src/b.rs", "//! TODOS are FIXMEs.\n")])).is_empty());
    }
}
