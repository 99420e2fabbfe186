//! Every list in every body and query, as long as a legal request can make it. The time to answer grows with the list's
//! size and no faster, whatever the answer is. The lists are found in the OpenAPI document, so that a new one is tested
//! too.

use crate::harness::{Client, Server};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Entries of the shorter list; the longer one has four times as many and stays within a body of 1 MiB.
const ENTRIES: usize = 15_000;

/// Bytes of the shorter list in a query; the longer one stays within a request target of 8 KiB.
const QUERY_BYTES: usize = 1_700;

/// Greatest factor in time for a list that is four times as long: linear time gives 4, quadratic time 16.
const RATIO_MAX: u32 = 8;

/// Less than this is noise of the machine and not of the list.
const FLOOR: Duration = Duration::from_millis(60);

/// No answer takes longer, in a debug build on a machine that does something else too.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Makes the request's path and body for a list that is so many times as long.
type Request = Box<dyn Fn(usize) -> (String, Option<Vec<u8>>)>;

/// A request with a list of some length.
struct Case {
    name: String,
    method: String,
    path: String,
    make: Request,
}

#[test]
fn every_list_in_a_body_or_a_query_is_answered_in_time_that_grows_with_it_and_no_faster() {
    let server = Server::start(&[]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "acme", "uid": "acme"}));
    let endpoint = json!({"url": "http://127.0.0.1:9/", "uid": "one", "disabled": true});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    let (status, document) = server.api("GET", "/api/v1/openapi.json", Value::Null);
    assert_eq!(status, 200);
    let cases = cases(&document);
    let has = |name: &str| cases.iter().any(|case| case.name.contains(name));
    for known in ["channels", "eventTypes", "deleteHeaders", "headers", "delaysMs", "metadata", "event_types"] {
        assert!(has(known), "no case for {known}: {:?}", cases.iter().map(|case| &case.name).collect::<Vec<_>>());
    }
    let (client, mut slowest) = (server.client(), Vec::new());
    for case in &cases {
        let (few, _) = answer(&client, case, 1);
        let (many, status) = answer(&client, case, 4);
        assert!((200..500).contains(&status), "{}: {status}", case.name);
        assert!(many <= few.max(FLOOR) * RATIO_MAX, "{}: {few:?}, four times as long {many:?}", case.name);
        assert!(many <= ANSWER_MAX, "{}: {many:?} (status {status})", case.name);
        slowest.push((many, &case.name));
    }
    slowest.sort_unstable();
    eprintln!("{} lists; the slowest answers: {:#?}", cases.len(), &slowest[slowest.len().saturating_sub(5)..]);
}

/// The shortest of two times, and the status.
fn answer(client: &Client, case: &Case, times: usize) -> (Duration, u16) {
    let (path, body) = (case.make)(times);
    let ask = || {
        let started = Instant::now();
        let answer = client.send(&case.method, &path, &[], body.as_deref());
        let answer = answer.unwrap_or_else(|error| panic!("{} {}: {error}", case.name, case.path));
        (started.elapsed(), answer.status)
    };
    ask().min(ask())
}

fn cases(document: &Value) -> Vec<Case> {
    let mut cases = Vec::new();
    for (template, item) in document["paths"].as_object().expect("paths") {
        let path = template
            .replace("{app_id}", "acme")
            .replace("{endpoint_id}", "one")
            .replace("{msg_id}", "none")
            .replace("{attempt_id}", "none");
        for (method, operation) in
            item.as_object().expect("operations").iter().filter(|(method, _)| *method != "delete")
        {
            let method = method.to_uppercase();
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            body_cases(document, body, &method, &path, &mut cases);
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter["in"] == "query" {
                    let name = parameter["name"].as_str().expect("a name").to_owned();
                    cases.extend(query_cases(&method, &path, &name));
                }
            }
        }
    }
    cases
}

/// As one value with commas, and as one value after the other; and as many parameters that nobody knows.
fn query_cases(method: &str, path: &str, name: &str) -> Vec<Case> {
    let joined = {
        let (path, name) = (path.to_owned(), name.to_owned());
        move |times: usize| {
            let values: Vec<String> = (0..times * QUERY_BYTES / 5).map(|number| format!("{number:04}")).collect();
            (format!("{path}?{name}={}", values.join(",")), None)
        }
    };
    let repeated = {
        let (path, name) = (path.to_owned(), name.to_owned());
        move |times: usize| {
            let count = times * QUERY_BYTES / (name.len() + 6);
            let values: Vec<String> = (0..count).map(|number| format!("{name}={number:04}")).collect();
            (format!("{path}?{}", values.join("&")), None)
        }
    };
    let unknown = {
        let path = path.to_owned();
        move |times: usize| {
            let values: Vec<String> = (0..times * QUERY_BYTES / 5).map(|number| format!("{number:04}")).collect();
            (format!("{path}?{}", values.join("&")), None)
        }
    };
    let case = |name: String, make| Case { name, method: method.to_owned(), path: path.to_owned(), make };
    vec![
        case(format!("{method} {path} ?{name} joined"), Box::new(joined)),
        case(format!("{method} {path} ?{name} repeated"), Box::new(repeated)),
        case(format!("{method} {path} ? unknown"), Box::new(unknown)),
    ]
}

