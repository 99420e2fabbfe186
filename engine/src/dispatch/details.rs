//! The details of an attempt, noted as it goes: the connection, the time of each step, the headers of the answer.
//!
//! An attempt that keeps none reads no clock for them and takes no memory: with [`KeptDetails::Failures`] that is every
//! success. The steps of connecting are timed wherever a connection is made, which is seldom.

use crate::outcome::classify::outcome_of_status;
use model::attempt_details::{KEPT_HEADERS_LEN_MAX, KEPT_HEADERS_MAX};
use model::{AttemptDetails, HeaderLine, OutcomeClass, Protocol};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;

use super::url::MASK;

/// Names of headers that carry credentials by their nature.
const SENSITIVE_NAMES: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
/// Parts of a name which show that its value is a credential.
const SENSITIVE_PARTS: [&str; 8] = ["auth", "token", "secret", "password", "credential", "api-key", "apikey", "cookie"];
/// Names that contain such a part and are none: a server's question for credentials.
const OPEN_NAMES: [&str; 2] = ["www-authenticate", "proxy-authenticate"];

/// Stands for a time that is not known.
const UNKNOWN: u32 = u32::MAX;

/// The attempts that keep details.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeptDetails {
    /// None.
    None,
    /// Those that did not succeed.
    #[default]
    Failures,
    /// All.
    All,
}

impl KeptDetails {
    fn of(self, outcome: OutcomeClass) -> bool {
        match self {
            KeptDetails::None => false,
            KeptDetails::Failures => outcome != OutcomeClass::Success,
            KeptDetails::All => true,
        }
    }
}

/// True if a header of this name may carry a credential, so that its value is not shown.
#[must_use]
pub fn is_sensitive_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_part = || SENSITIVE_PARTS.iter().any(|part| name.contains(part));
    SENSITIVE_NAMES.contains(&name.as_str()) || (is_part() && !OPEN_NAMES.contains(&name.as_str()))
}

/// The steps of making a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dialling {
    /// The lookup of the name.
    Lookup,
    /// TCP, or the way through the proxy.
    Connect,
    /// The handshake of TLS.
    Tls,
}

/// How a connection was made. The connection keeps it, and the attempt that waits for it sees how far it came.
#[derive(Debug)]
pub(super) struct Making {
    peer: OnceLock<SocketAddr>,
    lookup_us: AtomicU32,
    connect_us: AtomicU32,
    tls_us: AtomicU32,
}

impl Making {
    pub(super) fn new() -> Arc<Making> {
        let unknown = || AtomicU32::new(UNKNOWN);
        Arc::new(Making { peer: OnceLock::new(), lookup_us: unknown(), connect_us: unknown(), tls_us: unknown() })
    }

    /// A step that began at `since` is over, whatever came of it.
    pub(super) fn ended(&self, step: Dialling, since: Instant) {
        let slot = match step {
            Dialling::Lookup => &self.lookup_us,
            Dialling::Connect => &self.connect_us,
            Dialling::Tls => &self.tls_us,
        };
        slot.store(micros_since(since), Ordering::Relaxed);
    }

    /// The address at the other end.
    pub(super) fn reached(&self, peer: SocketAddr) {
        // One connection is made once.
        self.peer.get_or_init(|| peer);
    }
}

/// The notes of one attempt.
#[derive(Debug)]
pub(super) struct Trace {
    kept: KeptDetails,
    started: Instant,
    making: Option<Arc<Making>>,
    /// The protocol, and whether the connection was there before.
    on: Option<(Protocol, bool)>,
    first_byte_us: Option<u32>,
    headers: Vec<HeaderLine>,
    headers_len: usize,
    headers_truncated: bool,
}

impl Trace {
    pub(super) fn new(kept: KeptDetails, started: Instant) -> Trace {
        Trace {
            kept,
            started,
            making: None,
            on: None,
            first_byte_us: None,
            headers: Vec::new(),
            headers_len: 0,
            headers_truncated: false,
        }
    }

    /// The attempt waits for a connection that is made for it.
    pub(super) fn dials(&mut self, making: &Arc<Making>) {
        if self.kept != KeptDetails::None {
            (self.making, self.on) = (Some(making.clone()), None);
        }
    }

    /// The attempt is made on this connection.
    pub(super) fn goes_over(&mut self, making: &Arc<Making>, protocol: Protocol, reused: bool) {
        if self.kept != KeptDetails::None {
            (self.making, self.on) = (Some(making.clone()), Some((protocol, reused)));
        }
    }

    /// The status line came. Answers whether the headers behind it are wanted.
    pub(super) fn has_status(&mut self, status: u16) -> bool {
        if !self.kept.of(outcome_of_status(status)) {
            return false;
        }
        if self.first_byte_us.is_none() {
            self.first_byte_us = Some(micros_since(self.started));
        }
        true
    }

