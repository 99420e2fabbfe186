//! A receiver that counts: thousands of requests a second, millions in all, each told apart by the number in its payload.
//!
//! Nothing is kept but counts; the harness's receiver keeps whole requests, which is too much here.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

/// The counts of arrived requests.
#[derive(Default)]
struct Counts {
    down: AtomicBool,
    /// Before each answer.
    delay: Duration,
    attempts: AtomicU64,
    successes: AtomicU64,
    /// By endpoint and number: the times that it was answered with 200.
    taken: Vec<Mutex<Vec<u8>>>,
}

/// The running receiver. Ends when dropped.
pub(crate) struct Counter {
    address: SocketAddr,
    counts: Arc<Counts>,
    runtime: Option<tokio::runtime::Runtime>,
}

// === impl Counter ===

impl Counter {
    /// Takes `delay` for each answer.
    pub(crate) fn start(endpoints: usize, delay: Duration) -> Counter {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let taken = (0..endpoints).map(|_| Mutex::default()).collect();
        let counts = Arc::new(Counts { delay, taken, ..Counts::default() });
        let shared = Arc::clone(&counts);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counts = Arc::clone(&shared);
                // A sender that closes is no news.
                tokio::spawn(async move { drop(converse(stream, &counts).await) });
            }
        });
        Counter { address, counts, runtime: Some(runtime) }
    }

    /// For an endpoint, counted from 0.
    pub(crate) fn url(&self, endpoint: usize) -> String {
        format!("http://{}/{endpoint}", self.address)
    }

    /// Makes every endpoint answer 503, or 200 again.
    pub(crate) fn set_down(&self, down: bool) {
        self.counts.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.counts.attempts.load(Ordering::SeqCst)
    }

    pub(crate) fn successes(&self) -> u64 {
        self.counts.successes.load(Ordering::SeqCst)
    }

    /// The times that an endpoint took each of the first `count` numbers.
    pub(crate) fn taken(&self, endpoint: usize, count: u64) -> Vec<u8> {
        let mut taken = self.counts.taken[endpoint].lock().unwrap().clone();
        taken.resize(count as usize, 0);
        taken
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn converse(mut stream: TcpStream, counts: &Counts) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(4_096);
    loop {
        let Some((endpoint, number, length)) = parse(&buffer) else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        buffer.drain(..length);
        counts.attempts.fetch_add(1, Ordering::SeqCst);
        if !counts.delay.is_zero() {
            tokio::time::sleep(counts.delay).await;
        }
        let down = counts.down.load(Ordering::SeqCst);
        if !down {
            let mut taken = counts.taken[endpoint].lock().unwrap();
            if taken.len() <= number {
                taken.resize(number + 1, 0);
            }
            taken[number] = taken[number].saturating_add(1);
            counts.successes.fetch_add(1, Ordering::SeqCst);
        }
        stream.write_all(if down { UNAVAILABLE } else { OK }).await?;
    }
}

/// Endpoint, number and length of the request that the bytes begin with, once it is whole.
fn parse(bytes: &[u8]) -> Option<(usize, usize, usize)> {
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_end]).expect("a head is text");
    let path = head.split(' ').nth(1).expect("a path");
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length")).expect("a length").1;
    let length: usize = length.trim().parse().expect("a number");
    let body = bytes.get(head_end..head_end + length)?;
    let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    let number = body["number"].as_u64().expect("a number") as usize;
    Some((path[1..].parse().expect("an endpoint"), number, head_end + length))
}
