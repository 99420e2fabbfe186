//! Commands: each is a plain struct that describes a change, checked before the writer sees it. One function applies it
//! in one transaction and answers with the change. The function reads no clock and draws nothing at random.
//!
//! [`Command`] gives a name, [`Thing`] an application, a kind and an id, [`Changed`] the old and the new. A record of
//! changes needs no more than these, and need not know any command.

pub mod api_key;
pub mod application;
pub mod attempt;
pub mod delivery;
pub mod endpoint;
pub mod event_type;
pub mod job;
pub mod message;
pub mod pause;
pub mod policy;
pub mod store;

pub mod once;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use once::perform;
pub use once::{Once, Repeatable};

use crate::checks::{Checks, may_be_uid};
use crate::error::Error;
use crate::limits::Rules;
use crate::patch::Patch;
use crate::reach::Reach;
use crate::seals::Seals;
use crate::snapshot::Fields;
use model::id::IdKind;
use model::{AppId, UnixMs};
use std::collections::BTreeMap;
use storage::{StoreError, Txn};
use zeroize::Zeroizing;

/// A change as data.
pub trait Command: Sized + Send + 'static {
    /// As records of changes name it, `kind.verb`; no two commands have the same.
    const NAME: &'static str;

    /// The thing that it changes.
    type Thing: Thing;

    /// The reach that its caller's key must have; none if the command finds out by [`At::by`] once it has found its
    /// application.
    fn reach(&self) -> Option<Reach>;

    /// Notes everything that is wrong and can be known without the store, and brings texts that may be written in
    /// several ways into one form. Runs before the writer sees the command.
    fn check(&mut self, _rules: &Rules, _checks: &mut Checks) {}

    /// Makes the change in `txn`, which is dropped on an error. Runs on the writer's thread: it must be short, and the
    /// rows that it reads cannot change under it.
    ///
    /// # Errors
    /// Why nothing is changed.
    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Self::Thing>, Error>;
}

/// A thing that a command changes: with its state, secrets sealed.
pub trait Thing: Send + 'static {
    /// The kind, in the API's words.
    const KIND: &'static str;

    /// The application that it belongs to, or that it is.
    fn app(&self) -> Option<AppId>;

    /// Its text id, which need not be unique among all kinds.
    fn id(&self) -> String;

    /// Its state for the audit log, without secrets.
    fn fields(&self) -> Fields;
}

/// One command of many that are submitted together.
pub struct Entry<C> {
    /// The command.
    pub command: C,
    /// The faults that were found while it was read.
    pub checks: Checks,
    /// Its own idempotency key.
    pub once: Option<Once>,
}

/// The surroundings of a command that is applied: everything that is neither in it nor in the store.
#[derive(Debug)]
pub struct At<'a> {
    /// The reach of the caller's key.
    pub by: Reach,
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
    /// For a challenge to a receiver.
    pub challenge: [u8; 32],
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
        let (mut salt, mut secret, mut challenge) = ([0; 8], Zeroizing::new([0; 32]), [0; 32]);
        let salted = getrandom::fill(&mut salt).and_then(|()| getrandom::fill(secret.as_mut()));
        salted.and_then(|()| getrandom::fill(&mut challenge)).map_err(|error| {
            tracing::error!(%error, "the system gave no random bytes");
            Error::Internal
        })?;
        Ok(Draw { salt: u64::from_be_bytes(salt) >> 16, secret, challenge })
    }
}

/// The change that a command made.
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
    /// It was shown to somebody, which is worth a record.
    Seen(T),
    /// There was nothing to do: as it is.
    Nothing(T),
    /// An earlier request with the same idempotency key has done it: as it is now.
    Repeated(T),
}

impl<T> Changed<T> {
    /// The thing as it was; none for a new one.
    pub fn before(&self) -> Option<&T> {
        match self {
            Changed::Created(_) => None,
            Changed::Updated { old, .. } | Changed::Deleted(old) => Some(old),
            Changed::Seen(same) | Changed::Nothing(same) | Changed::Repeated(same) => Some(same),
        }
    }

    /// The thing as it is; none for one that is gone.
    pub fn after(&self) -> Option<&T> {
        match self {
            Changed::Created(new) | Changed::Updated { new, .. } => Some(new),
            Changed::Seen(same) | Changed::Nothing(same) | Changed::Repeated(same) => Some(same),
            Changed::Deleted(_) => None,
        }
    }

    /// As it is, or was when it went.
    pub fn into_thing(self) -> T {
        match self {
            Changed::Created(thing)
            | Changed::Updated { new: thing, .. }
            | Changed::Deleted(thing)
            | Changed::Seen(thing)
            | Changed::Nothing(thing)
            | Changed::Repeated(thing) => thing,
        }
    }

    /// True if it is new.
    pub fn is_new(&self) -> bool {
        matches!(self, Changed::Created(_))
    }
}

/// Text by text, as applications and endpoints carry it for their owner.
pub type Metadata = BTreeMap<String, String>;

/// The JSON text that is kept of metadata.
fn metadata_text(metadata: &Metadata) -> Result<String, Error> {
    serde_json::to_string(metadata).map_err(|error| {
        tracing::error!(%error, "metadata could not be written");
        Error::Internal
    })
}

/// Checks that there is room for one more, in the transaction that adds it.
fn check_quota(quota: &'static str, of: &'static str, count: u32, most: u32) -> Result<(), Error> {
    if count < most { Ok(()) } else { Err(Error::QuotaExceeded { quota, of, most, again_after_s: None }) }
}

/// Each field may be within its own bound, and the whole too long for a row: the store refuses it then.
fn fits<T>(put: Result<T, StoreError>) -> Result<T, Error> {
    put.map_err(|error| match error {
        StoreError::ValueTooLarge { bytes, .. } => {
            let msg = format!("all fields together have {bytes} bytes, which is more than a row may have");
            Error::invalid(&[], msg, "value_error.any_str.max_length")
        }
        other => other.into(),
    })
}

/// The uid of a new thing that its caller named by `text`.
///
/// # Errors
/// [`Error::NotFound`] for `what` when the name is an id, or is another than the uid that is given.
fn named(kind: IdKind, uid: Patch<String>, text: String, what: &'static str) -> Result<Patch<String>, Error> {
    match uid.as_set() {
        Some(uid) if *uid == text => Ok(Patch::Set(text)),
        None if may_be_uid(kind, &text) => Ok(Patch::Set(text)),
        _ => Err(Error::NotFound(what)),
    }
}
