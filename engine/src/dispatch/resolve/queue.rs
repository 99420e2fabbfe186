//! The names that are being looked up, those that wait for their turn, and those that failed a moment ago.
//!
//! Pure but for the channels on which callers wait. Neither asks a resolver nor reads a clock.

use super::{Answer, FAILURE_KEPT, FAILURES_MAX, LOOKUP_MAX, LookupError, NAMES_MAX, Progress};
use crate::fairness::{Answer as Share, Shares, Turns};
use model::AppId;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// See the module.
pub(super) struct LookupQueue {
    /// Lookups that run.
    slots: Shares<AppId>,
    /// Places in line.
    places: Shares<AppId>,
    line: Turns<AppId, Arc<str>>,
    names: HashMap<Arc<str>, Name>,
    failures: HashMap<Arc<str>, (Answer, Instant)>,
}

/// A name that runs or waits.
struct Name {
    progress: watch::Sender<Progress>,
    /// Applications in whose line it stands.
    waits_for: Vec<AppId>,
}

/// Answer to a caller that wants a name.
pub(super) enum Joined {
    /// The answer.
    Answered(Answer),
    /// A place where it will be told.
    Waits(watch::Receiver<Progress>),
}

impl LookupQueue {
    pub(super) fn new(running_max: usize) -> LookupQueue {
        LookupQueue {
            slots: Shares::new(running_max),
            places: Shares::new(NAMES_MAX),
            line: Turns::default(),
            names: HashMap::new(),
            failures: HashMap::new(),
        }
    }

    pub(super) fn running(&self) -> usize {
        self.slots.used()
    }

    /// A caller of `app` wants `name`.
    pub(super) fn join(&mut self, name: &str, app: AppId, now: Instant) -> Joined {
        if let Some((answer, until)) = self.failures.get(name)
            && *until > now
        {
            return Joined::Answered(answer.clone());
        }
        if let Some(known) = self.names.get(name) {
            let overdue = |since: &Instant| now.duration_since(*since) >= LOOKUP_MAX;
            let in_own_line = match &*known.progress.borrow() {
                Progress::Runs(since) if overdue(since) => return Joined::Answered(Err(LookupError::NoAnswer)),
                Progress::Runs(_) | Progress::Over(_) => true,
                Progress::Waits => known.waits_for.contains(&app),
            };
            if in_own_line {
                return Joined::Waits(known.progress.subscribe());
            }
        }
        if self.places.take(app, 1) == Share::Wait {
            return Joined::Answered(Err(LookupError::Busy));
        }
        let name: Arc<str> = name.into();
        self.line.push(app, name.clone());
        let new = || Name { progress: watch::channel(Progress::Waits).0, waits_for: Vec::new() };
        let entry = self.names.entry(name).or_insert_with(new);
        entry.waits_for.push(app);
        Joined::Waits(entry.progress.subscribe())
    }

    /// The next name to look up and the application whose slot that takes, which it holds until [`LookupQueue::over`].
    pub(super) fn next(&mut self, now: Instant) -> Option<(AppId, Arc<str>)> {
        loop {
            let slots = &self.slots;
            let (app, name) = self.line.pop(|app| slots.may_take(app, 1))?;
            self.places.give_back(app, 1);
            let Some(entry) = self.names.get_mut(&name) else { continue };
            entry.waits_for.retain(|other| *other != app);
            if !matches!(*entry.progress.borrow(), Progress::Waits) {
                // It ran in another application's turn.
                continue;
            }
            if entry.progress.is_closed() {
                // Its callers left. If another application's line has it too, the turn there forgets it.
                if entry.waits_for.is_empty() {
                    self.names.remove(&name);
                }
                continue;
            }
            if self.slots.take(app, 1) == Share::Granted {
                entry.progress.send_replace(Progress::Runs(now));
                return Some((app, name));
            }
        }
    }

    /// A lookup that took a slot of `app` is over.
    pub(super) fn over(&mut self, app: AppId, name: &Arc<str>, answer: Answer, now: Instant) {
        self.slots.give_back(app, 1);
        if let Some(entry) = self.names.remove(name) {
            entry.progress.send_replace(Progress::Over(answer.clone()));
        }
        // A lack of ours says nothing about the name.
        if !matches!(answer, Err(LookupError::Failed(_) | LookupError::NoAddress | LookupError::NoAnswer)) {
            return;
        }
        if self.failures.len() >= FAILURES_MAX {
            self.failures.retain(|_, (_, until)| *until > now);
        }
        if self.failures.len() < FAILURES_MAX {
            self.failures.insert(name.clone(), (answer, now + FAILURE_KEPT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_name_that_does_not_answer_is_given_up_for_all_who_ask_while_it_is_stuck() {
        let (mut queue, now) = (LookupQueue::new(4), Instant::now());
        let Joined::Waits(first) = queue.join("stuck", AppId(1), now) else { panic!("an answer at once") };
        assert_eq!(queue.next(now), Some((AppId(1), "stuck".into())));
        assert!(matches!(queue.join("stuck", AppId(2), now + LOOKUP_MAX / 2), Joined::Waits(_)), "it may still answer");
        let late = queue.join("stuck", AppId(2), now + LOOKUP_MAX);
        assert!(matches!(late, Joined::Answered(Err(LookupError::NoAnswer))));
        let over = now + LOOKUP_MAX * 2;
        queue.over(AppId(1), &"stuck".into(), Err(LookupError::Failed("no".into())), over);
        assert!(matches!(&*first.borrow(), Progress::Over(Err(_))) && queue.running() == 0);
        assert!(matches!(queue.join("stuck", AppId(2), over), Joined::Answered(Err(LookupError::Failed(_)))));
        assert!(matches!(
            queue.join("stuck", AppId(2), over + FAILURE_KEPT + Duration::from_secs(1)),
            Joined::Waits(_)
        ));
    }

    #[test]
    fn places_in_line_are_shared_and_names_that_nobody_waits_for_are_passed_over() {
        let (mut queue, now) = (LookupQueue::new(2), Instant::now());
        let asked = (0..NAMES_MAX).map(|number| queue.join(&number.to_string(), AppId(1), now));
        let kept: Vec<_> = asked.filter(|joined| matches!(joined, Joined::Waits(_))).collect();
        assert_eq!(kept.len(), NAMES_MAX / 2);
        assert!(matches!(queue.join("other", AppId(2), now), Joined::Waits(_)));
        drop(kept);
        assert_eq!(queue.next(now), None, "all have left");
        assert!(queue.names.is_empty() && queue.places.used() == 0);
    }
}
