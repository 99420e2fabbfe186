//! As much of Rust's grammar as the rules need: comments and literals, items under `#[cfg(test)]`, functions and paths.

/// Words that an item begins with. Before a comma such a word says that the comma does not end the item.
const ITEMS: [&str; 14] = [
    "pub", "fn", "mod", "use", "impl", "struct", "enum", "const", "static", "trait", "type", "async", "unsafe",
    "extern",
];

/// True when `byte` may be part of a name.
#[must_use]
pub fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The line of the byte `at`, from 1.
#[must_use]
pub fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// `text` with spaces for all that is in comments and literals. Line ends stay, and every other byte stays in its
/// place.
#[must_use]
pub fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The end of the comment or literal that begins at `at`; `at` itself when none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let starts_word = at == 0 || !is_name(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + quoted(rest, b'"'),
        [b'\'', b'\\', ..] => at + quoted(rest, b'\''),
        // Of `'a'` and the lifetime `'a`, only the first has a quote behind its one character.
        [b'\'', first, ..] => {
            let width = 1 + usize::from(*first >= 0xc0) + usize::from(*first >= 0xe0) + usize::from(*first >= 0xf0);
            if rest.get(1 + width) == Some(&b'\'') { at + width + 2 } else { at }
        }
        [b'r', b'"' | b'#', ..] if starts_word => at + raw(rest, 1),
        [b'b', b'r', b'"' | b'#', ..] if starts_word => at + raw(rest, 2),
        _ => at,
    }
}

/// The length of a block comment, which may hold others.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

/// The length of a literal between two `quote`s, in which a backslash protects the byte behind it.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The length of a raw string whose hashes begin at `prefix`; 0 for a raw name such as `r#type`.
fn raw(rest: &[u8], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return 0;
    }
    let mut closing = vec![b'"'];
    closing.resize(1 + hashes, b'#');
    let body = prefix + hashes + 1;
    let end = rest[body..].windows(closing.len()).position(|window| window == closing);
    end.map_or(rest.len(), |end| body + end + closing.len())
}

/// `code` with spaces for every item under `#[cfg(test)]`, and the names of the modules declared so.
#[must_use]
pub fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut out, mut modules, mut from) = (code.as_bytes().to_vec(), Vec::new(), 0);
    while let Some(found) = code[from..].find(MARK) {
        let start = from + found;
        let end = item_end(code, start + MARK.len());
        let item = code[start..end].trim_end_matches(';');
        if let Some((_, name)) = item.rsplit_once("mod ")
            && name.bytes().all(is_name)
        {
            modules.push(name.to_owned());
        }
        for byte in &mut out[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        from = end;
    }
    (String::from_utf8_lossy(&out).into_owned(), modules)
}

/// The end of the item, statement, field or arm that begins at `start`, attributes included.
fn item_end(code: &str, start: usize) -> usize {
    let rest = code[start..].trim_start();
    let begin = code.len() - rest.len();
    if rest.starts_with("#[") {
        return item_end(code, closing(code, begin + 1) + 1);
    }
    let word = rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    let is_item = ITEMS.contains(&word);
    let bytes = code.as_bytes();
    let mut at = begin;
    while at < bytes.len() {
        match bytes[at] {
            b'(' | b'[' => at = closing(code, at),
            b'{' => return closing(code, at) + 1,
            b';' => return at + 1,
            b',' | b'}' if !is_item => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The place of the bracket that closes the one at `open`; the last byte when none does.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.as_bytes()[open..].iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return open + offset;
        }
    }
    code.len().saturating_sub(1)
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// The line of its `fn`, from 1.
    pub line: usize,
    /// Lines from its `fn` to the end of its body.
    pub lines: usize,
}

/// The functions of `code`.
#[must_use]
pub fn functions(code: &str) -> Vec<Function<'_>> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        if start > 0 && is_name(bytes[start - 1]) {
            continue;
        }
        let name = name_at(code, start + 3);
        let end = item_end(code, start);
        // A body ends with a brace, a declaration with a semicolon.
        if !name.is_empty() && bytes.get(end.wrapping_sub(1)) == Some(&b'}') {
            let lines = 1 + code[start..end].matches('\n').count();
            found.push(Function { name, line: line(code, start), lines });
        }
    }
    found
}

