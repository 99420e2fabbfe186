//! The allowance of a peer on one HTTP/2 connection: bounds on frames that bring no answer further, and on data.
//!
//! A peer can keep a client busy for ever with frames that cost nine bytes each: SETTINGS and PING are answered, 1xx
//! heads are kept, RST_STREAM and CONTINUATION were the attacks of 2023 and 2024. An honest receiver needs a few of
//! them for each request, so they are counted:
//!
//! | frame | cost |
//! |---|---|
//! | DATA with 64 bytes or more, not padded | none; its bytes are counted apart |
//! | other DATA with a payload | a quarter |
//! | HEADERS, three for each request (one 1xx, final, trailers) | 1, and 1 for each KiB |
//! | HEADERS beyond | 8, and 1 for each KiB: each is kept until it is read |
//! | all others, also empty DATA | 1, and 1 for each KiB |
//!
//! Pure: given the time. One of these per connection, 60 bytes.

use super::frames::{Frame, Kind};

/// Costs are counted in quarters of a frame.
const FRAME: u32 = 4;
/// Cost that a connection may spend from its start, and again whenever no request is under way.
const AT_START: u32 = 64 * FRAME;
/// Cost that each request adds for as long as it is under way.
const PER_REQUEST: u32 = 16 * FRAME;
/// Sent bytes for which one frame more is allowed: receivers open their window again as they read.
const SENT_PER_FRAME: usize = 512;
/// Cost that comes back each second while a request is under way.
const PER_SECOND: u32 = 32 * FRAME;
/// HEADERS of a request at the ordinary cost.
const HEADS_PER_REQUEST: u32 = 3;
/// HEADERS beyond.
const EXTRA_HEAD: u32 = 8 * FRAME;
/// DATA of fewer bytes costs a quarter of a frame.
const SMALL_DATA_LEN: usize = 64;

/// The part of an allowance that one request adds; taken away again when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    frames: u32,
    data: usize,
}

/// The peer sent more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver sends HTTP/2 frames without need ({}): closed as a flood", .0.name())]
pub(super) struct Flood(pub(super) Kind);

/// The rest of what a peer may send.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    frames: u32,
    frames_max: u32,
    heads: u32,
    data: usize,
    data_max: usize,
    requests: u32,
    /// Data that one request's answer may bring.
    data_per_request: usize,
    refilled_ms: u64,
    /// Thousandths of a quarter of a frame that came back besides.
    refilled_rest: u64,
}

impl Allowance {
    /// That of a new connection. An answer may bring `data_per_request` bytes, and data of answers that nobody waits
    /// for any more `data_window` bytes in all: the connection's flow control window.
    pub(super) fn new(data_per_request: usize, data_window: usize, now_ms: u64) -> Allowance {
        Allowance {
            frames: AT_START,
            frames_max: AT_START,
            heads: 0,
            data: data_window,
            data_max: data_window,
            requests: 0,
            data_per_request,
            refilled_ms: now_ms,
            refilled_rest: 0,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.requests > 0
    }

    /// A request with so many bytes of a body begins.
    pub(super) fn begin(&mut self, sent_len: usize, now_ms: u64) -> Grant {
        self.refill(now_ms);
        let for_body = u32::try_from(sent_len / SENT_PER_FRAME).unwrap_or(u32::MAX).min(1 << 20);
        let grant = Grant { frames: PER_REQUEST + for_body * FRAME, data: self.data_per_request };
        self.requests += 1;
        self.heads = self.heads.saturating_add(HEADS_PER_REQUEST);
        self.frames_max = self.frames_max.saturating_add(grant.frames);
        self.frames = self.frames.saturating_add(grant.frames);
        self.data_max = self.data_max.saturating_add(grant.data);
        self.data = self.data.saturating_add(grant.data);
        grant
    }

    /// That request is over. Its unspent part is not saved up.
    pub(super) fn end(&mut self, grant: Grant, now_ms: u64) {
        self.refill(now_ms);
        self.requests = self.requests.saturating_sub(1);
        self.heads = self.heads.min(self.requests * HEADS_PER_REQUEST);
        self.frames_max = self.frames_max.saturating_sub(grant.frames);
        self.frames = self.frames.min(self.frames_max);
        self.data_max = self.data_max.saturating_sub(grant.data);
        self.data = self.data.min(self.data_max);
    }

    /// A frame came.
    pub(super) fn charge(&mut self, frame: Frame, now_ms: u64) -> Result<(), Flood> {
        self.refill(now_ms);
        let per_kib = u32::try_from(frame.len / 1024).unwrap_or(u32::MAX) * FRAME;
        let cost = match frame.kind {
            Kind::Data if frame.len > 0 => {
                self.data = self.data.checked_sub(frame.len).ok_or(Flood(frame.kind))?;
                if frame.len >= SMALL_DATA_LEN && !frame.padded { 0 } else { 1 }
            }
            Kind::Headers if self.heads > 0 => {
                self.heads -= 1;
                FRAME + per_kib
            }
            Kind::Headers => EXTRA_HEAD + per_kib,
            _ => FRAME + per_kib,
        };
        self.frames = self.frames.checked_sub(cost).ok_or(Flood(frame.kind))?;
        Ok(())
    }

    /// A connection without a request gets nothing back: it is to be silent.
    fn refill(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.refilled_ms);
        self.refilled_ms = now_ms;
        if self.requests > 0 {
            let thousandths = elapsed_ms.saturating_mul(PER_SECOND.into()).saturating_add(self.refilled_rest);
            self.refilled_rest = thousandths % 1_000;
            let back = u32::try_from(thousandths / 1_000).unwrap_or(u32::MAX);
            self.frames = self.frames.saturating_add(back).min(self.frames_max);
        }
    }
}

#[cfg(test)]
mod tests;
