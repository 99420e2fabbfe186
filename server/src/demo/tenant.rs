//! The tenant's side: creates the endpoints, pushes the events, asks for their outcome. All of it over HTTP.
//!
//! The traffic is paced to ten seconds of ordinary load. The load harness shows how much the engine can take.

use super::order::Place;
use super::receiver::{Book, Keys};
use super::scene::{ROLES, Role, amount, currency, event_type};
use super::signature;
use crate::api_client::Api;
use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use model::id::{IdKind, IdParts};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The application's uid.
const APP: &str = "demo-shop";

/// Pushing is spread over this.
const PUSH_FOR: Duration = Duration::from_secs(9);

/// Of each round of events, so many in one batch …
const BATCH_EVENTS: u32 = 50;
/// … and so many one by one.
const SINGLE_EVENTS: u32 = 20;

/// Requests at once.
const PUSHERS: usize = 4;

/// Time to wait when the API asks for it.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Dead letters of one page.
const PAGE: usize = 250;

/// A request to push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Push {
    /// The number of its first event.
    first: u32,
    /// Number of events; one is sent alone.
    events: u32,
}

/// Counts of an endpoint's deliveries, from the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    /// Delivered.
    pub(super) success: u64,
    /// Not settled yet.
    pub(super) open: u64,
    /// Given up.
    pub(super) fail: u64,
}

/// Creates the application and its endpoints, backups before those that name them; returns their signing keys.
///
/// # Errors
/// When the API refuses or answers nonsense.
pub(super) async fn set_the_scene(api: &Api, receiver: SocketAddr) -> anyhow::Result<Keys> {
    let app = json!({"name": "Demo shop", "uid": APP});
    api.call(Method::POST, "/api/v1/app", Some(&app)).await?;
    let mut keys = Keys::with_capacity(ROLES.len());
    for role in ROLES {
        for (name, body) in
            role.backup.zip(role.backup_to_json(receiver)).into_iter().chain([(role.name, role.to_json(receiver))])
        {
            api.call(Method::POST, &format!("/api/v1/app/{APP}/endpoint"), Some(&body)).await?;
            let answer = api.call(Method::GET, &endpoint_path(name, "/secret"), None).await?;
            let key = answer["key"].as_str().and_then(signature::key_of);
            keys.insert(name, key.with_context(|| format!("no signing secret for {name}"))?);
        }
    }
    Ok(keys)
}

