//! A page of a list as lines: NDJSON, or CSV by RFC 4180.
//!
//! A text cell of CSV that a spreadsheet would take for a formula is led by `'`. Nested values are cells of JSON. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// How an export looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// An item a line, as JSON.
    Ndjson,
    /// A line of columns, then an item a line.
    Csv,
}

/// The parts of a page that an export goes by.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(borrow)]
    pub(super) data: Vec<&'a RawValue>,
    pub(super) iterator: Option<String>,
    pub(super) done: bool,
}

impl Format {
    /// The format of a name in the query.
    pub(super) fn of_name(name: &str) -> Option<Format> {
        match name {
            "ndjson" => Some(Format::Ndjson),
            "csv" => Some(Format::Csv),
            _ => None,
        }
    }

    /// The format that an `Accept` asks for and JSON is not.
    pub(super) fn of_accept(accept: &str) -> Option<Format> {
        let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let mut known = kinds.filter_map(|kind| match kind {
            "application/x-ndjson" | "application/ndjson" => Some(Some(Format::Ndjson)),
            "text/csv" => Some(Some(Format::Csv)),
            "application/json" | "*/*" | "application/*" => Some(None),
            _ => None,
        });
        known.next().flatten()
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// The line before the first item.
    pub(super) fn head(self, columns: &[String]) -> String {
        match self {
            Format::Ndjson => String::new(),
            Format::Csv => {
                let mut line = String::new();
                columns.iter().for_each(|column| push_cell(column, &mut line));
                end_row(line)
            }
        }
    }

    /// One line for each item of a page.
    ///
    /// # Errors
    /// When an item is no object.
    pub(super) fn lines(self, items: &[&RawValue], columns: &[String]) -> Result<String, serde_json::Error> {
        let mut lines = String::new();
        for item in items {
            match self {
                // White space between tokens may be a line break, and none is within a text: there it is escaped.
                Format::Ndjson => {
                    lines.extend(item.get().chars().map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }))
                }
                Format::Csv => {
                    lines.push_str(&row(item, columns)?);
                    continue;
                }
            }
            lines.push('\n');
        }
        Ok(lines)
    }

    /// The last line of an export that ends before its list: the iterator that the next one goes on from.
    pub(super) fn goes_on(self, iterator: &str) -> String {
        match self {
            Format::Ndjson => serde_json::json!({"done": false, "iterator": iterator}).to_string() + "\n",
            Format::Csv => {
                let mut line = String::new();
                push_cell("#iterator", &mut line);
                push_cell(iterator, &mut line);
                end_row(line)
            }
        }
    }
}

fn row(item: &RawValue, columns: &[String]) -> Result<String, serde_json::Error> {
    let fields: HashMap<String, &RawValue> = serde_json::from_str(item.get())?;
    let mut line = String::new();
    for column in columns {
        match fields.get(column).map(|value| value.get()) {
            None | Some("null") => push_cell("", &mut line),
            Some(text) if text.starts_with('"') => push_cell(&guarded(serde_json::from_str(text)?), &mut line),
            // A number that is negative is no formula.
            Some(other) => push_cell(other, &mut line),
        }
    }
    Ok(end_row(line))
}

/// Text that no spreadsheet computes.
fn guarded(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

fn push_cell(text: &str, line: &mut String) {
    if text.contains(['"', ',', '\r', '\n']) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
    line.push(',');
}

/// Without the comma behind the last cell.
fn end_row(mut line: String) -> String {
    line.pop();
    line + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn lines(format: Format, page: &str, names: &[&str]) -> String {
        let page: Page<'_> = serde_json::from_str(page).unwrap();
        format.lines(&page.data, &columns(names)).unwrap()
    }

    #[test]
    fn an_item_of_ndjson_is_one_line_whatever_white_space_its_payload_has() {
        let page = "{\"data\":[{\"id\":\"a\",\"payload\":{\n\t\"n\": 1 }},{\"id\":\"b\\nc\"}],\"iterator\":null,\"done\":true}";
        let text = lines(Format::Ndjson, page, &[]);
        let read: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, [serde_json::json!({"id": "a", "payload": {"n": 1}}), serde_json::json!({"id": "b\nc"})]);
    }

    #[test]
    fn cells_of_csv_are_quoted_where_needed_and_formulas_are_guarded() {
        let page = r#"{"data":[{"id":"a,\"b\"","x":"=1+1","n":-5,"o":{"k":"v"},"none":null},{"id":"two\nlines","x":"@a"}],
            "iterator":"i","done":false}"#;
        let text = lines(Format::Csv, page, &["id", "x", "n", "o", "none"]);
        assert_eq!(text, "\"a,\"\"b\"\"\",'=1+1,-5,\"{\"\"k\"\":\"\"v\"\"}\",\r\n\"two\nlines\",'@a,,,\r\n");
        assert_eq!(Format::Csv.head(&columns(&["id", "x"])), "id,x\r\n");
        for start in ["=", "+", "-", "@", "\t", "\r"] {
            assert!(guarded(format!("{start}cmd")).starts_with('\''));
        }
        assert_eq!(guarded("plain".to_owned()), "plain");
    }

    #[test]
    fn an_export_that_ends_early_says_where_to_go_on() {
        let line: serde_json::Value = serde_json::from_str(Format::Ndjson.goes_on("i\"1").trim()).unwrap();
        assert_eq!(line, serde_json::json!({"done": false, "iterator": "i\"1"}));
        assert_eq!(Format::Csv.goes_on("i,1"), "#iterator,\"i,1\"\r\n");
    }

    #[test]
    fn the_first_kind_that_is_known_decides() {
        let table = [
            ("text/csv", Some(Format::Csv)),
            ("application/x-ndjson, application/json", Some(Format::Ndjson)),
            ("application/json, text/csv", None),
            ("text/html, text/csv;q=0.5", Some(Format::Csv)),
            ("*/*", None),
            ("", None),
        ];
        for (accept, expected) in table {
            assert_eq!(Format::of_accept(accept), expected, "{accept}");
        }
    }
}
