//! Futures polled by hand: an answer that may have come, a wake-up that may have been given.
//!
//! Polling is the only thing done to them, so nothing depends on a runtime.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// An answer that is waited for.
pub struct Reply<T>(Pin<Box<dyn Future<Output = T>>>);

impl<T> Reply<T> {
    /// Asks: what the future does before it waits is done now. Answers at once if it did not wait.
    pub fn ask(future: impl Future<Output = T> + 'static) -> (Reply<T>, Option<T>) {
        let mut reply = Reply(Box::pin(future));
        let answer = reply.poll();
        (reply, answer)
    }

    /// The answer, if it has come. Not to be asked again once it has.
    pub fn poll(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }
}

/// A loop that sleeps until it is woken.
#[derive(Default)]
pub struct Wakeup {
    sleep: Option<Reply<()>>,
    woken: bool,
}

impl Wakeup {
    /// True once it was woken; `sleep` is the future that it waits for.
    pub fn is_woken<F: Future<Output = ()> + 'static>(&mut self, sleep: impl FnOnce() -> F) -> bool {
        if !self.woken {
            let woken = match &mut self.sleep {
                Some(reply) => reply.poll(),
                None => {
                    let (reply, woken) = Reply::ask(sleep());
                    self.sleep = Some(reply);
                    woken
                }
            };
            if woken.is_some() {
                (self.sleep, self.woken) = (None, true);
            }
        }
        self.woken
    }

    /// It runs and will sleep again.
    pub fn run(&mut self) {
        self.woken = false;
    }
}
