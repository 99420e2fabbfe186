//! The kinds of rows: their numbers, their names, and their owners.

/// The owner of a row, which decides the beginning of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The whole store: the key begins with anything.
    Store,
    /// An application: the key begins with its number.
    App,
    /// An endpoint: the key begins with the numbers of its application and its own.
    Endpoint,
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident = $number:literal, $name:literal, $owner:ident;)+) => {
        /// The first byte of every key. Persisted: never renumber, never reuse.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum KeyKind {
            $($(#[$doc])+ $kind = $number,)+
        }

        impl KeyKind {
            /// Every kind.
            pub const ALL: &[KeyKind] = &[$(KeyKind::$kind),+];

            /// The word that errors show.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(KeyKind::$kind => $name,)+
                }
            }

            /// The owner of its rows.
            #[must_use]
            pub fn owner(self) -> Owner {
                match self {
                    $(KeyKind::$kind => Owner::$owner,)+
                }
            }
        }
    };
}

// The order is that in which the rows of a deleted application go.
kinds! {
    /// Counters and facts about the store itself, by name.
    Meta = 1, "meta", Store;
    /// The number of an application by the tenant's own name for it.
    ApplicationUid = 3, "application_uid", Store;
    /// Event types by name.
    EventType = 6, "event_type", Store;
    /// API keys by the hash of their secret.
    ApiKey = 7, "api_key", Store;
    /// Jobs by number.
    Job = 30, "job", Store;
    /// Payloads that are to be expunged, by time: an index without values.
    ExpungeAt = 33, "expunge_at", Store;

    /// Records of the audit log by position.
    Audit = 60, "audit", Store;
    /// The same by application: an index without values. It outlives the application.
    AuditByApp = 61, "audit_by_app", Store;

    /// Applications by number.
    Application = 2, "application", App;
    /// Blocks of events by application and first position.
    Event = 16, "event", App;
    /// Pieces of payloads that do not fit a block, by application, position and index.
    Payload = 17, "payload", App;
    /// The position of an event by application and digest of the tenant's own id for it.
    EventUid = 18, "event_uid", App;
    /// Messages whose time has not come, by application and time.
    Scheduled = 50, "scheduled", App;
    /// Scheduled messages that were called off, by application and position.
    CalledOff = 51, "called_off", App;
    /// Days that dead letters are kept, by application and endpoint: an index of the rows that set them.
    DeadLetterDays = 52, "dead_letter_days", App;
    /// Endpoints by application and number.
    Endpoint = 4, "endpoint", Endpoint;
    /// The number of an endpoint by application and the tenant's own name for it.
    EndpointUid = 5, "endpoint_uid", App;
    /// The positions that endpoints have reached.
    Cursor = 20, "cursor", Endpoint;
    /// Deliveries that wait for another attempt.
    Pending = 21, "pending", Endpoint;
    /// The same by due time: an index; its values only mark attempts that were asked for by hand.
    Due = 22, "due", Endpoint;
    /// Deliveries that were given up.
    DeadLetter = 23, "dead_letter", Endpoint;
    /// Dead letters by application and age: an index without values.
    DeadLetterByTime = 32, "dead_letter_by_time", App;
    /// Runs of first attempts by endpoint and lowest position.
    AttemptFirst = 24, "attempt_first", Endpoint;
    /// Further attempts by endpoint and start.
    AttemptLater = 25, "attempt_later", Endpoint;
    /// The same by position: an index without values.
    AttemptLaterBySeq = 26, "attempt_later_by_seq", Endpoint;
    /// Ranges of the log that an endpoint did not get, by endpoint and first position.
    Gap = 27, "gap", Endpoint;
    /// The remembered failures of an endpoint.
    Health = 28, "health", Endpoint;
    /// Requests made under an idempotency key, by application and digest of the key.
    Idempotency = 29, "idempotency", App;
    /// The part of the log that retention removed before an endpoint got it.
    Expired = 31, "expired", Endpoint;
    /// URLs that an endpoint had before its present one, by endpoint and number.
    EndpointUrl = 40, "endpoint_url", Endpoint;
    /// Endpoints that were deleted and have attempts yet.
    DeletedEndpoint = 41, "deleted_endpoint", Endpoint;
    /// The position up to which an application's log is routed. It goes last when an application does: no reader may
    /// take its log for an empty one while there is some of it left.
    Routed = 19, "routed", App;
}

impl KeyKind {
    /// The kinds whose keys begin with the number of an application, in the order in which a deleted application's rows
    /// go.
    pub(crate) fn of_apps() -> impl Iterator<Item = KeyKind> {
        KeyKind::ALL.iter().copied().filter(|kind| kind.owner() != Owner::Store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_share_a_number_and_what_was_routed_goes_last() {
        let mut numbers: Vec<u8> = KeyKind::ALL.iter().map(|kind| *kind as u8).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), KeyKind::ALL.len());
        assert_eq!(KeyKind::of_apps().last(), Some(KeyKind::Routed));
    }
}
