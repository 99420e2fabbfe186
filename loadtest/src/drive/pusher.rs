//! Pushes events: one task per connection, all on one thread.
//!
//! A request is copied from a template into the connection's buffer. Refused as busy, it is sent again after a pause,
//! its intended time unchanged. A connection that breaks leaves its events unanswered (they may arrive or not) and is
//! opened again. Lost requests are not repeated: the ledger shows their fate.

use super::pace::{Pace, Pacer};
use super::payload::Template;
use super::streams::Streams;
use crate::ledger::Ledger;
use crate::measure::{Clock, Recorder};
use crate::system::{Access, app_uid};
use crate::wire::Connection;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The pause when the API asks for one.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Between two tries to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// The events to push and their purpose.
#[derive(Debug)]
pub(crate) struct Push {
    /// The run's clock.
    pub(crate) clock: Clock,
    /// The ledger that gives numbers and takes acknowledgements.
    pub(crate) ledger: Arc<Ledger>,
    /// Takes the latencies of acknowledgements.
    pub(crate) recorder: Arc<Recorder>,
    /// The recorder's lane of the pushing thread.
    pub(crate) lane: usize,
    /// Which application an event is for.
    pub(crate) streams: Arc<Streams>,
    /// The server.
    pub(crate) access: Access,
    /// The run's name, which applications' uids begin with.
    pub(crate) run: String,
    /// The body.
    pub(crate) template: Template,
    /// Events of one request; `None`: single events, not a batch of one.
    pub(crate) batch: Option<u32>,
    /// Connections.
    pub(crate) connections: u32,
    /// True when connections may break, as the process is being killed.
    pub(crate) may_break: bool,
}

/// Failures beside acknowledgements.
#[derive(Debug, Default)]
pub(crate) struct Mishaps {
    /// Requests refused as busy and sent again.
    pub(crate) busy: AtomicU64,
    /// Requests whose connection broke.
    pub(crate) broken: AtomicU64,
    /// The first that must not happen.
    fatal: Mutex<Option<anyhow::Error>>,
}

/// Pushing that is under way.
#[derive(Debug)]
pub(crate) struct Pushing {
    pacer: Arc<Pacer>,
    mishaps: Arc<Mishaps>,
    threads: Vec<JoinHandle<()>>,
}

impl Pushing {
    /// Begins.
    ///
    /// # Errors
    /// When there are no threads.
    pub(crate) fn start(push: Arc<Push>, pace: Pace) -> anyhow::Result<Pushing> {
        let pacer = Pacer::new(pace, push.clock);
        let mishaps = Arc::new(Mishaps::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (pacer_here, mishaps_here) = (Arc::clone(&pacer), Arc::clone(&mishaps));
        let pusher = std::thread::Builder::new().name("push".to_owned()).spawn(move || {
            runtime.block_on(push_all(push, pacer_here, mishaps_here));
        })?;
        let mut pushing = Pushing { pacer: Arc::clone(&pacer), mishaps, threads: vec![pusher] };
        if matches!(pace, Pace::Open { .. }) {
            let releaser = std::thread::Builder::new().name("pace".to_owned()).spawn(move || pacer.release())?;
            pushing.threads.push(releaser);
        }
        Ok(pushing)
    }

    /// True when everything was sent (`Pace::Count`), or something fatal happened.
    pub(crate) fn is_over(&self) -> bool {
        self.threads.first().is_none_or(JoinHandle::is_finished)
    }

    /// Requests refused as busy and sent again, requests whose connection broke.
    pub(crate) fn mishaps(&self) -> (u64, u64) {
        (self.mishaps.busy.load(Relaxed), self.mishaps.broken.load(Relaxed))
    }

    /// Ends it and waits for the answers under way.
    ///
    /// # Errors
    /// When something happened that must not.
    pub(crate) fn stop(mut self) -> anyhow::Result<(u64, u64)> {
        self.end();
        let fatal = self.mishaps.fatal.lock().unwrap_or_else(PoisonError::into_inner).take();
        fatal.map_or_else(|| Ok(self.mishaps()), Err)
    }

    fn end(&mut self) {
        self.pacer.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            drop(thread.join());
        }
    }
}

impl Drop for Pushing {
    fn drop(&mut self) {
        self.end();
    }
}