    /// One header of the answer.
    pub(super) fn header(&mut self, name: &str, value: &[u8]) {
        let value = if is_sensitive_header(name) { MASK.into() } else { String::from_utf8_lossy(value) };
        let len = self.headers_len + name.len() + value.len();
        // The first that finds no room is the last that is looked at, so that what is kept is a beginning.
        if self.headers_truncated || len > KEPT_HEADERS_LEN_MAX || self.headers.len() == KEPT_HEADERS_MAX {
            self.headers_truncated = true;
            return;
        }
        self.headers_len = len;
        self.headers.push(HeaderLine { name: name.to_ascii_lowercase(), value: value.into_owned() });
    }

    /// The details, if an attempt with this outcome keeps them.
    pub(super) fn into_details(self, outcome: OutcomeClass) -> Option<Box<AttemptDetails>> {
        if !self.kept.of(outcome) {
            return None;
        }
        let (protocol, connection_reused) =
            self.on.map_or((None, false), |(protocol, reused)| (Some(protocol), reused));
        let making = self.making.as_deref();
        // The steps of a connection that was there before are none of this attempt's.
        let made = making.filter(|_| !connection_reused);
        let time = |time: fn(&Making) -> &AtomicU32| {
            made.map(|made| time(made).load(Ordering::Relaxed)).filter(|time| *time != UNKNOWN)
        };
        Some(Box::new(AttemptDetails {
            response_headers: self.headers,
            headers_truncated: self.headers_truncated,
            peer: making.and_then(|making| making.peer.get().copied()),
            protocol,
            connection_reused,
            lookup_us: time(|made| &made.lookup_us),
            connect_us: time(|made| &made.connect_us),
            tls_us: time(|made| &made.tls_us),
            first_byte_us: self.first_byte_us,
        }))
    }
}

/// More than an hour counts as that.
fn micros_since(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(UNKNOWN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(kept: KeptDetails) -> Trace {
        Trace::new(kept, Instant::now())
    }

    #[test]
    fn a_success_notes_nothing_where_failures_are_kept() {
        let mut success = trace(KeptDetails::Failures);
        assert!(!success.has_status(200) && success.first_byte_us.is_none());
        assert_eq!(success.into_details(OutcomeClass::Success), None);
        let mut failure = trace(KeptDetails::Failures);
        assert!(failure.has_status(500));
        assert!(failure.into_details(OutcomeClass::ServerError).unwrap().first_byte_us.is_some());
        let mut none = trace(KeptDetails::None);
        none.goes_over(&Making::new(), Protocol::Http1, false);
        assert!(!none.has_status(500) && none.making.is_none());
        assert_eq!(none.into_details(OutcomeClass::Timeout), None);
    }

    #[test]
    fn a_dial_that_did_not_end_shows_how_far_it_came() {
        let (mut attempt, making) = (trace(KeptDetails::All), Making::new());
        attempt.dials(&making);
        making.ended(Dialling::Lookup, Instant::now());
        let details = attempt.into_details(OutcomeClass::Timeout).unwrap();
        assert!(details.lookup_us.is_some());
        assert_eq!((details.connect_us, details.protocol, details.peer), (None, None, None));
    }

    #[test]
    fn the_steps_of_a_connection_belong_to_the_attempt_that_made_it() {
        let making = Making::new();
        making.reached("127.0.0.1:9".parse().unwrap());
        making.ended(Dialling::Connect, Instant::now());
        for reused in [false, true] {
            let mut attempt = trace(KeptDetails::All);
            attempt.goes_over(&making, Protocol::Http1, reused);
            let details = attempt.into_details(OutcomeClass::Success).unwrap();
            assert_eq!((details.connection_reused, details.connect_us.is_none()), (reused, reused));
            assert_eq!(details.peer, Some("127.0.0.1:9".parse().unwrap()));
        }
    }

    #[test]
    fn headers_are_bounded_and_credentials_are_masked() {
        let mut attempt = trace(KeptDetails::All);
        for name in ["Set-Cookie", "X-Auth-Token", "Authorization", "x-api-key"] {
            attempt.header(name, b"canary");
        }
        attempt.header("WWW-Authenticate", b"Basic realm=\"a\"");
        attempt.header("x-long", &[b'a'; KEPT_HEADERS_LEN_MAX]);
        attempt.header("x-after", b"is behind one that was left out");
        let details = attempt.into_details(OutcomeClass::Success).unwrap();
        assert!(!format!("{details:?}").contains("canary"));
        assert_eq!((details.response_headers.len(), details.headers_truncated), (5, true));
        assert_eq!(details.response_headers[0], HeaderLine { name: "set-cookie".to_owned(), value: MASK.to_owned() });
        assert_eq!(details.response_headers[4].value, "Basic realm=\"a\"");

        let mut many = trace(KeptDetails::All);
        (0..=KEPT_HEADERS_MAX).for_each(|_| many.header("x", b""));
        let details = many.into_details(OutcomeClass::Success).unwrap();
        assert_eq!((details.response_headers.len(), details.headers_truncated), (KEPT_HEADERS_MAX, true));
    }
}
