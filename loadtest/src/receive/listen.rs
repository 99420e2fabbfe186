//! Listens, and spreads connections over threads.
//!
//! Each thread has a single-threaded runtime, so that a connection never moves.

use super::intake::Intake;
use super::{hyper, lean};
use crate::cli::ReceiverKind;
use anyhow::Context as _;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Connections on their way to a thread.
const HANDOVER_CAPACITY: usize = 1_024;

/// The running receiver; ends when dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    addresses: Vec<SocketAddr>,
    intake: Arc<Intake>,
    /// Its end tells the acceptor, whose end tells the others.
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Receiver {
    /// Listens on each of `listen` with `threads` threads.
    ///
    /// # Errors
    /// When an address is taken.
    pub(crate) fn start(
        listen: &[SocketAddr],
        kind: ReceiverKind,
        threads: u32,
        intake: Arc<Intake>,
    ) -> anyhow::Result<Receiver> {
        let mut listeners = Vec::new();
        for address in listen {
            let listener = StdListener::bind(address).with_context(|| format!("listening on {address}"))?;
            listener.set_nonblocking(true)?;
            listeners.push(listener);
        }
        let addresses = listeners.iter().map(StdListener::local_addr).collect::<Result<_, _>>()?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let mut receiver = Receiver { addresses, intake, stop: Some(stop), threads: Vec::new() };
        let mut lanes = Vec::new();
        for lane in 0..threads as usize {
            let (hand, streams) = mpsc::channel(HANDOVER_CAPACITY);
            lanes.push(hand);
            receiver.spawn(format!("receive-{lane}"), serve_lane(streams, kind, lane, Arc::clone(&receiver.intake)))?;
        }
        let intake = Arc::clone(&receiver.intake);
        receiver.spawn("accept".to_owned(), async move {
            let accepting = listeners.into_iter().map(|listener| accept(listener, Arc::clone(&intake), lanes.clone()));
            let mut tasks = tokio::task::JoinSet::new();
            accepting.for_each(|task| drop(tasks.spawn(task)));
            drop(lanes);
            // An error is the sender's end: the receiver was dropped.
            drop(stopped.await);
        })?;
        Ok(receiver)
    }

    /// The addresses that it listens on, in the order asked for.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes the requests.
    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }

    fn spawn(&mut self, name: String, task: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        self.threads.push(std::thread::Builder::new().name(name).spawn(move || runtime.block_on(task))?);
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            drop(thread.join());
        }
    }
}

async fn accept(listener: StdListener, intake: Arc<Intake>, lanes: Vec<mpsc::Sender<std::net::TcpStream>>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    for lane in (0..lanes.len()).cycle() {
        let Ok((stream, _)) = listener.accept().await else { continue };
        intake.connections.fetch_add(1, Relaxed);
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let Ok(stream) = stream.into_std() else { continue };
        if lanes[lane].send(stream).await.is_err() {
            return;
        }
    }
}

async fn serve_lane(
    mut streams: mpsc::Receiver<std::net::TcpStream>,
    kind: ReceiverKind,
    lane: usize,
    intake: Arc<Intake>,
) {
    while let Some(stream) = streams.recv().await {
        let Ok(stream) = TcpStream::from_std(stream) else { continue };
        let intake = Arc::clone(&intake);
        match kind {
            ReceiverKind::Hyper => drop(tokio::spawn(hyper::serve(stream, lane, intake))),
            ReceiverKind::Lean => drop(tokio::spawn(lean::serve(stream, lane, intake))),
        }
    }
}
