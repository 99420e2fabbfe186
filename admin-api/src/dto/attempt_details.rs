//! The details of an attempt, and the headers of both sides: `MessageAttemptHeadersOut`.
//!
//! Headers that were sent are computed again from the endpoint as it is now. Values that may be credentials are not shown.

use control::query::attempt::Attempt;
use engine::dispatch::is_sensitive_header;
use engine::prepare::Plan;
use model::{AttemptDetails, HeaderLine, Protocol};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How an attempt went. A time that is not known, or a step that was not made, is null.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptDetailsOut {
    /// Name and value of each header of the answer, at most 64 of 2 KiB in all; values that may be credentials are masked.
    response_headers: Vec<Vec<String>>,
    /// The answer had more headers.
    response_headers_truncated: bool,
    /// Address and port that were called; null behind an egress proxy.
    peer: Option<String>,
    /// `HTTP/1.1` or `HTTP/2`; null when no connection was made.
    protocol: Option<&'static str>,
    /// The connection was there from an earlier attempt.
    connection_reused: bool,
    /// Microseconds of the lookup of the name.
    lookup_us: Option<u32>,
    /// Microseconds of connecting by TCP, or through the egress proxy.
    connect_us: Option<u32>,
    /// Microseconds of the TLS handshake.
    tls_us: Option<u32>,
    /// Microseconds from the start to the status line of the answer.
    first_byte_us: Option<u32>,
}

impl AttemptDetailsOut {
    /// With the headers of the answer or without.
    pub(crate) fn of(details: &AttemptDetails, with_headers: bool) -> AttemptDetailsOut {
        AttemptDetailsOut {
            response_headers: if with_headers { pairs_of(&details.response_headers) } else { Vec::new() },
            response_headers_truncated: details.headers_truncated,
            peer: details.peer.map(|peer| peer.to_string()),
            protocol: details.protocol.map(Protocol::as_str),
            connection_reused: details.connection_reused,
            lookup_us: details.lookup_us,
            connect_us: details.connect_us,
            tls_us: details.tls_us,
            first_byte_us: details.first_byte_us,
        }
    }
}

fn pairs_of(headers: &[HeaderLine]) -> Vec<Vec<String>> {
    headers.iter().map(|line| vec![line.name.clone(), line.value.clone()]).collect()
}

/// The headers of an attempt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageAttemptHeadersOut {
    /// Names of headers that were sent and whose values are not shown: credentials and signatures.
    sensitive: Vec<String>,
    /// Headers that were sent, computed again from the endpoint as it is now; empty when no request can be made from it.
    sent_headers: BTreeMap<String, String>,
    /// Name and value of each header of the answer; null where the server did not keep them.
    response_headers: Option<Vec<Vec<String>>>,
}

impl MessageAttemptHeadersOut {
    /// Of an attempt whose endpoint has this plan now.
    pub(crate) fn of(attempt: &Attempt, plan: &Plan) -> MessageAttemptHeadersOut {
        let (mut sensitive, mut sent_headers) = (Vec::new(), BTreeMap::new());
        let event = &attempt.event;
        for (name, value) in plan.headers().into_iter().flatten() {
            let name = name.as_str();
            let shown = match value.to_str().unwrap_or_default() {
                "" if name.ends_with("-id") => event.message_id(),
                "" if name.ends_with("-timestamp") => (attempt.record.started_at.0 / 1_000).to_string(),
                "" => String::new(),
                _ if name == "content-type" && event.content_type().is_some() => {
                    event.content_type().unwrap_or_default().to_owned()
                }
                value => value.to_owned(),
            };
            if name.ends_with("-signature") || is_sensitive_header(name) {
                sensitive.push(name.to_owned());
            } else {
                sent_headers.insert(name.to_owned(), shown);
            }
        }
        sensitive.sort_unstable();
        let kept = attempt.record.details.as_ref();
        let response_headers = kept.map(|details| pairs_of(&details.response_headers));
        MessageAttemptHeadersOut { sensitive, sent_headers, response_headers }
    }
}
