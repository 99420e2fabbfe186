//! Attempts over HTTP: one pool of connections, one deadline per attempt, one bounded answer.
//!
//! What counts as delivered, where it is not obvious:
//!
//! | the receiver | outcome |
//! |---|---|
//! | answers 2xx, then more body than is read | delivered: it decided; the connection is closed instead of drained |
//! | answers 2xx, then stalls or drips past the deadline | timeout: it has not finished answering |
//! | answers 2xx, then breaks off inside the body | transport error: an answer cut short is no answer |
//! | closed a pooled connection before any of the request was written | tried again at once on another |
//! | closed it after some was written, without an answer | transport error: it may have the message; the schedule retries |
//!
//! Redirects are never followed, bodies never decompressed, and no `Accept-Encoding` is sent. Tolerant where it is
//! harmless: response headers that are not valid are skipped.
//!
//! Lives on its shard's thread, since the pool's connections do. It reads the clock: it is a shell.

use super::connect::{Connector, DialError, Dialler};
use super::guard::Guard;
use super::resolve::{LookupFn, Resolver, system_lookup};
use super::{AttemptRequest, AttemptResult, Dispatch, request};
use crate::outcome::classify::outcome_of_status;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::ConfigBuilderExt;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use model::OutcomeClass;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Longest error in words, in bytes: some of it can come from the peer.
const WORDS_LEN_MAX: usize = 256;
/// Longest `Retry-After` that is looked at: a date has 29 bytes.
const RETRY_AFTER_LEN_MAX: usize = 64;
/// HTTP/2 flow control: what a receiver may send before we read it, per answer and per connection.
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 512 * 1024;
/// How soon a dead HTTP/2 connection is noticed: a ping when nothing came for this long, and the wait for its answer.
/// Without it every attempt would go to the dead connection until TCP gives up, after a quarter of an hour.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(10);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The bounds of one dispatcher, that is, of one shard.
#[derive(Clone, Debug)]
pub struct DispatchConfig {
    /// Limit of connecting alone, TLS included.
    pub connect_timeout_ms: u32,
    /// How long an unused connection is kept. Below the 5 s after which Node's and Apache's servers close theirs by
    /// default: a request that meets such a closing half-way is lost to a retry.
    pub pool_idle_timeout_ms: u32,
    /// Unused connections kept per scheme, host and port.
    pub pool_idle_per_host_max: usize,
    /// Connections open at once, in use or not.
    pub connections_max: usize,
    /// Name lookups running at once, each on a thread of its own.
    pub lookups_max: usize,
    /// Bytes of an answer's head (status and headers). At least 8192. Not generous, since a head that drips in is
    /// parsed from its start at every drop.
    pub response_head_len_max: usize,
    /// Bytes of an answer's body that are read before the connection is closed instead.
    pub response_read_len_max: usize,
    /// Bytes of an answer's body that are kept for the history.
    pub response_kept_len_max: usize,
}

impl Default for DispatchConfig {
    fn default() -> DispatchConfig {
        DispatchConfig {
            connect_timeout_ms: 10_000,
            pool_idle_timeout_ms: 4_000,
            pool_idle_per_host_max: 128,
            connections_max: 4096,
            lookups_max: 64,
            response_head_len_max: 16 * 1024,
            response_read_len_max: 64 * 1024,
            response_kept_len_max: 1024,
        }
    }
}

/// Why a dispatcher could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum DispatchSetupError {
    /// The TLS library refused its own defaults.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// How much of a dispatcher's bounds is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchGauges {
    /// Connections open now, in use or not.
    pub connections_open: usize,
    /// How many there may be.
    pub connections_max: usize,
    /// Name lookups running now, also those whose attempt has left.
    pub lookups_running: usize,
    /// How many there may be.
    pub lookups_max: usize,
}

/// Makes attempts over HTTP/1.1 and HTTP/2.
pub struct HttpDispatcher {
    client: Client<Connector, Full<Bytes>>,
    connection_slots: Slots,
    lookup_slots: Slots,
    config: DispatchConfig,
}

/// The permits of a bound, and how many there are in all.
struct Slots {
    permits: Arc<Semaphore>,
    max: usize,
}

impl Slots {
    fn used(&self) -> usize {
        self.max.saturating_sub(self.permits.available_permits())
    }
}

