//! Requests by their idempotency key: `application number, digest of the key`. The application is 0 for a request that
//! belongs to none.

use super::DIGEST_BYTES;
use super::key::key;
use super::value::{fields, value};
use model::{AppId, Seq, UnixMs};

/// A request that is remembered, so that a repeated one gets the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The event that the first request made, or a number that stands for the result of another request.
    pub seq: Seq,
    /// The time at which that was accepted.
    pub accepted_at: UnixMs,
    /// A digest of the first request's content: another content under the same key is an error of the caller.
    pub fingerprint: [u8; 16],
    /// The time from which the key is free again.
    pub expires_at: UnixMs,
}

key!(Idempotency: (app: AppId, digest: [u8; DIGEST_BYTES]));
value!(Idempotency: Remembered, version 1);

fields!(Remembered { seq, accepted_at, fingerprint, expires_at });