async fn push_all(push: Arc<Push>, pacer: Arc<Pacer>, mishaps: Arc<Mishaps>) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..push.connections {
        let (push, pacer, mishaps) = (Arc::clone(&push), Arc::clone(&pacer), Arc::clone(&mishaps));
        tasks.spawn(async move {
            if let Err(error) = push.run(&pacer, &mishaps).await {
                pacer.stop();
                mishaps.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

impl Push {
    /// One connection's work.
    async fn run(&self, pacer: &Pacer, mishaps: &Mishaps) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.access.address).await?;
        let mut request = Vec::new();
        let events = self.batch.unwrap_or(1);
        while let Some(intended_us) = pacer.next(&self.ledger, events).await {
            let numbers = self.ledger.claim(events).context("more events than the ledger can hold")?;
            let time_of = |number| self.template.due_us(number).unwrap_or(intended_us);
            numbers.clone().for_each(|number| self.ledger.intend(number, time_of(number)));
            self.write_request(numbers.clone(), &mut request);
            if let Err(error) = self.send(&mut connection, &request, numbers, intended_us, mishaps).await {
                if error.is::<Refused>() || !self.may_break {
                    return Err(error);
                }
                mishaps.broken.fetch_add(1, Relaxed);
                // It is not known if those arrive; on with the next.
                let Some(again) = self.reconnect(pacer).await else { return Ok(()) };
                connection = again;
            }
        }
        Ok(())
    }

    async fn reconnect(&self, pacer: &Pacer) -> Option<Connection> {
        while !pacer.is_stopped() {
            tokio::time::sleep(CONNECT_PAUSE).await;
            if let Ok(connection) = Connection::open(self.access.address).await {
                return Some(connection);
            }
        }
        None
    }

    /// Sends until it is no longer refused as busy.
    async fn send(
        &self,
        connection: &mut Connection,
        request: &[u8],
        numbers: Range<u64>,
        intended_us: u64,
        mishaps: &Mishaps,
    ) -> anyhow::Result<()> {
        loop {
            let reply = connection.exchange(request).await?;
            match reply.status {
                202 => {
                    let at_us = self.clock.now_us();
                    self.recorder.acked(self.lane, at_us.saturating_sub(intended_us));
                    return self.acknowledge(numbers, reply.body, at_us);
                }
                429 | 503 => {
                    mishaps.busy.fetch_add(1, Relaxed);
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                status => {
                    let body = String::from_utf8_lossy(reply.body).into_owned();
                    return Err(anyhow::Error::from(Refused))
                        .with_context(|| format!("pushing was answered {status}: {body}"));
                }
            }
        }
    }

    fn acknowledge(&self, numbers: Range<u64>, body: &[u8], at_us: u64) -> anyhow::Result<()> {
        if self.batch.is_none() {
            let id = message_id(body).context("an acknowledgement without an id")?;
            self.ledger.note_id(numbers.start, id);
        }
        if self.batch.is_none() || is_all_accepted(body) {
            numbers.for_each(|number| self.ledger.ack(number, at_us));
            return Ok(());
        }
        let answer: Value = serde_json::from_slice(body)?;
        let items = answer["data"].as_array().context("the answer to a batch without results")?;
        for (number, item) in numbers.zip(items) {
            match item["status"].as_u64() {
                Some(202) => self.ledger.ack(number, at_us),
                Some(429 | 503) => {}
                _ => bail!("an event of a batch was answered {item}"),
            }
        }
        Ok(())
    }

    fn write_request(&self, numbers: Range<u64>, request: &mut Vec<u8>) {
        let count = usize::try_from(numbers.end - numbers.start).unwrap_or_default();
        let uid = app_uid(&self.run, self.streams.of(numbers.start));
        let what = if self.batch.is_some() { "/batch" } else { "" };
        let (Access { address, key }, len) = (&self.access, self.template.body_len(count, self.batch.is_some()));
        request.clear();
        let head = format!(
            "POST /api/v1/app/{uid}/msg{what} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {len}\r\n\r\n"
        );
        request.extend_from_slice(head.as_bytes());
        self.template.write(numbers, self.batch.is_some(), &self.streams, request);
    }
}

/// The id in the answer to a single event. Taken from the text: the answer is the engine's own and repeats the payload.
fn message_id(body: &[u8]) -> Option<&[u8]> {
    const BEFORE: &[u8] = b"\"id\":\"";
    let start = body.windows(BEFORE.len()).position(|part| part == BEFORE)? + BEFORE.len();
    let len = body[start..].iter().position(|byte| *byte == b'"')?;
    Some(&body[start..start + len])
}

/// True when the answer to a batch says that none was refused; its counts come first.
fn is_all_accepted(body: &[u8]) -> bool {
    let start = &body[..body.len().min(64)];
    start.windows(13).any(|part| part == b"\"rejected\":0,")
}

/// Marks an error that another connection would not help against.
#[derive(Debug)]
struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_an_answer() {
        assert_eq!(message_id(br#"{"id":"msg_1","eventType":"a"}"#), Some(&b"msg_1"[..]));
        assert_eq!(message_id(br#"{"eventId":"msg_1"}"#), None);
    }

    #[test]
    fn a_batch_is_accepted_when_none_was_refused() {
        assert!(is_all_accepted(br#"{"accepted":10,"rejected":0,"data":[]}"#));
        assert!(!is_all_accepted(br#"{"accepted":0,"rejected":10,"data":[]}"#));
        assert!(!is_all_accepted(b"{}"));
    }
}
