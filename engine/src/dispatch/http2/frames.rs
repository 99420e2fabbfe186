//! The frames of a peer, found in its bytes as they pass (RFC 9113, 4.1).
//!
//! Pure. Looks at frame heads alone: neither headers nor data are decoded. The bytes may be cut anywhere.

/// A frame's head: 24 bits of length, type, flags, 32 bits of stream.
const HEAD_LEN: usize = 9;

/// `PADDED` of DATA.
const PADDED: u8 = 0x8;

/// The kind of a frame (RFC 9113, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// Of a type that is to be ignored.
    Unknown,
}

/// The head of a frame, as far as it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Bytes of its payload.
    pub(super) len: usize,
    /// Some of the payload is padding.
    pub(super) padded: bool,
}

/// Finds frames in a stream of bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_LEN],
    head_len: usize,
    payload_left: usize,
}

// === impl Kind ===

impl Kind {
    pub(super) const ALL: [Kind; 11] = [
        Kind::Data,
        Kind::Headers,
        Kind::Priority,
        Kind::RstStream,
        Kind::Settings,
        Kind::PushPromise,
        Kind::Ping,
        Kind::GoAway,
        Kind::WindowUpdate,
        Kind::Continuation,
        Kind::Unknown,
    ];

    fn of(byte: u8) -> Kind {
        match byte {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::RstStream,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            _ => Kind::Unknown,
        }
    }

    /// As a metric's label shows it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Data => "data",
            Kind::Headers => "headers",
            Kind::Priority => "priority",
            Kind::RstStream => "rst_stream",
            Kind::Settings => "settings",
            Kind::PushPromise => "push_promise",
            Kind::Ping => "ping",
            Kind::GoAway => "goaway",
            Kind::WindowUpdate => "window_update",
            Kind::Continuation => "continuation",
            Kind::Unknown => "unknown",
        }
    }
}

// === impl Frames ===

impl Frames {
    /// Goes over the next bytes and shows each frame whose head is complete with them; stops at the first error.
    pub(super) fn pass<E>(&mut self, mut bytes: &[u8], mut found: impl FnMut(Frame) -> Result<(), E>) -> Result<(), E> {
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            self.payload_left -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD_LEN - self.head_len).min(bytes.len());
            self.head[self.head_len..self.head_len + taken].copy_from_slice(&bytes[..taken]);
            self.head_len += taken;
            bytes = &bytes[taken..];
            if self.head_len == HEAD_LEN {
                let [high, middle, low, kind, flags, ..] = self.head;
                let len = u32::from_be_bytes([0, high, middle, low]) as usize;
                (self.head_len, self.payload_left) = (0, len);
                let kind = Kind::of(kind);
                found(Frame { kind, len, padded: flags & PADDED != 0 })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn bytes(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn found(chunks: &[&[u8]]) -> Vec<Frame> {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for chunk in chunks {
            frames
                .pass(chunk, |frame| {
                    found.push(frame);
                    Ok::<(), Infallible>(())
                })
                .unwrap();
        }
        found
    }

    #[test]
    fn frames_are_told_by_their_heads() {
        let all =
            [bytes(0, 1, b"hello"), bytes(4, 0, &[]), bytes(1, 4, &[0; 300]), bytes(0, 8, &[0; 4]), bytes(77, 1, &[])];
        let seen: Vec<_> = found(&[&all.concat()]).iter().map(|frame| (frame.kind, frame.len, frame.padded)).collect();
        assert_eq!(
            seen,
            [
                (Kind::Data, 5, false),
                (Kind::Settings, 0, false),
                (Kind::Headers, 300, false),
                (Kind::Data, 4, true),
                (Kind::Unknown, 0, false),
            ]
        );
    }

    #[test]
    fn a_frame_counts_once_its_head_is_whole() {
        let ping = bytes(6, 0, &[0; 8]);
        assert_eq!(found(&[&ping[..8]]), []);
        assert_eq!(found(&[&ping[..9]]).len(), 1);
        assert_eq!(found(&[&ping, &ping[..8]]).len(), 1);
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(
            frames in proptest::collection::vec((0u8..12, any::<u8>(), 0usize..70), 0..20),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let all: Vec<u8> = frames.iter().flat_map(|(kind, flags, len)| bytes(*kind, *flags, &vec![1; *len])).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(all.len() + 1)).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &all[pair[0]..pair[1]]).collect();
            let whole = found(&[&all]);
            prop_assert_eq!(whole.len(), frames.len());
            prop_assert_eq!(found(&chunks), whole);
        }
    }
}
