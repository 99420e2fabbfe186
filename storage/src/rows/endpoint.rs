//! Endpoints: `application number, endpoint number`, in the order of creation within an application.
//!
//! ```text
//! short   the value                                                                     at `endpoint`
//! long    255 · number of further pieces (1 byte) · the beginning of the value           at `endpoint`
//!         the rest of it, 8 KiB a piece                                                 at `endpoint_part`
//! ```
//! A long URL, long filters and certificates of its own can take more than one row has room for. No value begins with
//! 255: that is no version.

use super::key::key;
use super::value::{fields, value, variants};
use crate::store::INLINE_MAX_BYTES;
use bytes::Bytes;
use model::endpoint::EndpointSecret;
use model::{ClientErrorPolicy, Disabled, Endpoint, EndpointRef, Jitter, RetryPolicy, Spacing};

key!(Endpoint: (target: EndpointRef));
value!(Endpoint: Endpoint, version VERSION);

/// The version of an endpoint's fields, those of a deleted one too.
pub(super) const VERSION: u8 = 2;

fields!(Endpoint {
    id,
    app,
    salt,
    uid,
    url,
    description,
    event_types,
    channels,
    rate_limit,
    max_in_flight,
    timeout_ms,
    retry_policy,
    on_client_error,
    disabled,
    active_from,
    secrets,
    sealed_headers,
    metadata,
    created_at,
    updated_at,
    version,
    sealed_user_info,
    ca_pem,
    filter since 2,
});

fields!(EndpointSecret { sealed, expires_at });
fields!(Disabled { at, reason });
fields!(RetryPolicy { spacing, max_attempts, max_delay_ms, jitter });

variants!(Spacing {
    0 = Schedule { delays_ms },
    1 = Exponential { initial_ms },
    2 = Linear { step_ms },
    3 = Fixed { delay_ms },
});
variants!(Jitter { 0 = None, 1 = Proportional, 2 = Equal, 3 = Full });
variants!(ClientErrorPolicy { 0 = Retry, 1 = DeadLetter });

/// Bytes of a value at most, over all its pieces.
pub const VALUE_BYTES_MAX: usize = 128 * 1024;

/// The first byte of a value in pieces. Persisted.
const IN_PIECES: u8 = u8::MAX;

/// Bytes of [`IN_PIECES`] and of the number of further pieces.
const LEAD_BYTES: usize = 2;

/// A value as the rows that it takes: the first piece, and the rest for further ones of [`INLINE_MAX_BYTES`] each.
#[must_use]
pub fn in_pieces(value: Bytes) -> (Bytes, Bytes) {
    debug_assert!(value.len() <= VALUE_BYTES_MAX, "the number of pieces fits a byte");
    if value.len() <= INLINE_MAX_BYTES {
        return (value, Bytes::new());
    }
    let rest = value.slice(INLINE_MAX_BYTES - LEAD_BYTES..);
    let pieces = rest.len().div_ceil(INLINE_MAX_BYTES) as u8;
    (Bytes::from([&[IN_PIECES, pieces][..], &value[..INLINE_MAX_BYTES - LEAD_BYTES]].concat()), rest)
}

/// The number of further pieces that a first piece names.
#[must_use]
pub fn further_pieces(first: &[u8]) -> u16 {
    match first {
        [IN_PIECES, pieces, ..] => (*pieces).into(),
        _ => 0,
    }
}

/// The beginning of the value, from a first piece that has further pieces.
#[must_use]
pub fn beginning_of(first: &[u8]) -> &[u8] {
    first.get(LEAD_BYTES..).unwrap_or_default()
}
