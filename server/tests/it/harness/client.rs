//! A blocking HTTP/1.1 client of a few lines: one connection per request, every step with a deadline.
//!
//! Deliberately not a library: a test that sends something malformed writes it itself ([`raw`]).

use serde_json::Value;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// For each connect, read and write.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Talks to one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    bearer: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client { address, bearer: None }
    }

    pub(crate) fn with_bearer(mut self, token: &str) -> Client {
        self.bearer = Some(token.to_owned());
        self
    }

    /// Sends one request.
    ///
    /// # Errors
    /// When there is no complete answer.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> io::Result<Response> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        if let Some(token) = &self.bearer {
            request.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                request.push_str("content-type: application/json\r\n");
            }
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        parse(&raw(self.address, &bytes)?)
    }

    /// Sends JSON and reads JSON; `Value::Null` sends no body, and stands for an empty one.
    ///
    /// # Panics
    /// When there is no complete answer, or a body that is not JSON.
    #[track_caller]
    pub(crate) fn json(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let bytes = if body.is_null() { None } else { Some(body.to_string().into_bytes()) };
        let response =
            self.send(method, path, &[], bytes.as_deref()).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        (response.status, response.json())
    }
}

// === impl Response ===

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("status {}: {}", self.status, self.text()))
    }
}

/// Sends bytes as they are and returns everything until the other side closes.
///
/// # Errors
/// When connecting, writing or reading fails or takes too long.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Reads an answer that ended with its connection.
fn parse(bytes: &[u8]) -> io::Result<Response> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what} in {} bytes", bytes.len()));
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(|| bad("no end of the head"))?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| bad("a head that is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut response = Response { status: status.ok_or_else(|| bad("no status"))?, headers, body: Vec::new() };
    let rest = &bytes[end + 4..];
    response.body = if response.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        unchunk(rest).ok_or_else(|| bad("an unfinished chunked body"))?
    } else if let Some(length) = response.header("content-length").and_then(|value| value.parse::<usize>().ok()) {
        rest.get(..length).ok_or_else(|| bad("an unfinished body"))?.to_vec()
    } else {
        rest.to_vec()
    };
    Ok(response)
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        rest = rest.get(line + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
