//! Dispatch: one attempt, from a message and its target to what the receiver showed.
//!
//! ```text
//! url ─▶ request (sign) ─▶ http ─▶ pool ─▶ connect (resolve, guard, proxy) ─▶ the receiver
//!                            └─▶ http1 or http2 ─▶ answer
//! ```
//! Deliberately no decision about what an outcome means for the delivery: retries, breaker and dead letters are
//! elsewhere. An attempt never fails: whatever happens is its result.

pub mod sign;
pub mod url;

pub mod request;

pub mod http;

mod deadline;
mod pool;

mod answer;
mod http1;
mod http2;

mod connect;
mod lack;
mod proxy;

pub mod guard;
pub mod resolve;
mod tls;
mod wire;

pub use self::guard::{Guard, GuardError, PortRefused};
pub use self::http::{DispatchConfig, DispatchGauges, DispatchSetupError, HttpDispatcher};
pub use self::lack::Lack;
pub use self::proxy::{Egress, EgressProxy, ProxyException, ProxyExceptionError, ProxyUrlError};
pub use self::request::{BuildTargetError, HeaderError, SignatureHeaders, Target, check_headers};
pub use self::sign::{SecretKind, SigningKey, SigningKeyError, generate_ed25519_secret, generate_secret};
pub use self::tls::{OwnRoots, RootCertificate, RootsError, read_roots};
pub use self::url::{CheckedUrl, MASK, TargetError, UserInfo, check_url, join_user_info, masked, split_user_info};

use bytes::Bytes;
use model::{AnswerNote, Event, OutcomeClass, UnixMs};
use std::future::Future;
use std::sync::Arc;

/// What makes attempts. One per shard, on the shard's own thread: its futures need not be `Send`. HTTP in production,
/// something scripted in tests and benchmarks.
pub trait Dispatch {
    /// Makes one attempt. Ends at the request's deadline at the latest, in any case with a result.
    ///
    /// # Cancel safety
    /// Dropped, the attempt is given up; the receiver may have got it.
    fn attempt(&self, request: AttemptRequest) -> impl Future<Output = AttemptResult>;
}

/// One attempt to make. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AttemptRequest {
    /// Where to, with which headers and keys.
    pub target: Arc<Target>,
    /// What to send. The payload is shared with the request, not copied.
    pub event: Event,
    /// The time that is signed.
    pub now: UnixMs,
    /// The deadline over everything: lookup, connecting, TLS, sending, and the whole answer.
    pub timeout_ms: u32,
}

/// What an attempt showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptResult {
    /// What it comes to.
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
}
