//! Commands: each a plain struct that says what is to change, checked before the writer sees it and applied in one
//! transaction by a function that reads no clock and draws nothing, and answers what changed.
//!
//! [`Command`] gives a name, [`Thing`] an application, a kind and an id, [`Changed`] the old and the new: all that a record
//! of changes needs, which then need not know any command.

pub mod once;

pub(crate) use once::perform;
pub use once::{Once, Repeatable};

use crate::checks::Checks;
use crate::error::Error;
use crate::limits::Rules;
use crate::scope::Scope;
use crate::seals::Seals;
use model::{AppId, UnixMs};
use storage::Txn;
use zeroize::Zeroizing;

/// A change as data.
pub trait Command: Sized + Send + 'static {
    /// As records of changes name it, `kind.verb`; no two commands have the same.
    const NAME: &'static str;

    /// What it changes.
    type Thing: Thing;

    /// How far a key must reach for it.
    fn reach(&self) -> Reach;

    /// Notes everything that is wrong and can be known without the store. Runs before the writer sees the command.
    fn check(&self, _rules: &Rules, _checks: &mut Checks) {}

    /// Makes the change in `txn`, which is dropped on an error. Runs on the writer's thread: it must be short, and what it
    /// reads cannot change under it.
    ///
    /// # Errors
    /// Why nothing is changed.
    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Self::Thing>, Error>;
}

/// What a command changes: with its state, secrets sealed.
pub trait Thing: Send + 'static {
    /// The kind, in the API's words.
    const KIND: &'static str;

    /// The application that it belongs to, or that it is.
    fn app(&self) -> Option<AppId>;

    /// Its text id, which need not be unique among all kinds.
    fn id(&self) -> String;
}

/// How far a key must reach for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To this application.
    Application(AppId),
    /// To everything.
    Everything,
    /// The command finds out by [`At::by`] once it has found its application.
    Found,
}

/// What a command is applied with: everything that is neither in it nor in the store.
#[derive(Debug)]
pub struct At<'a> {
    /// How far the caller's key reaches.
    pub by: Scope,
    /// The time.
    pub now: UnixMs,
    /// Fresh random bytes.
    pub draw: &'a Draw,
    /// Bounds and defaults.
    pub rules: &'a Rules,
    /// Seals and opens.
    pub seals: &'a Seals,
}

/// Random bytes for one command.
pub struct Draw {
    /// For the text id of a new thing, which cannot be guessed from another's; below 2^48.
    pub salt: u64,
    /// For a new secret.
    pub secret: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Draw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Draw(hidden)")
    }
}

impl Draw {
    /// From the system.
    ///
    /// # Errors
    /// [`Error::Internal`] when it gives none.
    pub fn fresh() -> Result<Draw, Error> {
        let (mut salt, mut secret) = ([0; 8], Zeroizing::new([0; 32]));
        getrandom::fill(&mut salt).and_then(|()| getrandom::fill(secret.as_mut())).map_err(|error| {
            tracing::error!(%error, "the system gave no random bytes");
            Error::Internal
        })?;
        Ok(Draw { salt: u64::from_be_bytes(salt) >> 16, secret })
    }
}

/// What a command changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed<T> {
    /// It is new.
    Created(T),
    /// It was there.
    Updated {
        /// As it was.
        old: T,
        /// As it is.
        new: T,
    },
    /// It is gone.
    Deleted(T),
    /// An earlier request has done it, or there was nothing to do: as it is.
    Nothing(T),
}

impl<T> Changed<T> {
    /// As it was; none for what is new.
    pub fn old(&self) -> Option<&T> {
        match self {
            Changed::Created(_) => None,
            Changed::Updated { old, .. } | Changed::Deleted(old) | Changed::Nothing(old) => Some(old),
        }
    }

    /// As it is; none for what is gone.
    pub fn new(&self) -> Option<&T> {
        match self {
            Changed::Created(new) | Changed::Updated { new, .. } | Changed::Nothing(new) => Some(new),
            Changed::Deleted(_) => None,
        }
    }

    /// As it is, or was when it went.
    pub fn into_thing(self) -> T {
        match self {
            Changed::Created(thing)
            | Changed::Updated { new: thing, .. }
            | Changed::Deleted(thing)
            | Changed::Nothing(thing) => thing,
        }
    }

    /// Whether it is new.
    pub fn is_new(&self) -> bool {
        matches!(self, Changed::Created(_))
    }
}
