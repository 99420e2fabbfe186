//! The life of one connection: served until its peer, the idle limit or a stop of the listener ends it.
//!
//! hyper limits the time for the head of an HTTP/1.1 request, and asks an HTTP/2 peer for signs of life. A peer that
//! gives those and asks for nothing, or that sends a head of HTTP/2 byte by byte, would stay for ever. So a connection
//! without a request in progress is told to end after the idle limit, and closed after as long again. The peer must
//! have read the last answer by then.

use super::admission::Permit;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hyper_util::server::graceful::GracefulConnection;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

/// The two things that end a connection from outside.
struct Outside {
    stopping: watch::Receiver<()>,
    is_stopping: bool,
    timer: Pin<Box<Sleep>>,
}

/// One of them.
enum Call {
    /// The listener stops.
    Stop,
    /// It is time to look how long the connection has been idle.
    Look,
}

impl Outside {
    async fn next(mut self) -> (Outside, Call) {
        let call = tokio::select! {
            _ = self.stopping.changed(), if !self.is_stopping => Call::Stop,
            () = &mut self.timer => Call::Look,
        };
        self.is_stopping |= matches!(call, Call::Stop);
        (self, call)
    }
}

/// Serves a connection until it ends, or is idle for `limit`, or the listener stops and its requests are answered.
pub(super) async fn serve<P: GracefulConnection>(
    protocol: P,
    permit: &Permit,
    stopping: watch::Receiver<()>,
    limit: Duration,
) -> Result<(), P::Error> {
    let connection = permit.connection();
    tokio::pin!(protocol);
    let outside = Outside { stopping, is_stopping: false, timer: Box::pin(tokio::time::sleep(limit)) };
    // A set of one: its member is asked only when it was woken itself. Each request wakes this task several times. To
    // ask a timer and a channel each time is a noticeable part of the cost of a request.
    let mut calls: FuturesUnordered<_> = std::iter::once(outside.next()).collect();
    let mut is_ending = false;
    loop {
        let (mut outside, call) = tokio::select! {
            biased;
            result = &mut protocol => return result,
            Some(called) = calls.next() => called,
        };
        match call {
            Call::Stop => protocol.as_mut().graceful_shutdown(),
            Call::Look => {
                let next = connection.idle_since().unwrap_or_else(Instant::now) + limit;
                let is_over = next <= Instant::now();
                if is_over && is_ending {
                    return Ok(());
                }
                if is_over {
                    is_ending = true;
                    permit.count_idle();
                    protocol.as_mut().graceful_shutdown();
                }
                outside.timer.as_mut().reset(if is_over { Instant::now() + limit } else { next });
            }
        }
        calls.push(outside.next());
    }
}
