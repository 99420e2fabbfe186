//! The answers of a commit on their way to those who wait: one hand-over for each of their threads, and one wake.
//!
//! A task that another thread wakes costs a lock and often a system call. A commit answers many requests at once, whose
//! tasks run on a few threads. So a thread that serves requests keeps a reply queue: the writer leaves all answers of a commit
//! there and wakes its task once, and that hands them on to the tasks of its own thread. A request from a thread without a
//! queue is answered directly.
//!
//! - *Who owns the state:* the task of the reply queue. The writer adds to it under a lock that is held for an append.
//! - *What bounds it:* the requests that wait for the writer, each of which has one answer.
//! - *When its task ends:* answers that lie here are dropped, which those who wait see, and later ones are given directly.

use super::answer::Waiting;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

thread_local! {
    /// The reply queue of this thread, if it keeps one.
    static HERE: RefCell<Option<Arc<ReplyQueue>>> = const { RefCell::new(None) };
}

/// An answer, with the reply queue of the thread that asked, if that keeps one.
pub(super) type Addressed = (Option<Arc<ReplyQueue>>, Waiting);

/// The answers for one thread, until its task takes them.
#[derive(Default)]
pub(super) struct ReplyQueue {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    answers: Vec<Waiting>,
    closed: bool,
}

/// Closes the reply queue of this thread when its task ends.
struct Closes(Arc<ReplyQueue>);

/// Keeps a reply queue for this thread, for as long as this runs: a task of a runtime whose tasks all run on this thread. Never
/// ends by itself.
pub async fn serve_this_thread() {
    let closes = Closes(Arc::default());
    let queue = Arc::clone(&closes.0);
    HERE.set(Some(Arc::clone(&queue)));
    let mut answers = Vec::new();
    loop {
        queue.wake.notified().await;
        // The two vectors take turns, so that nothing is allocated.
        std::mem::swap(&mut answers, &mut queue.lock().answers);
        answers.drain(..).for_each(Waiting::answer);
    }
}

/// The reply queue of this thread, if it keeps one.
pub(super) fn here() -> Option<Arc<ReplyQueue>> {
    HERE.with_borrow(Option::clone)
}

/// Gives the answers of a commit to those who wait.
pub(super) fn hand_out(answers: impl Iterator<Item = Addressed>) {
    let mut queues: Vec<(Arc<ReplyQueue>, Vec<Waiting>)> = Vec::new();
    for (queue, waiting) in answers {
        let Some(queue) = queue else {
            waiting.answer();
            continue;
        };
        match queues.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &queue)) {
            Some((_, left)) => left.push(waiting),
            None => queues.push((queue, vec![waiting])),
        }
    }
    queues.into_iter().for_each(|(queue, left)| queue.leave(left));
}

// === impl ReplyQueue ===

impl ReplyQueue {
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

    fn answers(queue: Option<&Arc<ReplyQueue>>, count: usize) -> (Vec<Addressed>, Vec<oneshot::Receiver<u8>>) {
        let (mut waiting, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (reply, answer) = oneshot::channel();
            waiting.push((queue.cloned(), Waiting::Change(Box::new(move || assert_eq!(reply.send(7), Ok(()))))));
            answers.push(answer);
        }
        (waiting, answers)
    }

    #[tokio::test]
    async fn answers_come_over_the_queue_of_a_thread_and_directly_where_there_is_none() {
        assert!(here().is_none());
        let (waiting, mut direct) = answers(None, 1);
        hand_out(waiting.into_iter());
        assert_eq!(direct[0].try_recv(), Ok(7));

        let task = tokio::spawn(serve_this_thread());
        tokio::task::yield_now().await;
        let queue = here().unwrap();
        for _ in 0..3 {
            let (waiting, left) = answers(Some(&queue), 5);
            std::thread::spawn(move || hand_out(waiting.into_iter())).join().unwrap();
            for answer in left {
                assert_eq!(answer.await, Ok(7));
            }
        }

        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(here().is_none());
        let (waiting, mut left) = answers(Some(&queue), 1);
        hand_out(waiting.into_iter());
        assert_eq!(left[0].try_recv(), Ok(7), "a closed queue takes none");
    }
}
