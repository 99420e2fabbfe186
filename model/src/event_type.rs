//! An event type of the catalogue. A catalogue only: a message may name a type that is not in it.

use crate::time::UnixMs;

/// A documented kind of event, shared by all applications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    /// `[a-zA-Z0-9_.-]{1,256}`, its identity.
    pub name: String,
    /// For people.
    pub description: String,
    /// Hidden from lists unless asked for; `DELETE` sets it.
    pub archived: bool,
    /// Shown as on its way out.
    pub deprecated: bool,
    /// A label that a dashboard may filter by.
    pub feature_flag: Option<String>,
    /// JSON Schemas by version, as the text that came in. Not applied to payloads.
    pub schemas: Option<String>,
    /// When it was created.
    pub created_at: UnixMs,
    /// When it was last changed.
    pub updated_at: UnixMs,
    /// The group that it is shown in.
    pub group_name: Option<String>,
}
