//! The order of delivery as a receiver sees it: a message first comes when every earlier one of its line is over.
//!
//! A message is over once it was answered 200. One that was given up without that is over once its last request came. After a
//! crash a message may come again, which is no inversion: only its first request counts.
//!
//! Messages that somebody asked for by hand are not checked: no order is promised for them. Scheduled messages are not
//! checked here either: their place depends on when the server put them in line, which a client does not see. The
//! simulation checks it.

use crate::harness::Client;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Digits of an id that hold the position, with two bits more.
const POSITION_DIGITS: usize = 10;

/// The position of a message in the log of its application: the low 48 bits of its id.
pub(crate) fn position(id: &str) -> u64 {
    let alphabet = b"0123456789abcdefghjkmnpqrstvwxyz";
    let digits = &id.as_bytes()[id.len() - POSITION_DIGITS..];
    let value = digits.iter().fold(0, |value, digit| {
        let digit = alphabet.iter().position(|letter| letter == digit).expect("an id is in base 32");
        value << 5 | digit as u64
    });
    value & ((1 << 48) - 1)
}

/// Checks the requests to one endpoint, in the order of arrival: each has an id and the status that it was answered.
///
/// `messages` are all that the endpoint is owed, each with the line that it stands in. Answers how many messages came
/// for the first time behind another one.
///
/// # Errors
/// A message came before an earlier one of its line was over.
pub(crate) fn check_order<'a>(
    messages: impl IntoIterator<Item = (&'a str, String)>,
    requests: impl IntoIterator<Item = (&'a str, u16)>,
    given_up: &HashSet<String>,
) -> Result<usize, String> {
    let mut lines: BTreeMap<String, BTreeMap<u64, &str>> = BTreeMap::new();
    for (id, line) in messages {
        lines.entry(line).or_default().insert(position(id), id);
    }
    let (mut first, mut over, mut last): (HashMap<_, _>, HashMap<_, _>, HashMap<_, _>) = Default::default();
    for (nth, (id, status)) in requests.into_iter().enumerate() {
        first.entry(id).or_insert(nth);
        if status == 200 {
            over.entry(id).or_insert(nth);
        } else if given_up.contains(id) {
            last.insert(id, nth);
        }
    }
    // A crash may bring one back that was answered 200, and then it is given up: the successor that came between is none too
    // early.
    for (id, nth) in last {
        over.entry(id).or_insert(nth);
    }
    let mut behind = 0;
    for (line, messages) in lines {
        // The end that was the last one so far.
        let mut latest: Option<(usize, &str)> = None;
        for id in messages.into_values() {
            if let (Some(first), Some((over, earlier))) = (first.get(id), latest) {
                if over >= *first {
                    return Err(format!("{id} of {line} came as request {first}, and {earlier} was over at {over}"));
                }
                behind += 1;
            }
            let end = over.get(id).copied().unwrap_or(usize::MAX);
            latest = latest.max(Some((end, id)));
        }
    }
    Ok(behind)
}

/// Ids of the messages that were given up at an endpoint; none if it is not there.
pub(crate) fn given_up(client: &Client, app: &str, endpoint: &str) -> HashSet<String> {
    let mut ids = HashSet::new();
    let mut iterator = String::new();
    loop {
        let path = format!("/api/v1/app/{app}/endpoint/{endpoint}/dead-letter?limit=250{iterator}");
        let (status, page) = client.json("GET", &path, Value::Null);
        if status == 404 {
            return ids;
        }
        assert_eq!(status, 200, "{page}");
        let items = page["data"].as_array().expect("a list");
        ids.extend(items.iter().map(|item| item["msgId"].as_str().expect("an id").to_owned()));
        let Some(next) = page["iterator"].as_str().filter(|_| page["done"] == false) else { return ids };
        iterator = format!("&iterator={next}");
    }
}

#[test]
fn a_repeat_is_no_inversion_and_one_that_comes_early_is() {
    let id = |last: char| format!("msg_000000000000000000000000{last}0");
    let (one, two) = (id('1'), id('2'));
    assert_eq!(position(&two), 64);
    let messages = || [(one.as_str(), "line".to_owned()), (two.as_str(), "line".to_owned())];
    let (one, two) = (one.as_str(), two.as_str());
    let behind = |requests: &[(&'static str, u16)], given_up: &[&str]| {
        let requests = requests.iter().map(|(which, status)| (if *which == "one" { one } else { two }, *status));
        check_order(messages(), requests, &given_up.iter().map(ToString::to_string).collect()).ok()
    };
    assert_eq!(behind(&[("one", 500), ("one", 200), ("two", 200), ("one", 200), ("two", 200)], &[]), Some(1));
    assert_eq!(behind(&[("one", 500), ("two", 200), ("one", 200)], &[]), None);
    assert_eq!(behind(&[("two", 200)], &[]), None, "the first never came");
    assert_eq!(behind(&[("one", 500), ("one", 500), ("two", 200)], &[one]), Some(1));
    assert_eq!(behind(&[("one", 500), ("two", 200), ("one", 500)], &[one]), None);
    assert_eq!(behind(&[("one", 200), ("two", 200), ("one", 500)], &[one]), Some(1), "it came back and was given up");
}
