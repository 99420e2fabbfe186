//! The scope of a caller's key.

use model::AppId;

/// The part of the API that a caller's key reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    All,
    /// One application and the things that belong to it.
    Application(AppId),
}

impl Scope {
    /// True if it reaches an application.
    #[must_use]
    pub fn reaches(self, app: AppId) -> bool {
        match self {
            Scope::All => true,
            Scope::Application(own) => own == app,
        }
    }
}
