//! The one way to the writer: a command's reach, its checks, its transaction.
//!
//! - *Who owns the state:* the engine; this is a handle with the rules beside it, cheap to clone.
//! - *What bounds it:* the writer's queue, which refuses beyond its bound with [`Error::Busy`].

use crate::audit::recorded;
use crate::caller::Caller;
use crate::checks::Checks;
use crate::command::message::{PushMessages, PushTimes};
use crate::command::store::BackUp;
use crate::command::{At, Changed, Command, Draw, Entry, Once, Repeatable, perform};
use crate::error::Error;
use crate::import::{Imported, Planned, STEPS_PER_COMMIT, Step};
use crate::limits::{Quotas, Rules};
use crate::query::app_names::AppNames;
use crate::rate::{Limits, Ruling, Tiers};
use crate::reach::Reach;
use crate::seals::Seals;
use crate::trials::Trials;
use engine::{Backup, IngestOutcome, Partition};
use model::{ApiKeyRow, AppId, UnixMs};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use storage::read::SharedStore;
use storage::tables::audit::Chain;
use storage::tables::{api_key, application};
use storage::{Store, Txn};

/// Submits commands and answers queries over a running engine.
#[derive(Clone)]
pub struct Control(Arc<Parts>);

struct Parts {
    engine: Partition,
    rules: Rules,
    seals: Seals,
    app_names: AppNames,
    trials: Trials,
    limits: Limits,
}

impl Control {
    /// Over a running engine, with the quotas and tiers that its applications have.
    #[must_use]
    pub fn new(engine: Partition, quotas: Quotas, tiers: Tiers) -> Control {
        let limits = Limits::new(tiers.clone());
        let (rules, seals) = (Rules::of(&engine, quotas, tiers), Seals::new(engine.master().clone()));
        let (app_names, trials) = (AppNames::default(), Trials::default());
        Control(Arc::new(Parts { engine, rules, seals, app_names, trials, limits }))
    }

    /// Carries out `command`, as far as the key of `by` reaches; durable when this returns `Ok`.
    ///
    /// # Errors
    /// As [`Error`] lists.
    pub async fn submit<C: Command>(&self, by: Caller, command: C) -> Result<Changed<C::Thing>, Error> {
        self.submit_checked(by, command, Checks::default()).await
    }

    /// As [`Control::submit`]; also refuses for the faults in `checks`, which were found while the command was read.
    ///
    /// # Errors
    /// As [`Error`] lists.
    pub async fn submit_checked<C: Command>(
        &self,
        by: Caller,
        command: C,
        checks: Checks,
    ) -> Result<Changed<C::Thing>, Error> {
        self.run(by, command, checks, |command, at, txn| command.apply(at, txn)).await
    }

    /// As [`Control::submit_checked`], once for each idempotency key: a repetition changes nothing and answers
    /// [`Changed::Repeated`].
    ///
    /// # Errors
    /// As [`Error`] lists.
    pub async fn submit_once<C: Repeatable>(
        &self,
        by: Caller,
        command: C,
        checks: Checks,
        once: Option<Once>,
    ) -> Result<Changed<C::Thing>, Error> {
        self.run(by, command, checks, move |command, at, txn| perform(command, once.as_ref(), at, txn)).await
    }

