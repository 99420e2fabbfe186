//! How far the key of a caller reaches.

use model::AppId;

/// How far a caller's key reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    All,
    /// One application and what belongs to it.
    Application(AppId),
}

impl Scope {
    /// Whether it reaches an application.
    #[must_use]
    pub fn reaches(self, app: AppId) -> bool {
        match self {
            Scope::All => true,
            Scope::Application(own) => own == app,
        }
    }
}
