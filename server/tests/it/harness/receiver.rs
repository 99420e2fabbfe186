//! A receiver of webhooks on a loopback port: records every request, answers as told.
//!
//! Raw TCP on purpose: an HTTP library would not make most mistakes of real endpoints.

use super::behaviour::{Behaviour, Then};
use super::{Watched, verify};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

/// A larger request ends its connection.
const MAX_REQUEST_BYTES: usize = 8 << 20;

/// More are answered but not kept, and a test that looks at them is told.
const MAX_KEPT: usize = 4_000_000;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// Names in lower case, in the order of arrival.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// When it was complete.
    pub(crate) at: Instant,
    /// The same by the wall clock.
    pub(crate) at_wall: SystemTime,
    /// Counts the receiver's connections from 0.
    pub(crate) connection: usize,
    /// The status that it was about to be answered; 0 for an answer that is not whole.
    pub(crate) answered: u16,
    /// The value that [`Receiver::stamp_with`] gave when it was complete; 0 without.
    pub(crate) stamp: u64,
}

/// A clock of a test's own.
type Stamp = Box<dyn Fn() -> u64 + Send>;

#[derive(Default)]
struct State {
    stamp: Option<Stamp>,
    requests: Vec<Received>,
    scripts: HashMap<String, VecDeque<Behaviour>>,
    connections: usize,
    open: usize,
    /// Address of the peer that connected last.
    last_peer: Option<SocketAddr>,
}

/// The running receiver. Ends when dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<Watched<State>>,
    runtime: Option<tokio::runtime::Runtime>,
}

// === impl Received ===

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The `webhook-id`, empty if there is none.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id").unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// True if one of its signatures is right for the secret `whsec_…`.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        self.is_signed_as("webhook", secret)
    }

    /// The same under the names of another family: `svix`.
    pub(crate) fn is_signed_as(&self, family: &str, secret: &str) -> bool {
        let header = |name: &str| self.header(&format!("{family}-{name}")).unwrap_or_default();
        verify(secret, header("id"), header("timestamp"), header("signature"), &self.body)
    }
}

// === impl Receiver ===

impl Receiver {
    /// Listens on a free port.
    pub(crate) fn start() -> Receiver {
        Receiver::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Listens on this port: to come back where another one was.
    pub(crate) fn start_at(address: SocketAddr) -> Receiver {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("receiver")
            .enable_all()
            .build()
            .expect("a runtime starts");
        let listener = runtime.block_on(TcpListener::bind(address)).expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Watched::<State>::default());
        runtime.spawn(accept(listener, Arc::clone(&state)));
        Receiver { address, state, runtime: Some(runtime) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// For an endpoint's `url`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sets the behaviours that requests to `path` get, one after the other; the last one stays.
    pub(crate) fn script(&self, path: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.state.change(|state| state.scripts.insert(path.to_owned(), behaviours.into_iter().collect()));
    }

    /// Stamps every request from now on, before it is answered.
    pub(crate) fn stamp_with(&self, stamp: impl Fn() -> u64 + Send + 'static) {
        self.state.change(|state| state.stamp = Some(Box::new(stamp)));
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.state.lock().requests.clone()
    }

    /// Those to one path.
    pub(crate) fn requests_to(&self, path: &str) -> Vec<Received> {
        self.state.lock().requests.iter().filter(|request| request.path == path).cloned().collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().requests.len()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().connections
    }

    /// Connections open now.
    pub(crate) fn open_connections(&self) -> usize {
        self.state.lock().open
    }

    /// Waits until all requests of dead senders are read, when nobody else sends: later requests were sent later.
    ///
    /// # Panics
    /// When the deadline passes first.
    #[track_caller]
    pub(crate) fn wait_for_the_last_words(&self, deadline: Duration) {
        // Connections are accepted in order, so that once this one was, all are that were made before.
        let marker = std::net::TcpStream::connect(self.address).expect("it listens");
        let address = marker.local_addr().expect("a connected socket has an address");
        let quiet =
            self.state.wait(deadline, |state| (state.last_peer == Some(address) && state.open == 1).then_some(()));
        quiet.expect("what was sent is still being read");
    }

    /// Forgets the requests so far.
    pub(crate) fn clear(&self) {
        self.state.change(|state| state.requests.clear());
    }

    /// Waits until the arrived requests fulfil `predicate`, which is asked at every arrival, and returns them.
    ///
    /// # Panics
    /// When the deadline passes first.
    #[track_caller]
    pub(crate) fn wait_until(
        &self,
        deadline: Duration,
        mut predicate: impl FnMut(&[Received]) -> bool,
    ) -> Vec<Received> {
        let found = self.state.wait(deadline, |state| {
            assert!(state.requests.len() < MAX_KEPT, "more requests than a test can look at");
            predicate(&state.requests).then(|| state.requests.clone())
        });
        found.unwrap_or_else(|| {
            let state = self.state.lock();
            let last: Vec<&str> = state.requests.iter().rev().take(10).map(|request| request.path.as_str()).collect();
            panic!("not within {deadline:?}; {} requests, the last ones to {last:?}", state.requests.len())
        })
    }

    /// Waits until `count` requests have arrived.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize, deadline: Duration) -> Vec<Received> {
        self.wait_until(deadline, |requests| requests.len() >= count)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<Watched<State>>) {
    while let Ok((stream, peer)) = listener.accept().await {
        let state = Arc::clone(&state);
        let number = state.change(|state| {
            state.connections += 1;
            state.open += 1;
            state.last_peer = Some(peer);
            state.connections - 1
        });
        tokio::spawn(async move {
            // A sender that goes away in the middle is part of many tests.
            let _ = converse(stream, number, &state).await;
            state.change(|state| state.open -= 1);
        });
    }
}

async fn converse(mut stream: TcpStream, connection: usize, state: &Watched<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(mut request) = read_request(&mut stream, &mut buffer, connection).await? {
        let behaviour = state.change(|state| {
            let script = state.scripts.get_mut(&request.path);
            let behaviour = match script {
                Some(script) if script.len() > 1 => script.pop_front(),
                Some(script) => script.front().cloned(),
                None => None,
            };
            let behaviour = behaviour.unwrap_or_else(|| Behaviour::of_path(&request.path));
            request.answered = behaviour.status_code();
            request.stamp = state.stamp.as_ref().map_or(0, |stamp| stamp());
            if state.requests.len() < MAX_KEPT {
                state.requests.push(request);
            }
            behaviour
        });
        if behaviour.perform(&mut stream).await? == Then::End {
            break;
        }
    }
    Ok(())
}

/// The next request of a connection; bytes that were read beyond it stay in `buffer`.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> io::Result<Option<Received>> {
    let head_end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if read_more(stream, buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse::<usize>());
    let length = match length {
        Some(Ok(length)) => length,
        None => 0,
        Some(Err(_)) => return Err(io::Error::from(io::ErrorKind::InvalidData)),
    };
    let total = head_end + 4 + length;
    while buffer.len() < total {
        if read_more(stream, buffer).await? == 0 {
            return Ok(None);
        }
    }
    let rest = buffer.split_off(total);
    let body = std::mem::replace(buffer, rest).split_off(head_end + 4);
    let (at, at_wall) = (Instant::now(), SystemTime::now());
    Ok(Some(Received { method, path, headers, body, at, at_wall, connection, answered: 0, stamp: 0 }))
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    if buffer.len() > MAX_REQUEST_BYTES {
        return Err(io::Error::from(io::ErrorKind::OutOfMemory));
    }
    buffer.reserve(16 * 1024);
    stream.read_buf(buffer).await
}
