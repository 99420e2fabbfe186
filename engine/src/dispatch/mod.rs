//! Dispatch: one attempt, from a signed request to what the receiver showed.
//!
//! ```text
//! request (target, stamp, body) ─▶ http ─▶ pool ─▶ connect (resolve, guard, proxy) ─▶ the receiver
//!                                    └─▶ http1 or http2 ─▶ answer
//! ```
//! No decision about what an outcome means for the delivery: retries, breaker and dead letters are
//! elsewhere. An attempt never fails: every outcome is its result.

pub mod url;

mod identity;
mod request;
mod target;

pub mod http;
pub mod scripted;

mod deadline;
mod pool;

mod answer;
mod details;
mod http1;
mod http2;

mod connect;
mod lack;
mod proxy;

pub mod guard;
pub mod resolve;
mod tls;
mod wire;

pub use self::details::{KeptDetails, is_sensitive_header};
pub use self::guard::{Guard, GuardError, PortRefused};
pub use self::http::{DispatchConfig, DispatchGauges, DispatchSetupError, HttpDispatcher};
pub use self::lack::Lack;
pub use self::proxy::{Egress, EgressProxy, ProxyException, ProxyExceptionError, ProxyUrlError};
pub use self::request::{AttemptRequest, Stamp};
pub use self::target::{SignatureHeaders, Target};
pub use self::tls::{OwnRoots, RootCertificate, RootsError, read_roots};
pub use self::url::{CheckedUrl, MASK, TargetError, UserInfo, check_url, join_user_info, masked, split_user_info};

use crate::outcome::classify::outcome_of_status;
use bytes::Bytes;
use model::{AnswerNote, AttemptDetails, OutcomeClass};
use std::future::Future;

/// The maker of attempts. One per shard, on the shard's own thread: its futures need not be `Send`. HTTP in production
/// ([`HttpDispatcher`]), scripted in tests and benchmarks ([`scripted`]).
pub trait Dispatch {
    /// Makes one attempt. Ends at the request's deadline at the latest, in any case with a result.
    ///
    /// # Cancel safety
    /// Dropped, the attempt is given up; the receiver may have got it.
    fn attempt(&self, request: AttemptRequest) -> impl Future<Output = AttemptResult>;
}

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptResult {
    /// Its class.
    pub outcome: OutcomeClass,
    /// The status; 0 when there was none. One that came counts, whatever came of the rest of the answer.
    pub status: u16,
    /// `Retry-After` as it came, at most 64 bytes.
    pub retry_after: Option<Bytes>,
    /// The start of the answer's body as it came (never decompressed), or the error in words. Holds no secret of ours.
    pub response: Vec<u8>,
    /// A defect of an answer whose status counts.
    pub note: Option<AnswerNote>,
    /// From start to the last byte read or the error.
    pub duration_ms: u32,
    /// Set when no attempt was made for want of something of ours: then nothing of the rest says anything.
    pub lack: Option<Lack>,
    /// How it went, where the request asks for that.
    pub details: Option<Box<AttemptDetails>>,
}

impl AttemptResult {
    /// An answer with this status and nothing else, at once.
    #[must_use]
    pub fn answered(status: u16) -> AttemptResult {
        AttemptResult { status, ..AttemptResult::unmade(outcome_of_status(status), "") }
    }

    /// An attempt that came to no request, for the reason in `words`.
    #[must_use]
    pub fn unmade(outcome: OutcomeClass, words: &str) -> AttemptResult {
        AttemptResult {
            outcome,
            status: 0,
            retry_after: None,
            response: words.as_bytes().to_vec(),
            note: None,
            duration_ms: 0,
            lack: None,
            details: None,
        }
    }
}
