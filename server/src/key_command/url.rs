//! The URL of a running server's API. Only plain HTTP is spoken.
//!
//! Behind a proxy with TLS, the operator runs the command on the server's machine. A server that speaks TLS itself cannot
//! be reached by it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An `http://` URL without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiUrl(String);

/// A text that is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the server's own address, e.g. http://127.0.0.1:8071")]
pub(crate) struct NotAnApiUrl;

impl ApiUrl {
    /// The API of a listener on this machine; `None` when its port was left to the system.
    pub(crate) fn of_listener(mut listen: SocketAddr) -> Option<ApiUrl> {
        match listen.ip() {
            ip if !ip.is_unspecified() => {}
            IpAddr::V4(_) => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(_) => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        }
        (listen.port() != 0).then(|| ApiUrl(format!("http://{listen}")))
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ApiUrl {
    type Err = NotAnApiUrl;

    fn from_str(text: &str) -> Result<ApiUrl, NotAnApiUrl> {
        let uri: http::Uri = text.parse().map_err(|_| NotAnApiUrl)?;
        let has_user = uri.authority().is_none_or(|authority| authority.as_str().contains('@'));
        if uri.scheme_str() != Some("http") || has_user || uri.query().is_some() {
            return Err(NotAnApiUrl);
        }
        Ok(ApiUrl(text.trim_end_matches('/').to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_reached_by_an_address_that_can_be_dialled() {
        for (listen, url) in [
            ("127.0.0.1:8071", Some("http://127.0.0.1:8071")),
            ("0.0.0.0:80", Some("http://127.0.0.1:80")),
            ("[::]:80", Some("http://[::1]:80")),
            ("10.1.2.3:80", Some("http://10.1.2.3:80")),
            ("127.0.0.1:0", None),
        ] {
            let found = ApiUrl::of_listener(listen.parse().unwrap());
            assert_eq!(found.as_ref().map(ApiUrl::as_str), url, "{listen}");
        }
    }

    #[test]
    fn only_plain_http_urls_are_taken() {
        assert_eq!("http://localhost:8071/".parse::<ApiUrl>().unwrap().as_str(), "http://localhost:8071");
        for wrong in ["https://a", "127.0.0.1:8071", "http://", "/api", "http://a?b", "http://user@a", "ftp://a", ""] {
            assert_eq!(wrong.parse::<ApiUrl>(), Err(NotAnApiUrl), "{wrong}");
        }
    }
}
