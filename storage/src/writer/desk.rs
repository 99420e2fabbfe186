//! The answers of a commit on their way to those who wait: one hand-over for each of their threads, and one wake.
//!
//! A task that another thread wakes costs a lock and often a system call. A commit answers many requests at once, whose
//! tasks run on a few threads. So a thread that serves requests keeps a desk: the writer leaves all answers of a commit
//! there and wakes its task once, and that hands them on to the tasks of its own thread. A request from a thread without a
//! desk is answered directly.
//!
//! - *Who owns the state:* the task of the desk. The writer adds to it under a lock that is held for an append.
//! - *What bounds it:* the requests that wait for the writer, each of which has one answer.
//! - *When its task ends:* answers that lie here are dropped, which those who wait see, and later ones are given directly.

use super::answer::Waiting;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

thread_local! {
    /// The desk of this thread, if it keeps one.
    static HERE: RefCell<Option<Arc<Desk>>> = const { RefCell::new(None) };
}

/// An answer, with the desk of the thread that asked, if that keeps one.
pub(super) type Addressed = (Option<Arc<Desk>>, Waiting);

/// The answers for one thread, until its task takes them.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    answers: Vec<Waiting>,
    closed: bool,
}

/// Closes the desk of this thread when its task ends.
struct Closes(Arc<Desk>);

/// Keeps a desk for this thread, for as long as this runs: a task of a runtime whose tasks all run on this thread. Never
/// ends by itself.
pub async fn serve_this_thread() {
    let closes = Closes(Arc::default());
    let desk = Arc::clone(&closes.0);
    HERE.set(Some(Arc::clone(&desk)));
    let mut answers = Vec::new();
    loop {
        desk.wake.notified().await;
        // The two vectors take turns, so that nothing is allocated.
        std::mem::swap(&mut answers, &mut desk.lock().answers);
        answers.drain(..).for_each(Waiting::answer);
    }
}

/// The desk of this thread, if it keeps one.
pub(super) fn here() -> Option<Arc<Desk>> {
    HERE.with_borrow(Option::clone)
}

/// Gives the answers of a commit to those who wait.
pub(super) fn hand_out(answers: impl Iterator<Item = Addressed>) {
    let mut desks: Vec<(Arc<Desk>, Vec<Waiting>)> = Vec::new();
    for (desk, waiting) in answers {
        let Some(desk) = desk else {
            waiting.answer();
            continue;
        };
        match desks.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &desk)) {
            Some((_, left)) => left.push(waiting),
            None => desks.push((desk, vec![waiting])),
        }
    }
    desks.into_iter().for_each(|(desk, left)| desk.leave(left));
}

// === impl Desk ===

impl Desk {
    fn leave(&self, mut answers: Vec<Waiting>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            answers.into_iter().for_each(Waiting::answer);
            return;
        }
        state.answers.append(&mut answers);
        drop(state);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, the answers are still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Closes {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.answers.clear();
        drop(state);
        // The thread may be at its end, and have none any more.
        drop(HERE.try_with(RefCell::take));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn answers(desk: Option<&Arc<Desk>>, count: usize) -> (Vec<Addressed>, Vec<oneshot::Receiver<u8>>) {
        let (mut waiting, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (reply, answer) = oneshot::channel();
            waiting.push((desk.cloned(), Waiting::Change(Box::new(move || assert_eq!(reply.send(7), Ok(()))))));
            answers.push(answer);
        }
        (waiting, answers)
    }

    #[tokio::test]
    async fn answers_come_over_the_desk_of_a_thread_and_directly_where_there_is_none() {
        assert!(here().is_none());
        let (waiting, mut direct) = answers(None, 1);
        hand_out(waiting.into_iter());
        assert_eq!(direct[0].try_recv(), Ok(7));

        let task = tokio::spawn(serve_this_thread());
        tokio::task::yield_now().await;
        let desk = here().unwrap();
        for _ in 0..3 {
            let (waiting, left) = answers(Some(&desk), 5);
            std::thread::spawn(move || hand_out(waiting.into_iter())).join().unwrap();
            for answer in left {
                assert_eq!(answer.await, Ok(7));
            }
        }

        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(here().is_none());
        let (waiting, mut left) = answers(Some(&desk), 1);
        hand_out(waiting.into_iter());
        assert_eq!(left[0].try_recv(), Ok(7), "a closed desk takes none");
    }
}
