//! Attempts over HTTP: a connection from the pool, one deadline per attempt, one bounded answer.
//!
//! The status line decides as soon as it is read: a receiver that said 2xx must not get the message again, and one that
//! said 429 is to be heard. The cases that are not obvious:
//!
//! | the receiver | outcome |
//! |---|---|
//! | sends a status, then more body than is read | by its status; the connection is closed instead of drained |
//! | sends a status, then stalls or drips past the deadline | by its status, with a note; the connection is closed |
//! | sends a status, then breaks off, or what is no HTTP | the same |
//! | sends a status line, then a head longer than its bound | the same; over HTTP/2 a transport error, as no status is seen |
//! | closed a pooled connection before any of the request was written | tried again at once on another |
//! | closed it after some was written, without an answer | transport error: it may have the message; the schedule retries |
//!
//! Redirects are never followed, bodies never decompressed, and no `Accept-Encoding` is sent. Tolerant where it is
//! harmless: response headers that are not valid are skipped.
//!
//! Lives on its shard's thread. It reads the clock: it is a shell.

use super::answer::{Answer, Failure};
use super::connect::Dialler;
use super::deadline::Deadlines;
use super::details::Trace;
use super::guard::Guard;
use super::pool::{Lease, Pool};
use super::proxy::Egress;
use super::resolve::{Caller, LookupFn, Resolver, system_lookup};
use super::tls::RootCertificate;
use super::{AttemptRequest, AttemptResult, Dispatch, http1, http2, request, tls, wire};
use crate::outcome::classify::outcome_of_status;
use model::Protocol;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Longest time that an attempt waits for its turn to look a name up, or half of its own time if that is less. So a
/// lack of lookups shows as what it is, and not as a time-out of the endpoint.
const LOOKUP_TURN_MAX: Duration = Duration::from_secs(2);

/// The bounds of one dispatcher, that is, of one shard.
#[derive(Clone, Debug)]
pub struct DispatchConfig {
    /// Limit of connecting alone, TLS included.
    pub connect_timeout_ms: u32,
    /// Time in ms for which an unused connection is kept. Below the 5 s after which Node's and Apache's servers close
    /// theirs by default: a request that meets such a closing half-way is lost to a retry.
    pub pool_idle_timeout_ms: u32,
    /// Unused connections kept per scheme, host and port.
    pub pool_idle_per_host_max: usize,
    /// Connections open at once, in use or not.
    pub connections_max: usize,
    /// Name lookups running at once, each on a thread of its own.
    pub lookups_max: usize,
    /// Bytes of an answer's head (status and headers), of which an attempt keeps so many while it comes. At least 8192.
    pub response_head_len_max: usize,
    /// Bytes of an answer's body that are read before the connection is closed instead.
    pub response_read_len_max: usize,
    /// Bytes of an answer's body that are kept for the history.
    pub response_kept_len_max: usize,
    /// Root certificates that are trusted besides Mozilla's.
    pub extra_roots: Vec<RootCertificate>,
    /// The proxy that connections to targets are made through.
    pub egress: Option<Egress>,
}

