//! The details of an attempt: its connection, the time of each step, the headers of the answer.
//!
//! A server's setting says which attempts keep them. Most do not, so a record has room for a pointer only.

use std::net::SocketAddr;

/// Bytes of names and values that the headers of one answer keep.
pub const KEPT_HEADERS_LEN_MAX: usize = 2 * 1024;
/// Lines that the headers of one answer keep.
pub const KEPT_HEADERS_MAX: usize = 64;

/// The version of HTTP that a receiver spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// The name that the API shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http1 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
        }
    }
}

/// One header of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderLine {
    /// In lower case.
    pub name: String,
    /// Masked where it may be a credential.
    pub value: String,
}

/// How an attempt went, beyond its outcome. A time that is not known, or a step that was not made, is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptDetails {
    /// Of the answer, in the order in which they came; at most [`KEPT_HEADERS_MAX`] of [`KEPT_HEADERS_LEN_MAX`] bytes.
    pub response_headers: Vec<HeaderLine>,
    /// Set when there were more.
    pub headers_truncated: bool,
    /// The address that was called; none behind an egress proxy, whose address is the operator's.
    pub peer: Option<SocketAddr>,
    /// None when no connection was made.
    pub protocol: Option<Protocol>,
    /// Set when the connection was there from an earlier attempt: then no step of connecting was made.
    pub connection_reused: bool,
    /// Microseconds that the lookup of the name took.
    pub lookup_us: Option<u32>,
    /// Microseconds that TCP took, or the way through the proxy.
    pub connect_us: Option<u32>,
    /// Microseconds that the handshake of TLS took.
    pub tls_us: Option<u32>,
    /// Microseconds from the start of the attempt to the status line of the answer.
    pub first_byte_us: Option<u32>,
}
