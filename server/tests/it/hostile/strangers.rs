//! Thousands of strangers without a key, from hundreds of addresses, for as long as they live. Their connections say
//! nothing, drip heads, or speak HTTP/2 without a request, with pings and answers to pings. Strangers whose connections
//! are closed come back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

/// Addresses that they come from: 127.0.0.2 and so on.
const ADDRESSES: usize = 200;
/// Time after which a stranger whose connection was closed comes back.
const BACK_AFTER: Duration = Duration::from_secs(5);
/// Time between two words of a stranger.
const WORD_EVERY: Duration = Duration::from_secs(2);
/// Strangers that connect at once.
const CONNECTING_MAX: usize = 64;

const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0stranger";
const SETTINGS_ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";

/// The crowd. Leaves when dropped.
pub(crate) struct Strangers {
    open: Arc<AtomicUsize>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// Counts an open connection.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

// === impl Strangers ===

impl Strangers {
    pub(crate) fn start(server: SocketAddr, count: usize) -> Strangers {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (open, connecting) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(CONNECTING_MAX)));
        for nth in 0..count {
            let (open, connecting) = (Arc::clone(&open), Arc::clone(&connecting));
            runtime.spawn(async move {
                loop {
                    // Refused or closed: the server may.
                    come(nth, server, &open, &connecting).await.ok();
                    tokio::time::sleep(BACK_AFTER).await;
                }
            });
        }
        Strangers { open, runtime: Some(runtime) }
    }

    /// Connections that are open now, as far as their strangers know.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn come(nth: usize, server: SocketAddr, open: &AtomicUsize, connecting: &Semaphore) -> io::Result<()> {
    let turn = connecting.acquire().await.map_err(io::Error::other)?;
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(2 + nth % ADDRESSES).unwrap_or(2);
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0))?;
    let mut stream = socket.connect(server).await?;
    drop(turn);
    open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(open);
    match nth % 3 {
        0 => drop(stream.read(&mut [0; 64]).await?),
        1 => drip_a_head(&mut stream).await?,
        _ => ping(&mut stream).await?,
    }
    Ok(())
}

async fn drip_a_head(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"GET /api/v1/health HTTP/1.1\r\nx-slow: ").await?;
    loop {
        match tokio::time::timeout(WORD_EVERY, stream.read(&mut [0; 64])).await {
            Ok(closed) => return closed.map(drop),
            Err(_) => stream.write_all(b"x").await?,
        }
    }
}

async fn ping(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(HTTP2).await?;
    let mut seen = Vec::new();
    loop {
        match tokio::time::timeout(WORD_EVERY, stream.read_buf(&mut seen)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(read) => drop(read?),
            Err(_) => stream.write_all(PING).await?,
        }
        while let Some(frame) = take_frame(&mut seen) {
            match (frame[3], frame[4] & 1) {
                (4, 0) => stream.write_all(SETTINGS_ACK).await?,
                (6, 0) => stream.write_all(&[&frame[..4], &[1], &frame[5..]].concat()).await?,
                _ => {}
            }
        }
    }
}

fn take_frame(seen: &mut Vec<u8>) -> Option<Vec<u8>> {
    let head = seen.get(..9)?;
    let len = 9 + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    (seen.len() >= len).then(|| seen.drain(..len).collect())
}