/// Pushes `events` events, single and in batches, and enters each acknowledgement in the book.
///
/// # Errors
/// When a request fails for any other reason than that the engine is busy.
pub(super) async fn push(api: Api, book: Book, events: u32, started: Instant) -> anyhow::Result<()> {
    let pushes = plan(events);
    let pause = PUSH_FOR / u32::try_from(pushes.len().max(1)).unwrap_or(1);
    let mut pushers = tokio::task::JoinSet::new();
    for pusher in 0..PUSHERS {
        let (api, book, pushes) = (api.clone(), book.clone(), pushes.clone());
        pushers.spawn(async move {
            for (slot, push) in (0_u32..).zip(pushes).skip(pusher).step_by(PUSHERS) {
                tokio::time::sleep_until((started + pause * slot).into()).await;
                push.send(pusher, &api, &book).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = pushers.join_next().await {
        ended??;
    }
    Ok(())
}

/// Single events between batches, so that both ways of pushing run all the time.
fn plan(events: u32) -> Vec<Push> {
    let mut pushes = Vec::new();
    let mut next = 0;
    while next < events {
        let batch = BATCH_EVENTS.min(events - next);
        pushes.push(Push { first: next, events: batch });
        next += batch;
        for _ in 0..SINGLE_EVENTS.min(events - next) {
            pushes.push(Push { first: next, events: 1 });
            next += 1;
        }
    }
    pushes
}

fn message(number: u32) -> Value {
    json!({
        "eventType": event_type(number),
        "eventId": format!("demo-{number}"),
        "payload": {
            "number": number, "type": event_type(number), "amount": amount(number), "currency": currency(number),
        },
    })
}

// === impl Push ===

impl Push {
    async fn send(self, pusher: usize, api: &Api, book: &Book) -> anyhow::Result<()> {
        let numbers = self.first..self.first + self.events;
        let (path, body) = if self.events == 1 {
            (format!("/api/v1/app/{APP}/msg"), message(self.first))
        } else {
            (format!("/api/v1/app/{APP}/msg/batch"), numbers.clone().map(message).collect())
        };
        let answer = loop {
            match api.send(Method::POST, &path, Some(&body)).await? {
                (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) => {
                    book.open().refused_as_busy();
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                (status, answer) if status.is_success() => break answer,
                (status, answer) => bail!("pushing was answered {status}: {answer}"),
            }
        };
        let ids: Vec<&str> = match answer["data"].as_array() {
            Some(items) => items.iter().filter_map(|item| item["id"].as_str()).collect(),
            None => answer["id"].as_str().into_iter().collect(),
        };
        if ids.len() != self.events as usize {
            bail!("{} events were pushed, {} were accepted: {answer}", self.events, ids.len());
        }
        let mut book = book.open();
        for (number, id) in numbers.zip(ids) {
            let parts = IdParts::from_text(IdKind::Message, id).context("an id that is no message id")?;
            book.accept(id.to_owned(), Place { pusher, number }, parts.at.0);
        }
        Ok(())
    }
}

/// Asks the API for the counts of an endpoint.
///
/// # Errors
/// When the API refuses.
pub(super) async fn stats(api: &Api, role: &Role) -> anyhow::Result<Stats> {
    let answer = api.call(Method::GET, &endpoint_path(role.name, "/stats"), None).await?;
    let count = |field: &str| answer[field].as_u64().unwrap_or(0);
    Ok(Stats { success: count("success"), open: count("pending") + count("sending"), fail: count("fail") })
}

/// Counts the deliveries of an endpoint that were given up: a cheap question, for while it runs.
///
/// # Errors
/// When the API refuses.
pub(super) async fn given_up(api: &Api, role: &Role) -> anyhow::Result<u64> {
    let answer = api.call(Method::GET, &endpoint_path(role.name, "/state"), None).await?;
    answer["deadLetters"].as_u64().context("a state without a count of dead letters")
}

/// Enters an endpoint's dead letters in the book, as the API lists them.
///
/// # Errors
/// When the API refuses.
pub(super) async fn note_dead_letters(api: &Api, book: &Book, role_index: usize) -> anyhow::Result<()> {
    let path = endpoint_path(ROLES[role_index].name, "/dead-letter");
    let mut iterator: Option<String> = None;
    loop {
        let after = iterator.map(|iterator| format!("&iterator={iterator}")).unwrap_or_default();
        let page = api.call(Method::GET, &format!("{path}?limit={PAGE}{after}"), None).await?;
        let letters = page["data"].as_array().context("a list without data")?;
        for letter in letters {
            let id = letter["msgId"].as_str().context("a dead letter without a message")?;
            book.open().dead_letter(role_index, id.to_owned());
        }
        if page["done"].as_bool().unwrap_or(true) {
            return Ok(());
        }
        iterator = Some(page["iterator"].as_str().context("a list that is not done, without an iterator")?.to_owned());
    }
}

/// Puts an endpoint back in the place of its backup, by hand. Returns false while no switch to the backup was made.
///
/// # Errors
/// When the API refuses.
pub(super) async fn put_back(api: &Api, role: &Role) -> anyhow::Result<bool> {
    let path = endpoint_path(role.name, "/failover");
    let is_backup = api.call(Method::GET, &path, None).await?["active"] == "backup";
    if is_backup {
        api.call(Method::POST, &path, Some(&json!({"to": "primary"}))).await?;
    }
    Ok(is_backup)
}

/// The switches of an endpoint between itself and its backup, the first one first: the side, and who switched.
///
/// # Errors
/// When the API refuses.
pub(super) async fn switches(api: &Api, role: &Role) -> anyhow::Result<Vec<(String, String)>> {
    let answer = api.call(Method::GET, &endpoint_path(role.name, "/failover"), None).await?;
    let history = answer["history"].as_array().context("a failover without a history")?;
    let mut switches: Vec<_> =
        history.iter().map(|one| (text(&one["at"]), text(&one["to"]), text(&one["by"]))).collect();
    switches.sort();
    Ok(switches.into_iter().map(|(_, to, by)| (to, by)).collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn endpoint_path(name: &str, rest: &str) -> String {
    format!("/api/v1/app/{APP}/endpoint/{name}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_pushes_every_event_once_in_both_ways() {
        for events in [1, 49, 51, 100, 4_000] {
            let pushes = plan(events);
            let numbers: Vec<u32> = pushes.iter().flat_map(|push| push.first..push.first + push.events).collect();
            assert_eq!(numbers, (0..events).collect::<Vec<_>>());
        }
        let pushes = plan(4_000);
        assert!(pushes.iter().filter(|push| push.events == 1).count() > 1_000);
        assert!(pushes.iter().filter(|push| push.events == BATCH_EVENTS).count() > 50);
    }
}
