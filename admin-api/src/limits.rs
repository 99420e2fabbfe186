//! Every bound of the HTTP surface in one file, so that the documentation can quote it.
//!
//! Deliberately split in two: bounds that an operator may change are in [`ApiLimits`]; bounds that the stored formats
//! and the clients rely on are constants.

use control::Quotas;
use control::rate::Tiers;
use std::time::Duration;

/// Bounds that an operator may change. The defaults are those that the documentation states.
#[derive(Clone, Debug)]
pub struct ApiLimits {
    /// Bytes of one request body, and so of one message with its payload.
    pub body_bytes: usize,
    /// Bytes of the body of one batch.
    pub batch_body_bytes: usize,
    /// Bytes of all larger bodies that are read or answered at once, of which a key may have half; more get 503 with
    /// `Retry-After`. One always fits.
    pub bodies_bytes: usize,
    /// Bytes of all larger answers that clients have not read yet, of which a key may have half; more get 503 with
    /// `Retry-After`.
    pub answers_bytes: usize,
    /// A body that comes slower is answered 408, after [`BODY_GRACE`].
    pub body_bytes_per_s: usize,
    /// Messages of one batch.
    pub batch_items: usize,
    /// Requests answered at once, of which a key may have half; more get 503 with `Retry-After`.
    pub concurrent_requests: usize,
    /// The time that one request may take, its body included.
    pub request_timeout: Duration,
    /// The quotas.
    pub quotas: Quotas,
    /// The tiers by which applications' use of the API is limited.
    pub tiers: Tiers,
}

impl Default for ApiLimits {
    fn default() -> ApiLimits {
        ApiLimits {
            body_bytes: 1 << 20,
            batch_body_bytes: 16 << 20,
            bodies_bytes: 256 << 20,
            answers_bytes: 64 << 20,
            body_bytes_per_s: 16 * 1024,
            batch_items: 1_000,
            concurrent_requests: 4_096,
            request_timeout: Duration::from_secs(30),
            quotas: Quotas::default(),
            tiers: Tiers::default(),
        }
    }
}

/// Bytes of the request line and headers together: for the server that accepts the connections.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Headers of one request: for the server that accepts the connections.
pub const HEADERS_MAX: usize = 100;
/// Bytes of a request's path and query.
pub const REQUEST_URI_BYTES_MAX: usize = 8 * 1024;

/// The time that a body may take beyond that of its bytes at [`ApiLimits::body_bytes_per_s`].
pub const BODY_GRACE: Duration = Duration::from_secs(5);

/// Bodies up to this many bytes are copied out of the connection's buffer, and take no room of
/// [`ApiLimits::bodies_bytes`] or [`ApiLimits::answers_bytes`]: the number of requests at once bounds them.
pub(crate) const SMALL_BODY_BYTES_MAX: usize = 16 * 1024;

/// Items of a page when the caller does not say.
pub(crate) const PAGE_DEFAULT: usize = 50;
/// Bytes of an `Idempotency-Key`.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
