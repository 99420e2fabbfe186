//! The behaviours of a receiver: everything that endpoints of the real world do, on request.
//!
//! By path, without any preparation:
//!
//! | path | behaviour |
//! |---|---|
//! | `/status/503` | answers 503 (any status) |
//! | `/retry-after/429/2` · `/retry-after-date/503/2` | with `Retry-After` in seconds, or as a date that far ahead |
//! | `/retry-after-past/503/60` · `/retry-after-fraction/503/1` | as a date that far back, or as 1.5 seconds |
//! | `/redirect/…` | 301 to `/…` of the same receiver |
//! | `/delay/200` | answers 200 after 200 ms |
//! | `/reset` · `/close` | resets, or closes, the connection without an answer |
//! | `/stall` · `/stall-body` | never answers; answers the head and never the body |
//! | `/endless/500` · `/drip` · `/drip-body` | a body without end; an answer, or only its body, of one byte a second |
//! | `/garbage` | something that is not HTTP |
//! | `/many-headers/150` · `/cookies/20000` | 200 with so many headers, or so many bytes of cookies |
//! | `/too-short` · `/bad-chunk` · `/no-last-chunk` · `/old-chunks` · `/spaced-colon` | 200, then a breach of HTTP |
//! | anything else | 200 |
//!
//! A path that was given a script ([`super::Receiver::script`]) follows that instead.

use std::io;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Nothing lasts longer, however long the sender stays.
const PATIENCE: Duration = Duration::from_secs(120);

/// The behaviour towards one request.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// An answer.
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
        /// Before it.
        delay: Duration,
    },
    /// `Retry-After` as a date this far after the request, or before it.
    RetryAfterDate { status: u16, seconds: i64 },
    /// A reset (RST) without an answer.
    Reset,
    /// An orderly close without an answer.
    Close,
    /// No answer, connection open.
    Stall,
    /// The head of an answer, then nothing.
    StallBody,
    /// A body that does not end.
    Endless { status: u16 },
    /// An answer of one byte per second.
    Drip,
    /// The head of an answer at once, its body of one byte per second.
    DripBody,
    /// Not HTTP.
    Garbage,
    /// These bytes, then the end of the connection.
    Raw(String),
}

/// Tells if the connection takes another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Next,
    End,
}

// === impl Behaviour ===

impl Behaviour {
    pub(crate) fn status(status: u16) -> Behaviour {
        Behaviour::Answer { status, headers: Vec::new(), body: Vec::new(), delay: Duration::ZERO }
    }

    pub(crate) fn delayed(status: u16, delay: Duration) -> Behaviour {
        Behaviour::Answer { status, headers: Vec::new(), body: Vec::new(), delay }
    }

    pub(crate) fn with_body(status: u16, body: impl Into<Vec<u8>>) -> Behaviour {
        Behaviour::Answer { status, headers: Vec::new(), body: body.into(), delay: Duration::ZERO }
    }

    pub(crate) fn with_header(status: u16, name: &str, value: &str) -> Behaviour {
        let headers = vec![(name.to_owned(), value.to_owned())];
        Behaviour::Answer { status, headers, body: Vec::new(), delay: Duration::ZERO }
    }

    fn raw(headers: &str, body: &str) -> Behaviour {
        Behaviour::Raw(format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}"))
    }

