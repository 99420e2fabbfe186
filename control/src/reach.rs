//! The reach of a caller's key.

use model::AppId;

/// The part of the API that a caller's key reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Everything.
    Everything,
    /// One application and the things that belong to it.
    Application(AppId),
}

impl Reach {
    /// True if it reaches an application.
    #[must_use]
    pub fn reaches(self, app: AppId) -> bool {
        match self {
            Reach::Everything => true,
            Reach::Application(own) => own == app,
        }
    }
}
