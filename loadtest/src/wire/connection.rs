//! One connection: sends a prepared request, reads the answer.
//!
//! One exchange at a time: pushing measures acknowledgements, and a pipelined one has no time of its own.

use anyhow::{Context as _, bail};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer is longer.
const ANSWER_LEN_MAX: usize = 16 << 20;
/// Headers of an answer.
const HEADERS_MAX: usize = 32;
/// Room for a usual answer.
const BUFFER_LEN: usize = 4 * 1024;

/// A kept-alive connection to one server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer; lives until the next exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'a> {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: &'a [u8],
}

/// The place of an answer's body, and its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body_start: usize,
    body_len: usize,
}

impl Connection {
    /// Opens a connection.
    ///
    /// # Errors
    /// When no server listens at the address.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(BUFFER_LEN) })
    }

    /// Sends a whole request and reads the whole answer.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not understood; the connection is of no use then.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Reply<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed without an answer");
            }
            if head.is_none() {
                head = parse_head(&self.buffer)?;
            }
            let Some(Head { status, body_start, body_len }) = head else { continue };
            if self.buffer.len() >= body_start + body_len {
                return Ok(Reply { status, body: &self.buffer[body_start..body_start + body_len] });
            }
        }
    }
}

/// `None` while the head is not complete.
fn parse_head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body_start) = response.parse(bytes)? else {
        return Ok(None);
    };
    let mut body_len = 0;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            body_len = str::from_utf8(header.value)?.trim().parse().context("content-length")?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("a chunked answer, which is not understood here");
        }
    }
    if body_len > ANSWER_LEN_MAX {
        bail!("an answer of {body_len} bytes");
    }
    Ok(Some(Head { status: response.code.context("an answer without a status")?, body_start, body_len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse_head(&answer[..20]).unwrap(), None);
        let head = parse_head(answer).unwrap().unwrap();
        assert_eq!(head, Head { status: 202, body_start: answer.len() - 2, body_len: 2 });
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").is_err());
        assert!(parse_head(b"nonsense\r\n\r\n").is_err());
    }
}
