//! Attempts that end as a script says, without a socket: for tests and benchmarks.

use super::{AttemptRequest, AttemptResult, Dispatch};
use std::future::{Future, Ready, ready};

/// Makes attempts by calling a script, which answers at once, after a while, or never.
#[derive(Clone, Debug)]
pub struct Scripted<F>(pub F);

impl<F, A> Dispatch for Scripted<F>
where
    F: Fn(AttemptRequest) -> A,
    A: Future<Output = AttemptResult>,
{
    fn attempt(&self, request: AttemptRequest) -> impl Future<Output = AttemptResult> {
        (self.0)(request)
    }
}

/// Every receiver answers at once with this status.
#[must_use]
pub fn answering(status: u16) -> Scripted<impl Fn(AttemptRequest) -> Ready<AttemptResult> + Clone> {
    Scripted(move |_| ready(AttemptResult::answered(status)))
}
