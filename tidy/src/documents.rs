//! Documents against the tree: links, paths, settings, metrics and routes that they name are there.
//!
//! That the tables of docs/METRICS.md and docs/COMPATIBILITY.md are complete needs a running server and the OpenAPI
//! document: `server/tests/it/metrics.rs` and `admin-api/tests/it/compatibility.rs` see to it.

use crate::answers::{DOCUMENT, quoted};
use crate::rooms::{Room, render};
use crate::rust;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// Documents that tell of the past, in which a path or a name may be gone.
const OF_THE_PAST: [&str; 3] = ["CHANGELOG.md", "docs/adr/", "docs/growth/"];

/// The lines around the table of rooms.
const ROOMS_BEGIN: &str = "<!-- rooms: tidy/src/rooms.rs -->\n";
const ROOMS_END: &str = "<!-- end of rooms -->\n";

/// Documents of the product that tell of the present.
fn documents(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    let files = tree.files().filter(|(path, _)| path.ends_with(".md") && !path.starts_with("tests/"));
    let present = files.filter(|(path, _)| !OF_THE_PAST.iter().any(|past| path.starts_with(past)));
    present.map(|(path, file)| (path, file.text.as_str()))
}

/// ARCHITECTURE.md with the table of [`render`] in place of its own; `None` when it has no place for one.
#[must_use]
pub fn with_rooms(document: &str, rooms: &[Room]) -> Option<String> {
    let (before, rest) = document.split_once(ROOMS_BEGIN)?;
    let (_, after) = rest.split_once(ROOMS_END)?;
    Some([before, ROOMS_BEGIN, &render(rooms), ROOMS_END, after].concat())
}

/// The table of rooms in ARCHITECTURE.md, when it is not that of [`render`].
#[must_use]
pub fn rooms(tree: &Tree, rooms: &[Room]) -> Vec<String> {
    let document = tree.text(DOCUMENT).unwrap_or_default();
    if with_rooms(document, rooms).as_deref() == Some(document) {
        return Vec::new();
    }
    vec![format!(
        "{DOCUMENT}: its table of rooms is not that of tidy/src/rooms.rs; `TIDY_WRITE=1 cargo test -p tidy` writes it"
    )]
}

/// Links to files that are not there, and quoted paths (with a `/` and an ending) that are not.
#[must_use]
pub fn paths(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (document, file) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        let links = file.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://") && !link.contains(' ')) {
            if !tree.has(&join(folder, link)) && link.ends_with(".md") {
                wrong.push(format!("{document}: links to {link}, which is not there"));
            }
        }
    }
    for (document, text) in documents(tree) {
        let is_path = |word: &&str| {
            let ends = [".rs", ".md", ".toml"].iter().any(|ending| word.ends_with(ending));
            ends && word.contains('/') && !word.contains([' ', '*', '{', '<', '…'])
        };
        // `shard/work.rs` may stand for `engine/src/shard/work.rs` where the crate is clear.
        let is_there = |path: &str| tree.has(path) || tree.files().any(|(each, _)| each.ends_with(&format!("/{path}")));
        let gone = quoted(text).filter(is_path).filter(|path| !is_there(path));
        wrong.extend(gone.map(|path| format!("{document}: `{path}` is not there")));
    }
    wrong
}

/// Crates of others whose paths documents name.
const FOREIGN_CRATES: [&str; 3] = ["std", "tokio", "utoipa"];

/// Quoted paths such as `tables::progress` or `Writer::commit` whose last name is nowhere in the module before it.
#[must_use]
pub fn modules(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (document, text) in documents(tree) {
        for path in quoted(text).filter(|word| word.contains("::")) {
            let parts: Vec<&str> = path.split("::").collect();
            let is_path = parts.iter().all(|part| !part.is_empty() && part.bytes().all(rust::is_name));
            if let [.., module, name] = parts[..]
                && is_path
                && !FOREIGN_CRATES.contains(&parts[0])
                && !is_in(tree, module, name)
            {
                wrong.push(format!("{document}: there is no `{path}`"));
            }
        }
    }
    wrong
}

/// True when a module, a crate or a type called `module` has something called `name`.
fn is_in(tree: &Tree, module: &str, name: &str) -> bool {
    let is_type = module.starts_with(|first: char| first.is_ascii_uppercase());
    tree.rust().any(|(path, file)| {
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('-', "_");
        let parts: Vec<&str> = stem.split('/').collect();
        let is_of_it = if is_type { file.code.contains(module) } else { parts.contains(&module) };
        is_of_it && (parts.last() == Some(&name) || file.code.contains(name))
    })
}