fn name_at(code: &str, at: usize) -> &str {
    let length = code.as_bytes()[at..].iter().take_while(|byte| is_name(**byte)).count();
    &code[at..at + length]
}

/// Every path in `code` that begins with one of `roots` (such as `crate` or a crate's name), with its place. A group is
/// taken apart: `a::{b, c::d}` is `a::b` and `a::c::d`.
#[must_use]
pub fn paths<'a>(code: &'a str, roots: &[&str]) -> Vec<(usize, Vec<&'a str>)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let name = name_at(code, at);
        if name.is_empty() {
            at += 1;
            continue;
        }
        // `a::model::b` began at `a`; `::model::b` begins here.
        let before = code[..at].strip_suffix("::");
        let begins = before.is_none_or(|before| !before.ends_with(|last: char| last == '>' || is_name(last as u8)));
        if begins && roots.contains(&name) && code[at + name.len()..].starts_with("::") {
            parts(code, at, &mut Vec::new(), &mut found);
        }
        at += name.len();
    }
    found
}

/// Adds the paths that continue `prefix` at `at`; gives the place behind them.
fn parts<'a>(code: &'a str, at: usize, prefix: &mut Vec<&'a str>, found: &mut Vec<(usize, Vec<&'a str>)>) -> usize {
    let bytes = code.as_bytes();
    if bytes.get(at) == Some(&b'{') {
        let end = closing(code, at);
        let mut next = at + 1;
        while next < end {
            if !is_name(bytes[next]) {
                next += 1;
                continue;
            }
            next = parts(code, next, prefix, found);
            // Over a new name, as in `a as b`.
            next += bytes[next..end].iter().position(|byte| *byte == b',').unwrap_or(end - next.min(end));
        }
        return end + 1;
    }
    let name = name_at(code, at);
    if name.is_empty() {
        found.push((at, prefix.clone()));
        return at;
    }
    prefix.push(name);
    let mut end = at + name.len();
    if code[end..].starts_with("::") {
        end = parts(code, end + 2, prefix, found);
    } else {
        found.push((at, prefix.clone()));
    }
    prefix.pop();
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_in_place() {
        let text = r##"a /* b /* c */ d */ "e\"f" 'g' '\'' h::<'i> r#"j"k"# r#type b"l" 'é' m // n"##;
        let code = code(text);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "h::<'i>", "r#type", "b", "m"]);
        assert_eq!(code.len(), text.len());
    }

    #[test]
    fn items_under_cfg_test_are_no_product() {
        let text = "use a;\n#[cfg(test)]\nuse b::{c, d};\n#[cfg(test)]\n#[allow(x)]\npub(crate) mod e;\nfn f() {}\n\
                    #[cfg(test)]\nfn g<H, I>() {\n    h()\n}\nstruct J { #[cfg(test)] k: K, l: L }\n";
        let (product, modules) = without_tests(text);
        assert_eq!(modules, ["e"]);
        let rest: Vec<&str> = product.split_whitespace().collect();
        assert_eq!(rest.join(" "), "use a; ; fn f() {} struct J { , l: L }");
    }

    #[test]
    fn functions_are_measured_from_fn_to_the_last_brace() {
        let text = "trait A {\n    fn b();\n    fn c(d: [u8; 2])\n    {\n        e(|| {});\n    }\n}\n";
        assert_eq!(functions(text), [Function { name: "c", line: 3, lines: 4 }]);
    }

    #[test]
    fn groups_are_taken_apart() {
        let text =
            "use crate::{a, b::{c, d as e}}; fn f() { x::crate::y(); crate::g::h::<crate::i::J>() } use other::k;";
        let paths: Vec<String> = paths(text, &["crate"]).into_iter().map(|(_, path)| path.join("::")).collect();
        assert_eq!(paths, ["crate::a", "crate::b::c", "crate::b::d", "crate::g::h", "crate::i::J"]);
    }
}
