//! Limits on the API: how many requests an application and an API key may make. An overload of Pinion is another thing:
//! there is room or not, whoever asks.
//!
//! An application has the limit of its tier, a key its own. A request takes one out of both buckets, a batch one for each
//! message. A request that one bucket refuses is not given back to the other.
//!
//! - *Who owns the state:* [`Limits`], a map of buckets behind a lock that is held for one look.
//! - *What bounds it:* [`BUCKETS_MAX`] buckets; those that are full again go, at most once a second.
//! - *When it is full:* a caller without a bucket is not limited.
//! - *When the process dies here:* all buckets are full again.

mod bucket;
mod tier;

pub use bucket::{Empty, Rate, Standing};
pub use tier::{NAME_MAX, NotATier, PER_S_MAX, TIERS_MAX, Tier, Tiers, TiersError};

use bucket::Bucket;
use model::{ApiKeyRow, AppId};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Buckets of applications and keys together: some 10 MiB.
const BUCKETS_MAX: usize = 65_536;

/// The time in which the requests of [`ApiKeyRow::rate_limit`] may be made.
const KEY_PER: Duration = Duration::from_secs(60);

/// Time between two looks for buckets that are full again.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The owner of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Key([u8; 32]),
    Application(AppId),
}

/// The limit that a request was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// That of its key.
    Key,
    /// The tier of its application, by its place in [`Tiers`].
    Tier(usize),
}

/// The answer of the tighter of a request's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The limit.
    pub by: By,
    /// True if the request may be made.
    pub answer: Result<(), Empty>,
    /// The bucket afterwards.
    pub standing: Standing,
}

/// The buckets of all callers.
#[derive(Debug, Default)]
pub struct Limits {
    tiers: Tiers,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    map: HashMap<Owner, Entry>,
    swept_at: Duration,
}

#[derive(Debug)]
struct Entry {
    /// None for an application without a tier.
    bucket: Option<(By, Bucket)>,
    /// The version of all applications that it was made from.
    version: u64,
    /// From then on it is full.
    full_at: Duration,
}

impl Limits {
    /// With these tiers of applications.
    #[must_use]
    pub fn new(tiers: Tiers) -> Limits {
        Limits { tiers, buckets: Mutex::default() }
    }

    /// The tiers.
    #[must_use]
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// True if a request could be limited: cheap to ask.
    #[must_use]
    pub fn may_limit(&self, key: Option<&ApiKeyRow>) -> bool {
        !self.tiers.is_empty() || key.is_some_and(|key| key.rate_limit.is_some())
    }

    /// Takes requests out of the bucket of a key. None if it has no limit.
    pub fn take_of_key(&self, key: &ApiKeyRow, requests: NonZeroU32, now: Duration) -> Option<Ruling> {
        let rate = Rate { requests: NonZeroU32::new(key.rate_limit?)?, per: KEY_PER };
        let mut buckets = self.buckets();
        let owner = Owner::Key(key.hash);
        let limit = Some((By::Key, rate));
        let is_known = buckets.map.get(&owner).is_some_and(|entry| entry.limit() == limit);
        if !is_known && !buckets.insert(owner, limit, 0, now) {
            return None;
        }
        buckets.map.get_mut(&owner)?.take(requests, now)
    }

    /// Takes requests out of the bucket of an application. None if it has no tier. `version` is that of all applications;
    /// `tier_name` reads the one that this application names, and is asked when the version is another one.
    ///
    /// # Errors
    /// That of `tier_name`.
    pub fn take_of_app<E>(
        &self,
        app: AppId,
        version: u64,
        tier_name: impl FnOnce() -> Result<Option<String>, E>,
        requests: NonZeroU32,
        now: Duration,
    ) -> Result<Option<Ruling>, E> {
        if self.tiers.is_empty() {
            return Ok(None);
        }
        let owner = Owner::Application(app);
        let is_current = self.buckets().map.get(&owner).is_some_and(|entry| entry.version == version);
        // Not under the lock: this reads the store.
        let read = if is_current { None } else { Some(self.tiers.place_of(tier_name()?.as_deref())) };
        let mut buckets = self.buckets();
        if let Some(place) = read {
            let limit = place.and_then(|place| Some((By::Tier(place), self.tiers.at(place)?.rate())));
            match buckets.map.get_mut(&owner) {
                Some(entry) if entry.limit() == limit => entry.version = version,
                _ => drop(buckets.insert(owner, limit, version, now)),
            }
        }
        Ok(buckets.map.get_mut(&owner).and_then(|entry| entry.take(requests, now)))
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of two rulings the one that the caller is told: a refusal, or the one with fewer requests left.
#[must_use]
pub fn tighter(one: Option<Ruling>, other: Option<Ruling>) -> Option<Ruling> {
    one.into_iter().chain(other).min_by_key(|ruling| (ruling.answer.is_ok(), ruling.standing.remaining))
}

// === impl Buckets ===

impl Buckets {
    /// Puts a full bucket in, or the note that there is none. False if there is no room for it.
    fn insert(&mut self, owner: Owner, limit: Option<(By, Rate)>, version: u64, now: Duration) -> bool {
        if self.map.len() >= BUCKETS_MAX && !self.map.contains_key(&owner) {
            if now.saturating_sub(self.swept_at) >= SWEEP_EVERY {
                self.swept_at = now;
                self.map.retain(|_, entry| entry.full_at > now);
            }
            if self.map.len() >= BUCKETS_MAX {
                return false;
            }
        }
        let bucket = limit.map(|(by, rate)| (by, Bucket::new(rate)));
        self.map.insert(owner, Entry { bucket, version, full_at: now });
        true
    }
}

// === impl Entry ===

impl Entry {
    fn limit(&self) -> Option<(By, Rate)> {
        self.bucket.as_ref().map(|(by, bucket)| (*by, bucket.rate))
    }

    fn take(&mut self, requests: NonZeroU32, now: Duration) -> Option<Ruling> {
        let (by, bucket) = self.bucket.as_ref()?;
        let (answer, standing) = bucket.take(requests, now);
        self.full_at = now + standing.full_in;
        Some(Ruling { by: *by, answer, standing })
    }
}

#[cfg(test)]
mod tests;
