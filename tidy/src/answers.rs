//! The questions of ARCHITECTURE.md that a newcomer asks first: each names a file and what is in it.

use crate::tree::Tree;

/// The document.
pub const DOCUMENT: &str = "ARCHITECTURE.md";

/// The questions that it answers, each in a row `| question | file | answer |`.
pub const QUESTIONS: &[&str] = &[
    "Where is a retry decided?",
    "Where does a byte reach the disk?",
    "Where is a socket to a receiver opened?",
    "Where does a setting reach an actor?",
    "Where is a tenant's share taken?",
];

/// Questions without an answer, and answers whose file is not there or does not contain a name that the answer quotes.
#[must_use]
pub fn check(tree: &Tree, questions: &[&str]) -> Vec<String> {
    let document = tree.text(DOCUMENT).unwrap_or_default();
    questions.iter().flat_map(|question| answer(tree, document, question)).collect()
}

fn answer(tree: &Tree, document: &str, question: &str) -> Vec<String> {
    let row = document.lines().find_map(|line| line.strip_prefix("| ")?.strip_prefix(question));
    let Some([file, answer]) = row.and_then(|row| cells(row)) else {
        return vec![format!("{DOCUMENT}: no row answers `{question}` with a file and what is in it")];
    };
    let Some(text) = quoted(file).next().and_then(|path| tree.text(path)) else {
        return vec![format!("{DOCUMENT}: `{question}`: there is no {file}")];
    };
    let mut names = quoted(answer).peekable();
    if names.peek().is_none() {
        return vec![format!("{DOCUMENT}: `{question}`: the answer quotes no name of {file}")];
    }
    let missing = names.filter(|name| !text.contains(name));
    missing.map(|name| format!("{DOCUMENT}: `{question}`: {file} does not contain `{name}`")).collect()
}

/// The two cells that follow the question.
fn cells(row: &str) -> Option<[&str; 2]> {
    let mut cells = row.trim_matches([' ', '|']).split(" | ");
    Some([cells.next()?, cells.next()?])
}

/// The words of `text` between back quotes.
pub fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(row: &str) -> Vec<String> {
        let tree = Tree::of([(DOCUMENT, row), ("a/src/b.rs", "//! B.\nfn c() {}\n")]);
        check(&tree, &["Where is c?"])
    }

    #[test]
    fn an_answer_that_is_true_is_fine() {
        assert!(found("| Where is c? | `a/src/b.rs` | in `fn c` |\n").is_empty());
    }

    #[test]
    fn every_way_of_being_false_is_seen() {
        let no_row = "ARCHITECTURE.md: no row answers `Where is c?` with a file and what is in it";
        assert_eq!(found("| Where is d? | `a/src/b.rs` | in `fn c` |\n"), [no_row]);
        assert_eq!(found("| Where is c? | `a/src/b.rs` |\n"), [no_row]);
        let file = "ARCHITECTURE.md: `Where is c?`: there is no `a/src/e.rs`";
        assert_eq!(found("| Where is c? | `a/src/e.rs` | in `fn c` |\n"), [file]);
        let name = "ARCHITECTURE.md: `Where is c?`: `a/src/b.rs` does not contain `fn f`";
        assert_eq!(found("| Where is c? | `a/src/b.rs` | in `fn f` |\n"), [name]);
        let none = "ARCHITECTURE.md: `Where is c?`: the answer quotes no name of `a/src/b.rs`";
        assert_eq!(found("| Where is c? | `a/src/b.rs` | there |\n"), [none]);
    }
}
