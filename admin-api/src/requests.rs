//! The bound on requests that are answered at once, shared by the keys that they come with.
//!
//! - *Who owns the state:* the API's state, one for all requests with a key that is known. A request without one is
//!   refused before it waits for anything, so it needs no place.
//! - *What bounds it:* [`ApiLimits::concurrent_requests`].
//! - *When it is full:* the request is refused, and told to come again.
//! - *When the input is hostile:* a key gets half of the places at most, however long its requests take.
//!
//! [`ApiLimits::concurrent_requests`]: crate::limits::ApiLimits::concurrent_requests

use control::Reach;
use engine::fairness::{Answer, Shares};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Places for requests.
#[derive(Debug)]
pub(crate) struct Requests(Mutex<Shares<Reach>>);

/// A request that is being answered; its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    requests: &'a Requests,
    reach: Reach,
}

impl Requests {
    /// So many at once.
    pub(crate) fn new(at_once: usize) -> Requests {
        Requests(Mutex::new(Shares::new(at_once)))
    }

    /// A place for a request with a key of this reach; none when it has to come again.
    pub(crate) fn enter(&self, reach: Reach) -> Option<Entry<'_>> {
        let granted = self.shares().take(reach, 1) == Answer::Granted;
        granted.then(|| Entry { requests: self, reach })
    }

    fn shares(&self) -> MutexGuard<'_, Shares<Reach>> {
        // A panic in between leaves the books as they were: each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.requests.shares().give_back(self.reach, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::AppId;

    #[test]
    fn one_key_leaves_half_of_the_places_to_others() {
        let requests = Requests::new(8);
        let enter = |app| requests.enter(Reach::Application(AppId(app)));
        let greedy: Vec<Entry<'_>> = std::iter::from_fn(|| enter(1)).collect();
        assert_eq!(greedy.len(), 4);
        let other = enter(2);
        assert!(other.is_some() && requests.enter(Reach::Everything).is_some());
        drop((greedy, other));
        assert_eq!(requests.shares().used(), 0);
    }
}