/// `folder` and the relative `link` from it.
fn join(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The folders where the settings and the options of commands are declared, with `#[arg(…)]` above each field.
const ARGUMENTS: [&str; 3] = ["server/src/", "loadtest/src/", "sim/src/"];

/// Flags that are not ours.
const FOREIGN_FLAGS: [&str; 10] = [
    "--release",
    "--workspace",
    "--bench",
    "--bin",
    "--test",
    "--lib",
    "--all-targets",
    "--help",
    "--version",
    "--nocapture",
];

/// A flag with its variable in the environment, if it has one.
pub(crate) type Setting = (String, Option<String>);

/// Flags and `PINION_…` variables in documents that nothing declares, and rows of a table that pair a flag with the
/// variable of another.
#[must_use]
pub fn settings(tree: &Tree) -> Vec<String> {
    let declared = declared(tree);
    let sources: Vec<&str> =
        tree.rust().filter(|(path, _)| is_ours(path)).map(|(_, file)| file.text.as_str()).collect();
    let mut wrong = Vec::new();
    for (document, text) in documents(tree) {
        for (flag, line) in words(text, "--") {
            let is_known = declared.iter().any(|(known, _)| *known == flag) || FOREIGN_FLAGS.contains(&flag);
            // Of commands that read their arguments by hand.
            if !is_known && !sources.iter().any(|source| source.contains(&format!("\"{flag}\""))) {
                wrong.push(format!("{document}: no command takes {flag}"));
            }
            let variable = words(line, "PINION_").next().map(|(variable, _)| variable.to_owned());
            let is_row = line.starts_with(&format!("| `{flag}"));
            if is_row && variable.is_some() && !declared.contains(&(flag.to_owned(), variable)) && !is_key(line) {
                wrong.push(format!("{document}: the variable beside {flag} is not its own"));
            }
        }
        for (variable, _) in words(text, "PINION_").filter(|(variable, _)| !variable.ends_with('_')) {
            if !sources.iter().any(|source| source.contains(variable)) {
                wrong.push(format!("{document}: nothing reads {variable}"));
            }
        }
    }
    wrong
}

/// Keys may be in the variable itself, beside the flag with their file.
fn is_key(line: &str) -> bool {
    line.contains("-key-file")
}

fn is_ours(path: &str) -> bool {
    ARGUMENTS.iter().any(|folder| path.starts_with(folder))
        || path.starts_with("server/tests/")
        || path.starts_with("benches/")
}

/// The flags that clap knows: `#[arg(long, env = "…")]` and the name of the field below, or `long = "…"`.
pub(crate) fn declared(tree: &Tree) -> BTreeSet<Setting> {
    let mut declared = BTreeSet::new();
    for (_, file) in tree.rust().filter(|(path, _)| is_ours(path)) {
        for argument in file.text.split("#[arg(").skip(1) {
            let Some((attributes, rest)) = argument.split_once(")]\n") else { continue };
            let text = |key: &str| attributes.split_once(key).and_then(|(_, rest)| rest.split('"').next());
            let field = rest.split(':').next().unwrap_or_default();
            let field = field.rsplit([' ', '\n']).next().unwrap_or_default().replace('_', "-");
            let flag = text("long = \"").map_or(field, str::to_owned);
            declared.insert((format!("--{flag}"), text("env = \"").map(str::to_owned)));
        }
    }
    declared
}

/// The words of `text` that begin with `prefix`, each with its line.
pub(crate) fn words<'a>(text: &'a str, prefix: &'static str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.lines().flat_map(move |line| {
        line.match_indices(prefix).filter_map(move |(at, _)| {
            let is_word = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
            let length = line[at..].find(|letter| !is_word(letter)).unwrap_or(line.len() - at);
            let starts = !line[..at].ends_with(is_word);
            let word = &line[at..at + length];
            (starts && word.len() > prefix.len() && word.trim_start_matches('-').starts_with(char::is_alphabetic))
                .then_some((word, line))
        })
    })
}

/// Metrics in documents that the product does not have.
#[must_use]
pub fn metrics(tree: &Tree) -> Vec<String> {
    let sources = ["model/src/metric.rs", "server/src/metric_help.rs"];
    let known: String = sources.iter().filter_map(|path| tree.text(path)).collect();
    let mut wrong = Vec::new();
    for (document, text) in documents(tree) {
        for (name, _) in words(text, "pinion_") {
            let base = ["_bucket", "_sum", "_count", "_"].iter().find_map(|ending| name.strip_suffix(ending));
            if !known.contains(&format!("\"{name}\"")) && !base.is_some_and(|base| known.contains(&format!("\"{base}")))
            {
                wrong.push(format!("{document}: there is no metric {name}"));
            }
        }
    }
    wrong
}

