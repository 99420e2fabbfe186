//! Deadlines of attempts, on timers that are used again.
//!
//! A timer of the runtime is entered under a lock when it is new, and taken out when it is dropped. One that is merely
//! put off, as each is here, is neither: the runtime looks at it when its old time comes, and puts it where it belongs.
//!
//! Deliberately not the timing wheel of retries: these last for seconds and nearly always end unused.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Timers that are kept for the next attempts.
const SPARE_MAX: usize = 256;

/// The spare timers of one thread.
#[derive(Default)]
pub(super) struct Deadlines {
    spare: RefCell<Vec<Pin<Box<Sleep>>>>,
}

impl Deadlines {
    /// The result of `work`; none when that takes longer than until `deadline`. Holds however busy `work` is: it is
    /// asked first, and the deadline after each of its turns.
    pub(super) async fn within<T>(&self, deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
        let mut timer = self.timer(deadline);
        let mut work = pin!(work);
        let result = poll_fn(|cx| {
            if let Poll::Ready(result) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            // The work may have used up this turn's share of the runtime, in which the timer would not tell.
            pin!(unconstrained(timer.as_mut())).poll(cx).map(|()| None)
        })
        .await;
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(timer);
        }
        result
    }

    fn timer(&self, deadline: Instant) -> Pin<Box<Sleep>> {
        match self.spare.borrow_mut().pop() {
            Some(mut timer) => {
                timer.as_mut().reset(deadline);
                timer
            }
            None => Box::pin(sleep_until(deadline)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn work_that_never_rests_is_still_cut_off() {
        let deadlines = Deadlines::default();
        let deadline = Instant::now() + Duration::from_millis(20);
        let busy = async {
            while Instant::now() < deadline + Duration::from_secs(5) {
                tokio::task::coop::consume_budget().await;
            }
        };
        assert_eq!(deadlines.within(deadline, busy).await, None);
        assert!(Instant::now() >= deadline);
    }

    #[tokio::test]
    async fn a_timer_that_is_used_again_keeps_to_its_new_time_sooner_or_later() {
        let deadlines = Deadlines::default();
        for ms in [50, 5, 100, 1, 20] {
            assert_eq!(deadlines.within(Instant::now() + Duration::from_secs(60), async { 7 }).await, Some(7));
            let deadline = Instant::now() + Duration::from_millis(ms);
            assert_eq!(deadlines.within(deadline, std::future::pending::<()>()).await, None);
            assert!((deadline..deadline + Duration::from_secs(30)).contains(&Instant::now()), "{ms} ms");
        }
        assert_eq!(deadlines.spare.borrow().len(), 1);
    }
}
