//! A receiver that answers well, falls silent on command, and answers all that waited once it is well again.
//!
//! Keeps counts only, since thousands of endpoints of an attack lead here.

use crate::harness::Watched;
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A message whose body has this is counted by path.
const MARK: &[u8] = b"\"fresh\"";

#[derive(Debug, Default)]
struct Counts {
    answered: usize,
    /// Paths at which a marked message was answered.
    fresh: HashSet<String>,
}

/// The running receiver. Ends when dropped.
pub(crate) struct Moody {
    address: SocketAddr,
    counts: Arc<Watched<Counts>>,
    silent: watch::Sender<bool>,
    runtime: Option<tokio::runtime::Runtime>,
}

// === impl Moody ===

impl Moody {
    /// Answers well.
    pub(crate) fn start() -> Moody {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (counts, (silent, is_silent)) = (Arc::new(Watched::<Counts>::default()), watch::channel(false));
        let shared = Arc::clone(&counts);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counts, is_silent) = (Arc::clone(&shared), is_silent.clone());
                // The test is about a sender that gives up.
                tokio::spawn(async move { converse(stream, &counts, is_silent).await.ok() });
            }
        });
        Moody { address, counts, silent, runtime: Some(runtime) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }

    /// Requests that were answered.
    pub(crate) fn answered(&self) -> usize {
        self.counts.lock().answered
    }

    /// Paths at which a marked message was answered.
    pub(crate) fn fresh(&self) -> usize {
        self.counts.lock().fresh.len()
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn converse(
    mut stream: TcpStream,
    counts: &Watched<Counts>,
    mut is_silent: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some(len) = request_len(&buffer) else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let request: Vec<u8> = buffer.drain(..len).collect();
        if is_silent.wait_for(|silent| !silent).await.is_err() {
            return Ok(());
        }
        stream.write_all(OK).await?;
        let is_marked = request.windows(MARK.len()).any(|part| part == MARK);
        counts.change(|counts| {
            counts.answered += 1;
            if is_marked {
                counts.fresh.insert(path(&request));
            }
        });
    }
}

/// Bytes of the request at the start, once it is whole.
fn request_len(bytes: &[u8]) -> Option<usize> {
    let head_len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_len]).to_ascii_lowercase();
    let body_len = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
    (bytes.len() >= head_len + body_len).then_some(head_len + body_len)
}

fn path(request: &[u8]) -> String {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    String::from_utf8_lossy(line).split(' ').nth(1).unwrap_or_default().to_owned()
}