/// Routes `METHOD /api/v1/…` in documents that the API does not serve. docs/COMPATIBILITY.md names others, too.
#[must_use]
pub fn routes(tree: &Tree) -> Vec<String> {
    let mut served = BTreeSet::new();
    for (_, file) in tree.rust().filter(|(path, _)| path.starts_with("admin-api/src/")) {
        let routes = file.text.split("utoipa::path(").skip(1);
        served.extend(routes.filter_map(|route| {
            let (method, rest) = route.split_once(", path = \"")?;
            Some(shape(method.trim(), rest.split('"').next()?))
        }));
    }
    let mut wrong = Vec::new();
    for (document, text) in documents(tree).filter(|(document, _)| *document != "docs/COMPATIBILITY.md") {
        for word in quoted(text) {
            let route = ["GET ", "POST ", "PUT ", "PATCH ", "DELETE "]
                .iter()
                .find_map(|method| Some((method, word.strip_prefix(method)?)));
            if let Some((method, path)) = route.filter(|(_, path)| path.starts_with("/api/v1/") && !path.contains('…'))
                && !served.contains(&shape(method.trim(), path.split('?').next().unwrap_or(path)))
            {
                wrong.push(format!("{document}: the API does not serve `{word}`"));
            }
        }
    }
    wrong
}

/// A route with `{}` for each parameter.
fn shape(method: &str, path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    format!("{} {}", method.to_uppercase(), parts.collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMS: &[Room] = &[Room { name: "a", modules: &["a"], holds: "all", avoids: &[] }];

    fn with(text: &str) -> Tree {
        Tree::of([
            ("README.md", text),
            ("docs/adr/0001.md", "`gone/src/a.rs` --gone pinion_gone `GET /api/v1/gone`"),
            ("docs/b.md", "[read me](../README.md)"),
            (
                "server/src/settings.rs",
                "#[arg(long, env = \"PINION_LISTEN\")]\npub(crate) listen: Option<u8>,\n\
              #[arg(long = \"ca-file\", env = \"PINION_CA_FILES\")]\nca_files: Option<u8>,\n",
            ),
            ("model/src/metric.rs", "pub const A: &str = \"pinion_attempts_total\";\n"),
            ("admin-api/src/app.rs", "#[utoipa::path(get, path = \"/api/v1/app/{app_id}\", tag = \"a\")]\n"),
        ])
    }

    #[test]
    fn another_table_of_rooms_is_seen() {
        let table = "| room | holds | and does not use |\n|---|---|---|\n| `a` | all |  |\n";
        let tree = |table: &str| Tree::of([(DOCUMENT, format!("# A\n{ROOMS_BEGIN}{table}{ROOMS_END}"))]);
        assert!(rooms(&tree(table), ROOMS).is_empty());
        assert_eq!(rooms(&tree("| `b` | all |  |\n"), ROOMS).len(), 1);
        assert_eq!(rooms(&with(""), ROOMS).len(), 1);
    }

    #[test]
    fn links_and_paths_to_nothing_are_seen() {
        assert!(paths(&with("[b](docs/b.md) `server/src/settings.rs` `a/*.rs`")).is_empty());
        let wrong = paths(&with("[c](docs/c.md) `server/src/gone.rs`"));
        assert_eq!(
            wrong,
            ["README.md: links to docs/c.md, which is not there", "README.md: `server/src/gone.rs` is not there"]
        );
    }

    #[test]
    fn modules_that_are_not_there_are_seen() {
        assert!(modules(&with("`server::settings` `settings::ca_files` `std::fs` `a::b c`")).is_empty());
        let wrong = modules(&with("`server::gone` `settings::gone` `Gone::listen`"));
        let expected = ["server::gone", "settings::gone", "Gone::listen"];
        assert_eq!(wrong, expected.map(|path| format!("README.md: there is no `{path}`")));
    }

    #[test]
    fn settings_that_are_not_declared_are_seen() {
        assert!(settings(&with("| `--ca-file FILE` | `PINION_CA_FILES` |\n`--listen` --release PINION_*")).is_empty());
        let wrong = settings(&with("`--listens` PINION_LISTENS\n| `--ca-file` | `PINION_LISTEN` |"));
        let expected = [
            "README.md: no command takes --listens",
            "README.md: the variable beside --ca-file is not its own",
            "README.md: nothing reads PINION_LISTENS",
        ];
        assert_eq!(wrong, expected);
    }

    #[test]
    fn metrics_and_routes_that_are_not_there_are_seen() {
        let fine = with("`pinion_attempts_total` pinion_attempts_ `GET /api/v1/app/{app}`");
        assert!(metrics(&fine).is_empty() && routes(&fine).is_empty());
        let wrong = with("`pinion_attempt_total` `PUT /api/v1/app/{app}`");
        assert_eq!(metrics(&wrong), ["README.md: there is no metric pinion_attempt_total"]);
        assert_eq!(routes(&wrong), ["README.md: the API does not serve `PUT /api/v1/app/{app}`"]);
    }
}
