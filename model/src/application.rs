//! An application: one tenant, the owner of endpoints and of one log of events.

use crate::id::{AppId, IdKind, IdParts};
use crate::policy::{AppSettings, Policy};
use crate::time::UnixMs;

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its number.
    pub id: AppId,
    /// Random, below 2^48: part of the text id, so that one cannot be guessed from another.
    pub salt: u64,
    /// The tenant's own name for it, unique over all applications.
    pub uid: Option<String>,
    /// For people.
    pub name: String,
    /// Messages per second that are sent to all its endpoints together; none means no limit of its own.
    pub rate_limit: Option<u32>,
    /// A JSON object, kept as the text that came in.
    pub metadata: String,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
    /// Since when deliveries to its endpoints wait on disk; none if they do not.
    pub paused_at: Option<UnixMs>,
    /// The settings that its endpoints inherit.
    pub policy: Policy,
    /// Attempts at once over all its endpoints; none for no limit of its own.
    pub max_in_flight: Option<u32>,
    /// The receiver of each new endpoint, and of each new origin, must prove that it wants deliveries.
    pub verification: bool,
    /// The name of the tier by which its use of the API is limited; none for the default one, if there is one.
    pub api_tier: Option<String>,
}

impl Application {
    /// One without a name and settings: what others are made from.
    #[must_use]
    pub fn plain(id: AppId, created_at: UnixMs) -> Application {
        Application {
            id,
            salt: 1,
            uid: None,
            name: String::new(),
            rate_limit: None,
            metadata: "{}".to_owned(),
            created_at,
            updated_at: created_at,
            policy: Policy::default(),
            max_in_flight: None,
            paused_at: None,
            verification: false,
            api_tier: None,
        }
    }

    /// The settings that the lanes of its endpoints keep to.
    #[must_use]
    pub fn settings(&self) -> AppSettings {
        AppSettings { rate_limit: self.rate_limit, policy: self.policy.clone(), max_in_flight: self.max_in_flight }
    }

    /// The text id, `app_…`.
    #[must_use]
    pub fn public_id(&self) -> String {
        IdParts { at: self.created_at, number: self.id.0, low: self.salt }.to_text(IdKind::Application)
    }
}
