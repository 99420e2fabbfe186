//! A pass: looks through everything once, for rows past their limit, and finds the steps that remove it.
//!
//! It tries each step on a transaction that is then dropped, away from the writer's thread; only a step that would
//! write is worth a change. Deliberately never in a hurry: [`Pass::next`] looks at a bounded number of things and says
//! so.

use super::Cutoffs;
use super::step::{ROWS_PER_STEP, Step, Sweep};
use model::{AppId, EndpointRef, Seq, UnixMs};
use storage::rows::KeyKind;
use storage::tables::sweep::SweepPosition;
use storage::tables::{log, purge};
use storage::{Store, StoreError, Txn};

/// Stage that a pass has reached.
#[derive(Clone, Debug)]
enum Stage {
    /// Payloads whose own time has come.
    Expunge,
    /// Applications beyond this one.
    Events(Option<AppId>),
    /// Endpoints with rows of the kind, beyond this one.
    Endpoints(KeyKind, Option<EndpointRef>),
    /// The kind of this number, beyond this row.
    Sweep(usize, Option<SweepPosition>),
    End,
}

/// One look through everything.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub(super) cutoffs: Cutoffs,
    now: UnixMs,
    stage: Stage,
    begin: Option<(AppId, Seq)>,
}

/// Result of [`Pass::next`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Something to do; ask again afterwards.
    Step(Step),
    /// Nothing so far; ask again.
    Nothing,
    /// The pass is over.
    End,
}

impl Pass {
    /// Begins a pass at `now` of the clock that events are stamped by.
    pub(super) fn new(cutoffs: Cutoffs, now: UnixMs) -> Pass {
        Pass { cutoffs, now, stage: Stage::Expunge, begin: None }
    }

    /// The next step that would write, if it is among the next `looks` things.
    ///
    /// # Errors
    /// The reason why the store is poisoned. Rows that cannot be read are passed by.
    pub(super) fn next(&mut self, store: &dyn Store, looks: usize) -> Result<Found, StoreError> {
        for _ in 0..looks {
            if matches!(self.stage, Stage::End) {
                return Ok(Found::End);
            }
            match self.look(store) {
                Ok(Some(step)) => return Ok(Found::Step(step)),
                Ok(None) => {}
                Err(error) if store.poisoned().is_some() => return Err(error),
                // It passed by what it was looking at.
                Err(error) => tracing::error!(%error, "retention passes by what it cannot read"),
            }
        }
        Ok(Found::Nothing)
    }

    /// Looks at one thing and moves behind it, unless there is something to do with it.
    fn look(&mut self, store: &dyn Store) -> Result<Option<Step>, StoreError> {
        match self.stage.clone() {
            Stage::Expunge => {
                let step = self.tried(store, Step::Expunge)?;
                if step.is_none() {
                    self.stage = Stage::Events(None);
                }
                Ok(step)
            }
            Stage::Events(after) => {
                let Some(app) = log::next_app(store, after)? else {
                    self.stage = Stage::Endpoints(KeyKind::Pending, None);
                    return Ok(None);
                };
                self.stage = Stage::Events(Some(app));
                let Some(upto) = self.too_old(store, app)? else { return Ok(None) };
                let step = self.tried(store, Step::Events { app, upto, rows: ROWS_PER_STEP })?;
                if step.is_some() {
                    self.stage = Stage::Events(after);
                }
                Ok(step)
            }
            Stage::Endpoints(kind, after) => {
                let Some(target) = purge::next_endpoint(store, kind, after)? else {
                    self.stage = match kind {
                        KeyKind::Pending => Stage::Endpoints(KeyKind::AttemptFirst, None),
                        KeyKind::AttemptFirst => Stage::Endpoints(KeyKind::AttemptLater, None),
                        _ => Stage::Sweep(0, None),
                    };
                    return Ok(None);
                };
                self.stage = Stage::Endpoints(kind, Some(target));
                let begin = self.begin(store, target.app)?;
                let step = if kind == KeyKind::Pending {
                    Step::Pending { target, begin }
                } else {
                    Step::Attempts { target, begin }
                };
                let step = self.tried(store, step)?;
                if step.is_some() {
                    self.stage = Stage::Endpoints(kind, after);
                }
                Ok(step)
            }
            Stage::Sweep(number, position) => {
                let Some(kind) = Sweep::ALL.get(number) else {
                    self.stage = Stage::End;
                    return Ok(None);
                };
                self.stage = Stage::Sweep(number + 1, None);
                let step = Step::Sweep(*kind, position);
                let mut txn = Txn::new(store);
                // A step looks at the same page again, so the pass goes on behind it.
                if let Some(next) = step.run(&mut txn, &self.cutoffs, self.now)?.next {
                    self.stage = Stage::Sweep(number, Some(next));
                }
                Ok((!txn.is_empty()).then_some(step))
            }
            Stage::End => Ok(None),
        }
    }

    /// Up to where an application's events are too old.
    fn too_old(&self, store: &dyn Store, app: AppId) -> Result<Option<Seq>, StoreError> {
        if self.cutoffs.events == UnixMs::ZERO {
            return Ok(None);
        }
        // Events from the future were stamped by a clock that was wrong then: those behind them may be old.
        let nothing_old = |at: UnixMs| at >= self.cutoffs.events && at <= self.now;
        if log::oldest(store, app).is_ok_and(|at| at.is_none_or(nothing_old)) {
            return Ok(None);
        }
        log::before_time(store, app, self.cutoffs.events).map(Some)
    }

    fn begin(&mut self, store: &dyn Store, app: AppId) -> Result<Seq, StoreError> {
        match self.begin {
            Some((known, begin)) if known == app => Ok(begin),
            _ => {
                let begin = log::begin(store, app)?;
                self.begin = Some((app, begin));
                Ok(begin)
            }
        }
    }

    /// The step, if it would write.
    fn tried(&self, store: &dyn Store, step: Step) -> Result<Option<Step>, StoreError> {
        let mut txn = Txn::new(store);
        step.run(&mut txn, &self.cutoffs, self.now)?;
        Ok((!txn.is_empty()).then_some(step))
    }
}