    /// The behaviour that a path stands for, see the table above.
    pub(super) fn of_path(path: &str) -> Behaviour {
        let path = path.split('?').next().unwrap_or_default();
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let (word, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut numbers = rest.split('/').map(|part| part.parse::<u64>().ok());
        let (first, second) = (numbers.next().flatten(), numbers.next().flatten());
        match (word, first, second) {
            ("status", Some(status), _) => Behaviour::status(status as u16),
            ("retry-after", Some(status), Some(seconds)) => {
                Behaviour::with_header(status as u16, "retry-after", &seconds.to_string())
            }
            ("retry-after-date", Some(status), Some(seconds)) => {
                Behaviour::RetryAfterDate { status: status as u16, seconds: seconds as i64 }
            }
            ("retry-after-past", Some(status), Some(seconds)) => {
                Behaviour::RetryAfterDate { status: status as u16, seconds: -(seconds as i64) }
            }
            ("retry-after-fraction", Some(status), Some(seconds)) => {
                Behaviour::with_header(status as u16, "retry-after", &format!("{seconds}.5"))
            }
            ("redirect", _, _) => Behaviour::with_header(301, "location", &format!("/{rest}")),
            ("delay", Some(ms), _) => Behaviour::delayed(200, Duration::from_millis(ms)),
            ("reset", _, _) => Behaviour::Reset,
            ("close", _, _) => Behaviour::Close,
            ("stall", _, _) => Behaviour::Stall,
            ("stall-body", _, _) => Behaviour::StallBody,
            ("endless", status, _) => Behaviour::Endless { status: status.unwrap_or(200) as u16 },
            ("drip", _, _) => Behaviour::Drip,
            ("drip-body", _, _) => Behaviour::DripBody,
            ("garbage", _, _) => Behaviour::Garbage,
            ("many-headers", Some(count), _) => {
                Behaviour::raw(&(0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>(), "ok")
            }
            ("cookies", Some(bytes), _) => {
                Behaviour::raw(&"set-cookie: a=0123456789\r\n".repeat(bytes as usize / 26), "")
            }
            ("too-short", _, _) => Behaviour::Raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_owned()),
            ("bad-chunk", _, _) => Behaviour::raw("transfer-encoding: chunked\r\n", "2\r\nok\r\nzz\r\n"),
            ("no-last-chunk", _, _) => Behaviour::raw("transfer-encoding: chunked\r\n", "2\r\nok\r\n"),
            ("old-chunks", _, _) => {
                let chunks = "2\r\nok\r\n0\r\n\r\n";
                Behaviour::Raw(format!("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"))
            }
            ("spaced-colon", _, _) => Behaviour::raw("content-length : 2\r\n", "ok"),
            _ => Behaviour::status(200),
        }
    }

    /// The status that the sender sees; 0 when it gets no whole answer.
    pub(super) fn status_code(&self) -> u16 {
        match self {
            Behaviour::Answer { status, .. } | Behaviour::RetryAfterDate { status, .. } => *status,
            _ => 0,
        }
    }

    /// Does it. Ends early when the sender goes away.
    pub(super) async fn perform(self, stream: &mut TcpStream) -> io::Result<Then> {
        match self {
            Behaviour::Answer { status, headers, body, delay } => {
                if !delay.is_zero() {
                    tokio::time::sleep(delay.min(PATIENCE)).await;
                }
                stream.write_all(&answer(status, &headers, &body)).await?;
                return Ok(Then::Next);
            }
            Behaviour::RetryAfterDate { status, seconds } => {
                let (now, by) = (SystemTime::now(), Duration::from_secs(seconds.unsigned_abs()));
                let date = httpdate::fmt_http_date(if seconds < 0 { now - by } else { now + by });
                stream.write_all(&answer(status, &[("retry-after".to_owned(), date)], b"")).await?;
                return Ok(Then::Next);
            }
            // Closing with a linger of zero sends RST instead of FIN.
            Behaviour::Reset => stream.set_zero_linger()?,
            Behaviour::Close => {}
            Behaviour::Stall => wait_for_close(stream).await,
            Behaviour::StallBody => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await?;
                wait_for_close(stream).await;
            }
            Behaviour::Endless { status } => {
                let head = format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                let endless = async { while stream.write_all(&[b'.'; 16 * 1024]).await.is_ok() {} };
                let _ = tokio::time::timeout(PATIENCE, endless).await;
            }
            Behaviour::Drip => drip(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nslow").await?,
            Behaviour::DripBody => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n").await?;
                drip(stream, &[b'.'; 60]).await?;
            }
            // Ends early when the sender has read enough.
            Behaviour::Raw(text) => drop(stream.write_all(text.as_bytes()).await),
            Behaviour::Garbage => stream.write_all(b"220 mail.example.org ESMTP\r\n").await?,
        }
        Ok(Then::End)
    }
}

fn answer(status: u16, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    // Neither may say how long it is (RFC 9110, 8.6).
    if status != 204 && status >= 200 {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn drip(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

async fn wait_for_close(stream: &mut TcpStream) {
    use tokio::io::AsyncReadExt as _;
    let mut byte = [0; 1];
    let closed = async { while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {} };
    let _ = tokio::time::timeout(PATIENCE, closed).await;
}