impl HttpDispatcher {
    /// A dispatcher with the system's resolver and the Mozilla root certificates.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: DispatchConfig, guard: Arc<Guard>) -> Result<HttpDispatcher, DispatchSetupError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_webpki_roots()
            .with_no_client_auth();
        Ok(HttpDispatcher::with_parts(config, guard, Arc::new(system_lookup), tls))
    }

    /// A dispatcher with a resolver and a TLS configuration (without ALPN) of its own.
    #[must_use]
    pub fn with_parts(
        config: DispatchConfig,
        guard: Arc<Guard>,
        lookup: Arc<LookupFn>,
        tls: rustls::ClientConfig,
    ) -> HttpDispatcher {
        let connections_max = config.connections_max.min(Semaphore::MAX_PERMITS);
        let connection_slots = Slots { permits: Arc::new(Semaphore::new(connections_max)), max: connections_max };
        let lookups_max = config.lookups_max.clamp(1, Semaphore::MAX_PERMITS);
        let resolver = Resolver::new(lookup, lookups_max);
        let lookup_slots = Slots { permits: resolver.slots(), max: lookups_max };
        let dialler = Dialler {
            guard,
            resolver,
            slots: connection_slots.permits.clone(),
            connect_timeout: Duration::from_millis(config.connect_timeout_ms.into()),
        };
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_millis(config.pool_idle_timeout_ms.into()))
            .pool_max_idle_per_host(config.pool_idle_per_host_max)
            .retry_canceled_requests(true)
            .http1_max_buf_size(config.response_head_len_max.max(8192))
            .http1_ignore_invalid_headers_in_responses(true)
            .http2_max_header_list_size(u32::try_from(config.response_head_len_max).unwrap_or(u32::MAX))
            .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
            .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .build(Connector::new(dialler, tls));
        HttpDispatcher { client, connection_slots, lookup_slots, config }
    }

    /// How much of its bounds is in use.
    #[must_use]
    pub fn gauges(&self) -> DispatchGauges {
        DispatchGauges {
            connections_open: self.connection_slots.used(),
            connections_max: self.connection_slots.max,
            lookups_running: self.lookup_slots.used(),
            lookups_max: self.lookup_slots.max,
        }
    }

    /// Sends the request and reads the answer into `answer`, which holds what came so far if this is cut short.
    async fn exchange(&self, request: Request<Full<Bytes>>, answer: &mut Answer) -> Result<(), Failure> {
        let response = self.client.request(request).await.map_err(|error| Failure::of_client(&error))?;
        answer.take_head(&response);
        let mut body = response.into_body();
        let mut read_len = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::of_transport(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            answer.keep(&data, self.config.response_kept_len_max);
            // An empty frame counts too, so that their number is bounded.
            read_len += data.len().max(1);
            if read_len >= self.config.response_read_len_max {
                break;
            }
        }
        Ok(())
    }
}

impl Dispatch for HttpDispatcher {
    async fn attempt(&self, request: AttemptRequest) -> AttemptResult {
        let started = Instant::now();
        let http_request = request::build(&request.target, &request.event, request.now);
        let mut answer = Answer::default();
        let deadline = Duration::from_millis(request.timeout_ms.into());
        let failure = match timeout(deadline, self.exchange(http_request, &mut answer)).await {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(answer.too_late(request.timeout_ms)),
        };
        let (outcome, response) = match failure {
            None => (outcome_of_status(answer.status), answer.kept),
            Some(failure) => (failure.outcome, failure.words(request.target.host_and_port())),
        };
        let duration_ms = u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX);
        AttemptResult { outcome, status: answer.status, retry_after: answer.retry_after, response, duration_ms }
    }
}

/// What came of an answer so far.
#[derive(Default)]
struct Answer {
    status: u16,
    retry_after: Option<Bytes>,
    kept: Vec<u8>,
}

impl Answer {
    fn take_head(&mut self, response: &Response<Incoming>) {
        self.status = response.status().as_u16();
        // Copied, since the value shares the buffer of the whole head.
        self.retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .filter(|value| value.len() <= RETRY_AFTER_LEN_MAX)
            .map(|value| Bytes::copy_from_slice(value.as_bytes()));
    }

    fn keep(&mut self, data: &[u8], kept_len_max: usize) {
        let room = kept_len_max.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
    }

    fn too_late(&self, timeout_ms: u32) -> Failure {
        let text = match self.status {
            0 => format!("no answer within {timeout_ms} ms"),
            status => format!("the answer {status} was not complete within {timeout_ms} ms"),
        };
        Failure { outcome: OutcomeClass::Timeout, text }
    }
}

/// Why there is no complete answer.
struct Failure {
    outcome: OutcomeClass,
    text: String,
}

impl Failure {
    fn of_client(error: &ClientError) -> Failure {
        match error.source().and_then(|cause| cause.downcast_ref::<DialError>()) {
            Some(dial) => Failure { outcome: outcome_of_dial(dial), text: dial.to_string() },
            None => Failure::of_transport(error),
        }
    }

    /// The innermost cause says most: hyper's words and the system's, neither of which know our headers or URL.
    fn of_transport(error: &(dyn StdError + 'static)) -> Failure {
        let mut cause = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Failure { outcome: OutcomeClass::TransportError, text: format!("the connection failed: {cause}") }
    }

    /// What the history shows: the receiver by host and port only, since path and query may hold tokens.
    fn words(self, host_and_port: &str) -> Vec<u8> {
        let mut words = format!("{host_and_port}: {}", self.text);
        words.truncate(words.floor_char_boundary(host_and_port.len() + WORDS_LEN_MAX));
        words.into_bytes()
    }
}

fn outcome_of_dial(error: &DialError) -> OutcomeClass {
    match error {
        DialError::Refused(_) => OutcomeClass::Refused,
        DialError::Dns(_) => OutcomeClass::DnsError,
        DialError::Connect(_) | DialError::TooManyConnections => OutcomeClass::ConnectError,
        DialError::Timeout => OutcomeClass::Timeout,
        DialError::Tls(_) => OutcomeClass::TlsError,
        DialError::NoHost => OutcomeClass::InternalError,
    }
}
