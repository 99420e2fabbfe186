//! The tables of docs/COMPATIBILITY.md, the fields that clients send, and the OpenAPI document say the same.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The fields of the published contract, and those that the official clients send.
const SVIX_FIELDS: &str = include_str!("svix_fields.txt");

/// Our tables of these fields.
const TABLES: &str = include_str!("../../../docs/COMPATIBILITY.md");

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// Parameters and body fields by operation; a parameter is led by `?`.
type Names = BTreeMap<String, BTreeSet<String>>;

fn sent_by_clients() -> Names {
    let lines = SVIX_FIELDS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let [operation, query, body] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
            let words = |text: &str| text.split(' ').filter(|word| *word != "-").map(str::to_owned).collect::<Vec<_>>();
            let query = words(query).into_iter().map(|name| format!("?{name}"));
            (operation.to_owned(), query.chain(words(body)).collect())
        })
        .collect()
}

/// The rows of the tables by operation, each as the texts between back quotes in its cells.
fn rows() -> BTreeMap<String, Vec<BTreeSet<String>>> {
    let mut rows = BTreeMap::new();
    for line in TABLES.lines().filter(|line| line.starts_with("| `")) {
        let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let operation = quoted(cells[0]).into_iter().next().unwrap();
        if METHODS.iter().any(|method| operation.starts_with(&format!("{method} /"))) {
            let cells = cells[1..].iter().map(|cell| quoted(cell)).collect();
            assert!(rows.insert(operation.clone(), cells).is_none(), "{operation} is there twice");
        }
    }
    rows
}

/// The names that we serve by operation, each with its description.
fn served() -> BTreeMap<String, BTreeMap<String, String>> {
    let document: Value = serde_json::from_str(&admin_api::openapi_json()).unwrap();
    let text = |value: &Value| value["description"].as_str().unwrap_or_default().to_owned();
    let mut served = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let mut names: BTreeMap<String, String> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| (format!("?{}", parameter["name"].as_str().unwrap()), text(parameter)))
                .collect();
            let reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
            if let Some(name) = reference.and_then(|reference| reference.rsplit('/').next()) {
                let properties = document["components"]["schemas"][name]["properties"].as_object().unwrap();
                names.extend(properties.iter().map(|(name, schema)| (name.clone(), text(schema))));
            }
            served.insert(format!("{} {path}", method.to_uppercase()), names);
        }
    }
    served
}

#[test]
fn every_operation_of_clients_and_of_ours_is_in_a_table() {
    let (rows, sent, served) = (rows(), sent_by_clients(), served());
    assert!(sent.len() > 50 && served.len() > 50);
    let known: BTreeSet<&String> = sent.keys().chain(served.keys()).collect();
    assert_eq!(known, rows.keys().collect(), "operations, and rows of the tables");
    for (operation, cells) in &rows {
        let (columns, is_served) = (cells.len(), served.contains_key(operation));
        let expected = match (sent.contains_key(operation), is_served) {
            (true, true) => 3,
            (true, false) => 1,
            (false, _) => 0,
        };
        assert_eq!(columns, expected, "{operation} is in the wrong table (served: {is_served})");
    }
}

#[test]
fn every_field_of_clients_is_honoured_or_refused_as_the_table_says() {
    let (rows, served) = (rows(), served());
    for (operation, names) in sent_by_clients() {
        let (Some(ours), [honoured, refused, _]) = (served.get(&operation), rows[&operation].as_slice()) else {
            assert!(!served.contains_key(&operation), "{operation}");
            continue;
        };
        assert!(honoured.is_disjoint(refused), "{operation}");
        assert_eq!(honoured.union(refused).cloned().collect::<BTreeSet<_>>(), names, "{operation}");
        for name in honoured {
            let text = ours.get(name).unwrap_or_else(|| panic!("{operation}: {name} is not described"));
            assert!(!text.starts_with("Not supported"), "{operation}: {name} is refused");
        }
        // A name without a description is refused as not known.
        for text in refused.iter().filter_map(|name| ours.get(name)) {
            assert!(text.starts_with("Not supported"), "{operation}: {text}");
        }
    }
}

/// A field that is not described must be refused: the schema of each body says that it takes nothing else.
#[test]
fn every_body_is_closed() {
    let document: Value = serde_json::from_str(&admin_api::openapi_json()).unwrap();
    let mut bodies = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
                bodies += 1;
                assert_eq!(document["components"]["schemas"][name]["additionalProperties"], false, "{path}: {name}");
            }
        }
    }
    assert!(bodies >= 15, "{bodies}");
}
