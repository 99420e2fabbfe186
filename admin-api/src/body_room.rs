//! Memory for the bodies of requests: who is to be read must find room first.
//!
//! - *Who owns the state:* nobody; a request holds its part from before its body is read until it is answered.
//! - *What bounds it:* [`ApiLimits::bodies_bytes`]. Small bodies take none of it, so they pass while large ones wait.
//! - *When it is full:* the request is refused, and told to come again.
//! - *When the input is hostile:* only who has a key gets this far. A body that comes slowly holds its room until the
//!   request's deadline.

use crate::extract::announced_length;
use crate::limits::{ApiLimits, SMALL_BODY_BYTES_MAX};
use axum::body::HttpBody as _;
use axum::extract::Request;
use tokio::sync::{Semaphore, SemaphorePermit};

/// What a permit stands for.
const UNIT_BYTES: usize = 1024;

/// The end of the path of the route with the largest bodies.
const BATCH_PATH_END: &str = "/msg/batch";

/// The room, in units.
#[derive(Debug)]
pub(crate) struct BodyRoom {
    free: Semaphore,
    units: usize,
    /// What a body takes that does not say how long it is.
    unsaid_bytes: usize,
    unsaid_batch_bytes: usize,
}

impl BodyRoom {
    pub(crate) fn new(limits: &ApiLimits) -> BodyRoom {
        let units = (limits.bodies_bytes / UNIT_BYTES).clamp(1, u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        let free = Semaphore::new(units);
        BodyRoom { free, units, unsaid_bytes: limits.body_bytes, unsaid_batch_bytes: limits.batch_body_bytes }
    }

    /// Room for this request's body; `None` when there is not enough.
    pub(crate) fn take(&self, request: &Request) -> Option<SemaphorePermit<'_>> {
        self.free.try_acquire_many(self.units_of(request)).ok()
    }

    fn units_of(&self, request: &Request) -> u32 {
        if request.body().is_end_stream() {
            return 0;
        }
        let batch = request.uri().path().ends_with(BATCH_PATH_END);
        let most = if batch { self.unsaid_batch_bytes } else { self.unsaid_bytes };
        // More than that is not read.
        let announced = announced_length(request.headers()).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        match announced.unwrap_or(most).min(most) {
            bytes if bytes <= SMALL_BODY_BYTES_MAX => 0,
            bytes => bytes.div_ceil(UNIT_BYTES).min(self.units) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn request(path: &str, length: Option<usize>) -> Request {
        let mut request = Request::builder().uri(path);
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let unsaid = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
        request.body(unsaid).unwrap()
    }

    #[test]
    fn large_bodies_share_the_room_and_small_ones_need_none() {
        let room = BodyRoom::new(&ApiLimits { bodies_bytes: 1 << 20, ..ApiLimits::default() });
        let large = || request("/api/v1/app/a/msg", Some(400 * 1024));
        let held = (room.take(&large()).unwrap(), room.take(&large()).unwrap());
        assert!(room.take(&large()).is_none());
        assert_eq!(room.take(&request("/api/v1/app/a/msg", Some(SMALL_BODY_BYTES_MAX))).unwrap().num_permits(), 0);
        assert!(room.take(&Request::new(Body::empty())).is_some());
        drop(held.0);
        assert!(room.take(&large()).is_some());
    }

    #[test]
    fn a_body_that_does_not_say_its_length_counts_as_the_largest_and_always_fits_an_empty_room() {
        let room = BodyRoom::new(&ApiLimits { bodies_bytes: 3 << 20, ..ApiLimits::default() });
        assert_eq!(room.take(&request("/api/v1/app/a/msg", None)).unwrap().num_permits(), 1024);
        assert_eq!(room.take(&request("/api/v1/app/a/msg", Some(usize::MAX))).unwrap().num_permits(), 1024);
        assert_eq!(room.take(&request("/api/v1/app/a/msg/batch", None)).unwrap().num_permits(), 3 * 1024);
    }
}