fn body_cases(document: &Value, schema: &Value, method: &str, path: &str, cases: &mut Vec<Case>) {
    let Some(schema) = resolved(document, schema) else { return };
    if schema["type"] == "array" {
        let item = sample(document, &schema["items"]);
        let (path, name) = (path.to_owned(), format!("{method} {path} the list itself"));
        let make = {
            let path = path.clone();
            move |times: usize| {
                let entries = vec![item.clone(); times * ENTRIES / 4];
                (path.clone(), Some(Value::Array(entries).to_string().into_bytes()))
            }
        };
        cases.push(Case { name, method: method.to_owned(), path, make: Box::new(make) });
        return;
    }
    let whole = sample(document, schema);
    lists_in(document, schema, &mut Vec::new(), &mut |field, is_map| {
        let (whole, pointer) = (whole.clone(), field.to_vec());
        let target = path.to_owned();
        let make = move |times: usize| {
            let mut body = whole.clone();
            put(
                &mut body,
                &pointer,
                entries(times * ENTRIES, is_map, pointer.last().is_some_and(|name| name.ends_with("Ms"))),
            );
            (target.clone(), Some(body.to_string().into_bytes()))
        };
        let name = format!("{method} {path} {}", field.join("."));
        cases.push(Case { name, method: method.to_owned(), path: path.to_owned(), make: Box::new(make) });
    });
}

/// Entries of a list or of a map, each of its own.
fn entries(count: usize, is_map: bool, are_numbers: bool) -> Value {
    let texts = (0..count).map(|number| format!("n{number}"));
    match (is_map, are_numbers) {
        (true, _) => Value::Object(texts.map(|text| (text, json!("v"))).collect()),
        (false, true) => (1..=count).collect(),
        (false, false) => texts.collect(),
    }
}

/// Sets a field below others, which are made where there are none.
fn put(body: &mut Value, pointer: &[String], value: Value) {
    let Some((first, rest)) = pointer.split_first() else {
        *body = value;
        return;
    };
    if !body.is_object() {
        *body = json!({});
    }
    put(&mut body[first], rest, value);
}

/// Finds the fields of a schema that are lists or maps, those of its fields too.
fn lists_in(document: &Value, schema: &Value, at: &mut Vec<String>, found: &mut impl FnMut(&[String], bool)) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let Some(field) = resolved(document, field) else { continue };
        at.push(name.clone());
        // `false` says that there are no other fields.
        let is_map = field.get("additionalProperties").is_some_and(|more| *more != false)
            || is(field, "object") && field.get("properties").is_none();
        if is(field, "array") || is_map {
            found(at, is_map);
        } else if at.len() < 4 {
            lists_in(document, field, at, found);
        }
        at.pop();
    }
}

fn is(schema: &Value, kind: &str) -> bool {
    schema["type"] == kind || schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|known| known == kind))
}

/// A schema without references, and without the choice of null.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> Option<&'a Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolved(document, document.pointer(reference.trim_start_matches('#'))?);
    }
    let choices = ["oneOf", "anyOf", "allOf"].iter().find_map(|key| schema[*key].as_array());
    match choices {
        Some(choices) => resolved(document, choices.iter().find(|choice| !is(choice, "null"))?),
        None => schema.is_object().then_some(schema),
    }
}

/// A value with the fields that the schema requires.
fn sample(document: &Value, schema: &Value) -> Value {
    let Some(schema) = resolved(document, schema) else { return Value::Null };
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if is(schema, "object") {
        let field = |name: &&str| (name.to_string(), sample(document, &schema["properties"][*name]));
        return Value::Object(required.iter().map(field).collect::<Map<String, Value>>());
    }
    match () {
        () if schema["format"] == "date-time" => json!("2020-01-01T00:00:00Z"),
        () if is(schema, "integer") || is(schema, "number") => json!(1),
        () if is(schema, "boolean") => json!(true),
        () if is(schema, "array") => json!([]),
        () => json!("http://127.0.0.1:9/"),
    }
}