impl Default for DispatchConfig {
    fn default() -> DispatchConfig {
        DispatchConfig {
            connect_timeout_ms: 10_000,
            pool_idle_timeout_ms: 4_000,
            pool_idle_per_host_max: 128,
            connections_max: 4096,
            lookups_max: 64,
            response_head_len_max: 64 * 1024,
            response_read_len_max: 64 * 1024,
            response_kept_len_max: 1024,
            extra_roots: Vec::new(),
            egress: None,
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

/// The used part of a dispatcher's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchGauges {
    /// Connections open now, in use or not.
    pub connections_open: usize,
    /// Bound of `connections_open`.
    pub connections_max: usize,
    /// Name lookups running now, also those whose attempt has left.
    pub lookups_running: usize,
    /// Bound of `lookups_running`.
    pub lookups_max: usize,
}

/// Makes attempts over HTTP/1.1 and HTTP/2.
pub struct HttpDispatcher {
    pool: Pool,
    buffers: http1::Buffers,
    deadlines: Deadlines,
    connection_slots: Slots,
    resolver: Resolver,
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
    /// A dispatcher with the system's resolver, the Mozilla root certificates and those of `config`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(config: DispatchConfig, guard: Arc<Guard>) -> Result<HttpDispatcher, DispatchSetupError> {
        http2::show_metrics();
        wire::show_metrics();
        let tls = tls::client_config(&config.extra_roots)?;
        Ok(HttpDispatcher::with_parts(config, guard, Arc::new(system_lookup), tls))
    }

    /// A dispatcher with a resolver and a TLS configuration (its ALPN is replaced) of its own.
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
        let http2 =
            http2::Bounds { head_len_max: config.response_head_len_max, body_len_max: config.response_read_len_max };
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms.into());
        let slots = connection_slots.permits.clone();
        let dialler = Dialler::new(guard, resolver.clone(), slots, tls, config.egress.clone(), http2, connect_timeout);
        let idle_timeout = Duration::from_millis(config.pool_idle_timeout_ms.into());
        let pool = Pool::new(dialler, idle_timeout, config.pool_idle_per_host_max);
        let (buffers, deadlines) = (http1::Buffers::new(), Deadlines::default());
        HttpDispatcher { pool, buffers, deadlines, connection_slots, resolver, config }
    }

    /// The used part of its bounds.
    #[must_use]
    pub fn gauges(&self) -> DispatchGauges {
        DispatchGauges {
            connections_open: self.connection_slots.used(),
            connections_max: self.connection_slots.max,
            lookups_running: self.resolver.running(),
            lookups_max: self.config.lookups_max,
        }
    }

    /// Sends the request and reads the answer into `answer`, which holds what came so far if this is cut short. Ends:
    /// each connection that turns out to be closed is one less in the pool.
    async fn exchange(&self, request: &AttemptRequest, now: Instant, answer: &mut Answer) -> Result<(), Failure> {
        let patience = LOOKUP_TURN_MAX.min(Duration::from_millis(u64::from(request.timeout_ms) / 2));
        let caller = Caller { app: request.app, until: now + patience };
        loop {
            let leased = self.pool.lease(&request.target, caller, now, &mut answer.trace).await;
            match leased.map_err(|error| Failure::of_dial(&error))? {
                Lease::Http1 { mut stream, reused } => {
                    answer.trace.goes_over(stream.making(), Protocol::Http1, reused);
                    let mut head = self.buffers.take_head();
                    request::write_head(request, &mut head);
                    let head_len_max = self.config.response_head_len_max.max(8192);
                    let (buffers, head_text) = (&self.buffers, head.as_str());
                    let exchanged =
                        http1::exchange(&mut stream, reused, buffers, head_text, &request.body, head_len_max, answer)
                            .await;
                    self.buffers.give_back_head(head);
                    match exchanged {
                        Ok(reusable) => {
                            if reusable {
                                self.pool.give_back(request.target.identity(), stream, Instant::now());
                            }
                            return Ok(());
                        }
                        Err(http1::Unanswered::Unsent(_)) if reused => {}
                        Err(http1::Unanswered::Unsent(failure) | http1::Unanswered::Failed(failure)) => {
                            return Err(failure);
                        }
                    }
                }
                Lease::Http2 { mut connection, reused } => {
                    answer.trace.goes_over(connection.making(), Protocol::Http2, reused);
                    let built = request::build(request);
                    match http2::exchange(&mut connection, built, answer).await {
                        Ok(()) => return Ok(()),
                        Err(http2::Unanswered::Unsent(_)) if reused => {
                            self.pool.forget_http2(request.target.identity())
                        }
                        Err(http2::Unanswered::Unsent(failure) | http2::Unanswered::Failed(failure)) => {
                            return Err(failure);
                        }
                    }
                }
            }
        }
    }
}

impl Dispatch for HttpDispatcher {
    async fn attempt(&self, request: AttemptRequest) -> AttemptResult {
        let started = Instant::now();
        let kept_len_max = self.config.response_kept_len_max.max(request.kept_len_least);
        let trace = Trace::new(request.details, started);
        let mut answer = Answer::new(kept_len_max, self.config.response_read_len_max, trace);
        let deadline = started + Duration::from_millis(request.timeout_ms.into());
        let exchanged = {
            // Made where it stays: it is some KiB.
            let exchange = pin!(self.exchange(&request, started, &mut answer));
            self.deadlines.within(deadline, exchange).await
        };
        let failure = match exchanged {
            Some(Ok(())) => None,
            Some(Err(failure)) => answer.or_failure(failure),
            None => answer.or_failure(Failure::too_late(request.timeout_ms)),
        };
        let lack = failure.as_ref().and_then(|failure| failure.lack);
        let (outcome, response) = match failure {
            None => (outcome_of_status(answer.status), answer.kept),
            Some(failure) => (failure.outcome, failure.words(request.target.host_and_port())),
        };
        let duration_ms = u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX);
        let Answer { status, retry_after, note, trace, .. } = answer;
        let details = trace.into_details(outcome);
        AttemptResult { outcome, status, retry_after, response, note, duration_ms, lack, details }
    }
}