    /// Carries out many commands of one kind in one durable write, each for itself: one that is refused leaves nothing and
    /// holds up no other. Answers in their order; those behind see what those before have done.
    ///
    /// # Errors
    /// As [`Error`] lists, where it is not one command that fails: then nothing is changed.
    pub async fn submit_each<C: Repeatable>(
        &self,
        by: Caller,
        entries: Vec<Entry<C>>,
    ) -> Result<Vec<Result<Changed<C::Thing>, Error>>, Error> {
        let mut checked = Vec::with_capacity(entries.len());
        for entry in entries {
            checked.push(match self.checked(&by, entry) {
                Ok(entry) => Ok((entry, Draw::fresh()?)),
                Err(error) => Err(error),
            });
        }
        let (parts, now) = (self.0.clone(), self.0.engine.now());
        let change = move |txn: &mut Txn<'_>| {
            each_whole(checked, txn, |(Entry { command, once, .. }, draw), own| {
                let at = At { by: by.reach(), now, draw: &draw, rules: &parts.rules, seals: &parts.seals };
                recorded(command, &by, &at, own, |command, at, txn| perform(command, once.as_ref(), at, txn))
            })
        };
        Ok(self.0.engine.change(change).await?)
    }

    /// Puts configuration in place, in commits of a hundred steps. Answers what became of each.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a key for one application. As [`Error`] lists, where it is not one step that fails: the commits
    /// before are made then, and the import may be made again.
    pub async fn import(&self, by: &Caller, steps: Vec<Planned>) -> Result<Vec<Result<Imported, Error>>, Error> {
        admit(Some(Reach::Everything), by.reach())?;
        let mut results = Vec::with_capacity(steps.len());
        let mut steps = steps.into_iter();
        loop {
            let chunk: Vec<Planned> = steps.by_ref().take(STEPS_PER_COMMIT).collect();
            if chunk.is_empty() {
                return Ok(results);
            }
            let (parts, by, now) = (self.0.clone(), by.clone(), self.0.engine.now());
            let steps = self.0.checked_steps(chunk)?;
            let change = move |txn: &mut Txn<'_>| parts.put_in_place(steps, &by, now, txn);
            results.extend(self.0.engine.change(change).await?);
        }
    }

    /// As [`Control::import`], but changes nothing: all of it is done in a transaction that is dropped. Reads: call it where
    /// reading may take time.
    ///
    /// # Errors
    /// As [`Control::import`].
    pub fn rehearse(&self, by: &Caller, steps: Vec<Planned>) -> Result<Vec<Result<Imported, Error>>, Error> {
        admit(Some(Reach::Everything), by.reach())?;
        let mut txn = Txn::new(&**self.store());
        self.0.put_in_place(self.0.checked_steps(steps)?, by, self.0.engine.now(), &mut txn)
    }

    /// An entry whose command is within the reach of its caller and has passed its checks.
    fn checked<C: Command>(&self, by: &Caller, mut entry: Entry<C>) -> Result<Entry<C>, Error> {
        admit(entry.command.reach(), by.reach())?;
        entry.command.check(&self.0.rules, &mut entry.checks);
        std::mem::take(&mut entry.checks).finish()?;
        Ok(entry)
    }

    async fn run<C: Command>(
        &self,
        by: Caller,
        mut command: C,
        mut checks: Checks,
        apply: impl FnOnce(C, &At<'_>, &mut Txn<'_>) -> Result<Changed<C::Thing>, Error> + Send + 'static,
    ) -> Result<Changed<C::Thing>, Error> {
        let reach = by.reach();
        admit(command.reach(), reach)?;
        command.check(&self.0.rules, &mut checks);
        checks.finish()?;
        let (parts, draw, now) = (self.0.clone(), Draw::fresh()?, self.0.engine.now());
        let change = move |txn: &mut Txn<'_>| {
            let at = At { by: reach, now, draw: &draw, rules: &parts.rules, seals: &parts.seals };
            recorded(command, &by, &at, txn, apply)
        };
        Ok(self.0.engine.change(change).await?)
    }

    /// Begins a backup of everything, once that it was asked for is on record.
    ///
    /// # Errors
    /// [`Error::Conflict`] while another one is being taken; else as [`Error`] lists.
    pub async fn back_up(&self, by: Caller) -> Result<Backup, Error> {
        admit(BackUp.reach(), by.reach())?;
        let engine = self.engine();
        let taken = || Error::Conflict("a backup is being taken already: there is one at a time".into());
        let place = engine.claim_backup().ok_or_else(taken)?;
        self.submit(by, BackUp).await?;
        Ok(engine.back_up(place))
    }

    /// Takes messages in, durably and all at once: an outcome for each.
    ///
    /// # Errors
    /// As [`Error`] lists; with any but [`Error::StorageFailed`] nothing was taken.
    pub async fn push(&self, by: Reach, push: PushMessages) -> Result<Vec<IngestOutcome>, Error> {
        if !by.reaches(push.app) {
            return Err(Error::NotFound("application"));
        }
        Ok(self.0.engine.ingest(push.app, push.messages).await?)
    }

    /// Notes that the key of this hash was used at `at`. No change that anybody made: the audit log has no record of it.
    ///
    /// # Errors
    /// As [`Error`] lists.
    pub async fn note_key_use(&self, hash: [u8; 32], at: UnixMs) -> Result<(), Error> {
        let note = move |txn: &mut Txn<'_>| match api_key::get(txn, &hash)? {
            Some(row) if row.last_used_at.is_none_or(|noted| noted < at) => {
                Ok(api_key::put(txn, &ApiKeyRow { last_used_at: Some(at), ..row })?)
            }
            _ => Ok::<(), Error>(()),
        };
        Ok(self.0.engine.change(note).await?)
    }

    /// The limits on requests of keys.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Takes `requests` out of what an application may make by its tier, at `now` since a fixed instant. None if it has no
    /// tier.
    ///
    /// # Errors
    /// Damage, and any error of the store.
    pub fn take_of_app(&self, app: AppId, requests: NonZeroU32, now: Duration) -> Result<Option<Ruling>, Error> {
        let tier_name = || Ok(application::get(&**self.store(), app)?.and_then(|row| row.api_tier));
        self.0.limits.take_of_app(app, self.engine().applications_version(), tier_name, requests, now)
    }

    /// The values that the times of a message are checked against.
    #[must_use]
    pub fn push_times(&self) -> PushTimes {
        PushTimes { now: self.0.engine.now(), deliver_within_ms: self.0.rules.deliver_within_ms }
    }

    /// Bounds and defaults.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// The seals, which open sealed values.
    #[must_use]
    pub fn seals(&self) -> &Seals {
        &self.0.seals
    }

    /// How often URLs are tried.
    pub(crate) fn trials(&self) -> &Trials {
        &self.0.trials
    }

    /// The engine underneath, for queries.
    pub(crate) fn engine(&self) -> &Partition {
        &self.0.engine
    }

    /// The number of the application of an id or a uid.
    ///
    /// # Errors
    /// Damage, and any error of the store.
    pub fn app_id(&self, text: &str) -> Result<Option<AppId>, Error> {
        let version = self.engine().applications_version();
        self.0.app_names.find(&**self.store(), version, text)
    }

    /// The store underneath, for queries.
    pub(crate) fn store(&self) -> &SharedStore {
        self.engine().store()
    }
}

