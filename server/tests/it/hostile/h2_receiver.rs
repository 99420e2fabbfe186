//! A receiver that speaks HTTP/2 in raw frames over TLS and floods its client; over HTTP/1.1 it answers 200.
//!
//! A flood is bounded in bytes and in time, and stops by itself.

use super::authority::Authority;
use super::tls_floods;
use crate::harness::Watched;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const PREFACE_LEN: usize = 24;
/// About the size in bytes of one piece of a flood below HTTP.
const PIECE_LEN: usize = 16 * 1024;
const FLOOD_LEN_MAX: usize = 256 << 20;
const FLOOD_TIME_MAX: Duration = Duration::from_secs(6);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The kind of bytes that are sent without end once a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// 1xx heads, and never the final one.
    Informational,
    WindowUpdate,
    Priority,
    GoAway,
    Settings,
    Ping,
    EmptyData,
    TinyData,
    Continuation,
    RstStream,
    /// Answers well and is silent then: the control, to be told apart from a flood.
    Honest,
    /// Answers well, and then talks on a connection without a request.
    TalkAfterwards,
    /// Talks from the handshake on, and reads no request.
    TalkBefore,
    /// An answer whose bytes come in a TLS record each.
    TinyRecords,
    /// TLS 1.3 key updates.
    KeyUpdates,
    /// TLS 1.3 session tickets, megabytes of them.
    Tickets,
}

/// The events on the receiver's connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) http2_requests: usize,
    pub(crate) http1_requests: usize,
    /// The durations of the floods that ended because the client closed.
    pub(crate) cut_off: Vec<Duration>,
    /// Floods that went on to their own bound.
    pub(crate) not_cut_off: usize,
}

pub(crate) struct H2Receivers {
    pub(crate) ports: Vec<u16>,
    pub(crate) record: Arc<Watched<Record>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl H2Receivers {
    /// So many, each on a port of its own: to Pinion they are strangers to each other.
    pub(crate) fn start(authority: &Authority, attack: Attack, count: usize) -> H2Receivers {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = authority.receiver("127.0.0.1", &["h2", "http/1.1"]);
        let acceptor = TlsAcceptor::from(tls_floods::config(config, attack));
        let record = Arc::new(Watched::<Record>::default());
        let ports = (0..count).map(|_| {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let port = listener.local_addr().unwrap().port();
            runtime.spawn(accept(listener, acceptor.clone(), attack, Arc::clone(&record)));
            port
        });
        H2Receivers { ports: ports.collect(), record, runtime: Some(runtime) }
    }
}

impl Drop for H2Receivers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, attack: Attack, record: Arc<Watched<Record>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, record) = (acceptor.clone(), Arc::clone(&record));
        tokio::spawn(async move {
            let started = Instant::now();
            let accepted = acceptor.accept(stream).await;
            if attack == Attack::Tickets {
                // They are the last part of its handshake.
                return after_tickets(accepted.ok(), started, &record).await;
            }
            let Ok(stream) = accepted else { return };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            // The test is about a client that leaves in the middle.
            let _ = match attack {
                Attack::TinyRecords | Attack::KeyUpdates => below_http(stream, attack, &record).await,
                _ => {
                    let (reader, writer) = tokio::io::split(stream);
                    if is_http2 {
                        http2(reader, writer, attack, &record).await
                    } else {
                        http1(reader, writer, &record).await
                    }
                }
            };
        });
    }
}

async fn http1(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    record: &Watched<Record>,
) -> io::Result<()> {
    let mut seen = Vec::new();
    while reader.read_buf(&mut seen).await? > 0 {
        // The body of the tests' messages ends so.
        if seen.ends_with(b"}}") || seen.ends_with(b"}") {
            seen.clear();
            record.change(|record| record.http1_requests += 1);
            writer.write_all(OK).await?;
            writer.flush().await?;
        }
    }
    Ok(())
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The bytes before the flood, and the bytes that it repeats.
fn frames(attack: Attack, stream: u32) -> (Vec<u8>, Vec<u8>) {
    let answer = |end: u8| frame(1, 0x4 | end, stream, &[0x88]);
    match attack {
        Attack::Informational => (Vec::new(), frame(1, 0x4, stream, b"\x08\x03103")),
        Attack::WindowUpdate => (Vec::new(), frame(8, 0, 0, &1u32.to_be_bytes())),
        Attack::Priority => (Vec::new(), frame(2, 0, stream, &[0, 0, 0, 0, 1])),
        Attack::GoAway => (Vec::new(), frame(7, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])),
        Attack::Settings => (Vec::new(), frame(4, 0, 0, &[])),
        Attack::Ping => (Vec::new(), frame(6, 0, 0, &[7; 8])),
        Attack::EmptyData => (answer(0), frame(0, 0, stream, &[])),
        Attack::TinyData => (answer(0), frame(0, 0, stream, b"x")),
        Attack::Continuation => (frame(1, 0, stream, &[0x88]), frame(9, 0, stream, &[])),
        Attack::RstStream => (Vec::new(), frame(3, 0, stream, &[0, 0, 0, 8])),
        Attack::Honest => (answer(0x1), Vec::new()),
        Attack::TalkAfterwards => (answer(0x1), frame(8, 0, 0, &1u32.to_be_bytes())),
        Attack::TalkBefore => (Vec::new(), frame(6, 0, 0, &[7; 8])),
        Attack::TinyRecords => ([answer(0), frame(0, 0, stream, &[])].concat(), Vec::new()),
        Attack::KeyUpdates | Attack::Tickets => (Vec::new(), Vec::new()),
    }
}

