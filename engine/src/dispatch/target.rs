//! The target of attempts: the URL that is called, the connections it uses, and the headers that no message changes.
//!
//! Built once for a plan and used by any number of attempts. Pure.

use super::identity::Identity;
use super::tls::OwnRoots;
use super::url::CheckedUrl;
use http::header::{HOST, ToStrError};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Uri};
use std::fmt;

/// Names of the headers with id, timestamp and signature: those of the Standard Webhooks specification, and those that
/// Svix's receivers know, whose hand-written verification reads no others.
const FAMILIES: [[&str; 3]; 2] =
    [["webhook-id", "webhook-timestamp", "webhook-signature"], ["svix-id", "svix-timestamp", "svix-signature"]];

/// Under which names id, timestamp and signature are sent (ADR 13). The values are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureHeaders {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Webhook,
    /// `svix-id`, `svix-timestamp`, `svix-signature`.
    Svix,
    /// All six.
    #[default]
    Both,
}

impl SignatureHeaders {
    fn families(self) -> &'static [[&'static str; 3]] {
        match self {
            SignatureHeaders::Webhook => &FAMILIES[..1],
            SignatureHeaders::Svix => &FAMILIES[1..],
            SignatureHeaders::Both => &FAMILIES,
        }
    }
}

/// One receiver of an endpoint, ready for any number of attempts.
pub struct Target {
    uri: Uri,
    identity: Identity,
    /// Every header of a request, those of a single message with a stand-in value: a clone only replaces values.
    pub(super) headers: HeaderMap,
    /// The same for HTTP/1.1, as it is written: everything up to the value of the id, which is the first of those that
    /// differ from message to message. May hold credentials.
    pub(super) head: String,
    /// The names of id, timestamp and signature; at least one of each.
    pub(super) families: &'static [[&'static str; 3]],
    /// The count of names of a family that are sent: all three, or id and timestamp alone.
    pub(super) names_sent: usize,
    own_roots: Option<OwnRoots>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { uri, headers, .. } = self;
        f.debug_struct("Target").field("uri", uri).field("headers", headers).finish_non_exhaustive()
    }
}

impl Target {
    /// A target that is sent `headers`, and what each message adds under `names`. With roots of its own, its receiver's
    /// certificate may lead to them too.
    ///
    /// # Errors
    /// When a header is not ASCII; those of `prepare` are.
    pub fn new(
        url: &CheckedUrl,
        mut headers: HeaderMap,
        names: SignatureHeaders,
        own_roots: Option<OwnRoots>,
    ) -> Result<Target, ToStrError> {
        let (uri, families) = (url.uri().clone(), names.families());
        let digest = own_roots.as_ref().map(|roots| &*roots.digest);
        let identity = Identity::new(uri.scheme() == Some(&Scheme::HTTPS), url.host_and_port(), digest);
        let head = head_of(&uri, &headers, families)?;
        for name in families.iter().flatten() {
            headers.insert(*name, HeaderValue::from_static(""));
        }
        Ok(Target { uri, identity, headers, head, families, names_sent: 3, own_roots })
    }

    /// The same without the headers of a signature, which its messages carry under a name of the endpoint's own.
    #[must_use]
    pub fn without_signature(mut self) -> Target {
        self.names_sent = 2;
        for [.., signature] in self.families {
            self.headers.remove(*signature);
        }
        self
    }

    pub(super) fn own_roots(&self) -> Option<&OwnRoots> {
        self.own_roots.as_ref()
    }

    /// The URL that is called. May hold secrets in its path or query.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Host and port, if not the default: what logs and errors show.
    #[must_use]
    pub fn host_and_port(&self) -> &str {
        self.uri.authority().map_or("", http::uri::Authority::as_str)
    }

    /// Says which connections it may use.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Request line and headers up to the value of the first id.
fn head_of(uri: &Uri, headers: &HeaderMap, families: &[[&str; 3]]) -> Result<String, ToStrError> {
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let host = uri.authority().map_or("", http::uri::Authority::as_str);
    let mut head = format!("POST {path} HTTP/1.1\r\n{HOST}: {host}\r\n");
    for (name, value) in headers {
        head.extend([name.as_str(), ": ", value.to_str()?, "\r\n"]);
    }
    head.extend([families[0][0], ": "]);
    Ok(head)
}