/// A step that has passed its checks, with what it may need at random; or why it was refused.
type Checked = Result<(Step, Draw), Error>;

impl Parts {
    fn checked_steps(&self, steps: Vec<Planned>) -> Result<Vec<Checked>, Error> {
        let checked = steps.into_iter().map(|planned| {
            let draw = Draw::fresh()?;
            Ok(planned.checked(&self.rules).map(|step| (step, draw)))
        });
        checked.collect()
    }

    /// Carries steps out, each in a transaction of its own within `txn`.
    fn put_in_place(
        &self,
        steps: Vec<Checked>,
        by: &Caller,
        now: UnixMs,
        txn: &mut Txn<'_>,
    ) -> Result<Vec<Result<Imported, Error>>, Error> {
        each_whole(steps, txn, |(step, draw), own| {
            let at = At { by: by.reach(), now, draw: &draw, rules: &self.rules, seals: &self.seals };
            step.apply(by, &at, own)
        })
    }
}

/// Does each thing whole or not at all: one that was refused, or is, leaves nothing and holds up no other.
///
/// # Errors
/// An error that is not of one thing.
fn each_whole<T, R>(
    things: Vec<Result<T, Error>>,
    txn: &mut Txn<'_>,
    mut one: impl FnMut(T, &mut Txn<'_>) -> Result<R, Error>,
) -> Result<Vec<Result<R, Error>>, Error> {
    let mut results = Vec::with_capacity(things.len());
    for thing in things {
        match thing.and_then(|thing| txn.whole(|own| one(thing, own))) {
            Err(error @ (Error::StorageFailed | Error::Internal)) => return Err(error),
            result => results.push(result),
        }
    }
    Ok(results)
}

/// Refuses a key that does not reach so far.
fn admit(needed: Option<Reach>, reach: Reach) -> Result<(), Error> {
    match (needed, reach) {
        (Some(Reach::Application(app)), _) if !reach.reaches(app) => Err(Error::NotFound("application")),
        (Some(Reach::Everything), Reach::Application(_)) => {
            Err(Error::Forbidden("this key is limited to another application"))
        }
        _ => Ok(()),
    }
}

/// Applies `command` to a store that nobody else has open, in one durable write. For commands that seal nothing. Its record in
/// the audit log is not signed; the next one of a running server covers it.
///
/// # Errors
/// As [`Error`] lists.
pub fn apply_alone<C: Command>(
    store: &dyn Store,
    rules: &Rules,
    now: UnixMs,
    mut command: C,
) -> Result<Changed<C::Thing>, Error> {
    let mut checks = Checks::default();
    command.check(rules, &mut checks);
    checks.finish()?;
    let (draw, seals) = (Draw::fresh()?, Seals::none());
    let mut txn = Txn::new(store);
    let at = At { by: Reach::Everything, now, draw: &draw, rules, seals: &seals };
    let changed = recorded(command, &Caller::offline(), &at, &mut txn, |command, at, txn| command.apply(at, txn))?;
    Chain::new(None).append(&mut txn, now)?;
    store.apply(txn.into_parts().batch)?;
    Ok(changed)
}