async fn http2(
    mut reader: impl AsyncRead + Unpin + Send + 'static,
    mut writer: impl AsyncWrite + Unpin,
    attack: Attack,
    record: &Watched<Record>,
) -> io::Result<()> {
    writer.write_all(&frame(4, 0, 0, &[])).await?;
    writer.flush().await?;
    let mut stream = 1;
    if attack != Attack::TalkBefore {
        reader.read_exact(&mut [0; PREFACE_LEN]).await?;
        stream = first_request(&mut reader).await?;
        record.change(|record| record.http2_requests += 1);
    }
    // The client's bytes are read and thrown away, so that its answers do not stop the flood.
    tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.ok() });
    let (first, repeated) = frames(attack, stream);
    writer.write_all(&first).await?;
    writer.flush().await?;
    if attack == Attack::TalkAfterwards {
        // The answer arrives by itself, and the connection is without a request then.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let piece = repeated.repeat(16 * 1024 / repeated.len().max(1));
    let mut flood = Flood::begin(record);
    while !piece.is_empty() && flood.goes_on(piece.len()) {
        let written = async {
            writer.write_all(&piece).await?;
            writer.flush().await
        };
        flood.note(tokio::time::timeout(FLOOD_TIME_MAX, written).await.ok());
    }
    Ok(())
}

/// Notes the time when the client closed: all the tickets are sent, or it has closed already.
async fn after_tickets(stream: Option<TlsStream<TcpStream>>, started: Instant, record: &Watched<Record>) {
    let ended = async {
        let Some(mut stream) = stream else { return };
        while stream.read(&mut [0; 1024]).await.is_ok_and(|len| len > 0) {}
    };
    let is_cut_off = tokio::time::timeout(FLOOD_TIME_MAX, ended).await.is_ok();
    record.change(|record| match is_cut_off {
        true => record.cut_off.push(started.elapsed()),
        false => record.not_cut_off += 1,
    });
}

/// A flood of TLS records, after the first request where an answer is to be begun.
async fn below_http(mut stream: TlsStream<TcpStream>, attack: Attack, record: &Watched<Record>) -> io::Result<()> {
    if attack == Attack::TinyRecords {
        stream.write_all(&frame(4, 0, 0, &[])).await?;
        stream.read_exact(&mut [0; PREFACE_LEN]).await?;
        let number = first_request(&mut stream).await?;
        record.change(|record| record.http2_requests += 1);
        let (mut first, _) = frames(attack, number);
        // Its data frame is to have 16,384 bytes.
        let len_at = first.len() - 9;
        first[len_at..len_at + 3].copy_from_slice(&[0, 0x40, 0]);
        stream.write_all(&first).await?;
    }
    let mut flood = Flood::begin(record);
    while flood.goes_on(PIECE_LEN) {
        let written = async {
            tls_floods::piece(stream.get_mut().1, attack)?;
            stream.flush().await
        };
        flood.note(tokio::time::timeout(FLOOD_TIME_MAX, written).await.ok());
    }
    Ok(())
}

/// A flood that is under way: it ends when the client closes, or at its own bounds.
struct Flood<'a> {
    record: &'a Watched<Record>,
    started: Instant,
    sent: usize,
    is_over: bool,
}

impl Flood<'_> {
    fn begin(record: &Watched<Record>) -> Flood<'_> {
        Flood { record, started: Instant::now(), sent: 0, is_over: false }
    }

    /// True if so many bytes more are to be sent.
    fn goes_on(&mut self, len: usize) -> bool {
        self.sent += len;
        let is_at_its_bound = self.sent > FLOOD_LEN_MAX || self.started.elapsed() > FLOOD_TIME_MAX;
        if is_at_its_bound && !self.is_over {
            self.is_over = true;
            self.record.change(|record| record.not_cut_off += 1);
        }
        !self.is_over
    }

    /// Notes the result of one sending; none when it took too long.
    fn note(&mut self, sent: Option<io::Result<()>>) {
        let lasted = self.started.elapsed();
        match sent {
            Some(Ok(())) => return,
            Some(Err(_)) => self.record.change(|record| record.cut_off.push(lasted)),
            None => self.record.change(|record| record.not_cut_off += 1),
        }
        self.is_over = true;
    }
}

/// Reads frames up to the first HEADERS; answers its stream.
async fn first_request(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<u32> {
    loop {
        let mut head = [0; 9];
        reader.read_exact(&mut head).await?;
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        reader.read_exact(&mut vec![0; len]).await?;
        if head[3] == 1 {
            return Ok(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        }
    }
}
