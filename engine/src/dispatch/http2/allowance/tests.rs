//! Floods are cut off, and honest receivers never meet the limit.

use super::*;
use proptest::prelude::*;

const DATA_PER_REQUEST: usize = 192 * 1024;
const WINDOW: usize = 512 * 1024;

fn allowance() -> Allowance {
    Allowance::new(DATA_PER_REQUEST, WINDOW, 0)
}

fn frame(kind: Kind, len: usize) -> Frame {
    Frame { kind, len, padded: false }
}

/// Number of such frames that pass at once before the connection is closed.
fn passing(allowance: &mut Allowance, frame: Frame, now_ms: u64) -> usize {
    (0..1_000_000).take_while(|_| allowance.charge(frame, now_ms).is_ok()).count()
}

#[test]
fn a_flood_of_any_kind_ends_after_a_few_dozen_frames() {
    let table = [
        (Kind::Ping, 8, 80),
        (Kind::Settings, 0, 80),
        (Kind::WindowUpdate, 4, 80),
        (Kind::Priority, 5, 80),
        (Kind::RstStream, 4, 80),
        (Kind::GoAway, 8, 80),
        (Kind::Continuation, 100, 80),
        (Kind::Unknown, 0, 80),
        (Kind::PushPromise, 4, 80),
        (Kind::Data, 0, 80),
        // Of one byte each: a quarter.
        (Kind::Data, 1, 320),
        // The first three of the request, then 8 each.
        (Kind::Headers, 30, 3 + 77 / 8),
        // Large ones by the KiB.
        (Kind::Continuation, 16 * 1024, 4),
    ];
    for (kind, len, expected) in table {
        let mut allowance = allowance();
        allowance.begin(100, 0);
        assert_eq!(passing(&mut allowance, frame(kind, len), 0), expected, "{kind:?} of {len} bytes");
    }
}

#[test]
fn data_is_counted_in_bytes_and_padding_does_not_hide_it() {
    let mut plain = allowance();
    plain.begin(100, 0);
    assert_eq!(passing(&mut plain, frame(Kind::Data, 16 * 1024), 0), (DATA_PER_REQUEST + WINDOW) / (16 * 1024));
    let mut padded = allowance();
    padded.begin(100, 0);
    assert_eq!(passing(&mut padded, Frame { padded: true, ..frame(Kind::Data, 256) }, 0), 320);
}

#[test]
fn an_idle_connection_gets_nothing_back_and_a_busy_one_a_little() {
    let mut idle = allowance();
    assert_eq!(passing(&mut idle, frame(Kind::Ping, 8), 0), 64);
    assert_eq!(passing(&mut idle, frame(Kind::Ping, 8), 3_600_000), 0);

    let mut busy = allowance();
    busy.begin(0, 0);
    assert_eq!(passing(&mut busy, frame(Kind::Ping, 8), 0), 80);
    assert_eq!(passing(&mut busy, frame(Kind::Ping, 8), 1_000), 32);
    assert_eq!(passing(&mut busy, frame(Kind::Ping, 8), 1_000_000), 80, "no more than at first");
}

#[test]
fn what_requests_did_not_need_is_not_saved_up() {
    let mut allowance = allowance();
    for _ in 0..10_000 {
        let grant = allowance.begin(1 << 20, 0);
        allowance.charge(frame(Kind::Headers, 60), 0).unwrap();
        allowance.end(grant, 0);
    }
    assert!(passing(&mut allowance, frame(Kind::WindowUpdate, 4), 0) <= 64);
}

#[test]
fn small_gaps_of_time_add_up() {
    let mut allowance = allowance();
    allowance.begin(0, 0);
    passing(&mut allowance, frame(Kind::Ping, 8), 0);
    let passed = (1..=1_000u64).filter(|now_ms| allowance.charge(frame(Kind::Ping, 8), *now_ms).is_ok()).count();
    assert_eq!(passed, 32);
}

proptest! {
    /// SETTINGS and its answer at the start; for each request a 103, the head, trailers, two window updates for every
    /// KiB that was sent, an answer of 64 KiB, and now and then a ping.
    #[test]
    fn an_honest_receiver_is_never_cut_off(
        requests in proptest::collection::vec((0usize..2_000_000, 1usize..65_536, 1usize..16_384, any::<bool>()), 1..60),
        at_once in 1usize..20,
    ) {
        let mut allowance = allowance();
        let mut now_ms = 0;
        prop_assert!(allowance.charge(frame(Kind::Settings, 36), now_ms).is_ok());
        prop_assert!(allowance.charge(frame(Kind::Settings, 0), now_ms).is_ok());
        for round in requests.chunks(at_once) {
            let grants: Vec<Grant> = round.iter().map(|(sent, ..)| allowance.begin(*sent, now_ms)).collect();
            for (sent, answer_len, piece, trailers) in round {
                let updates = 2 * (sent / 1024);
                let heads = 2 + usize::from(*trailers);
                for _ in 0..updates {
                    prop_assert!(allowance.charge(frame(Kind::WindowUpdate, 4), now_ms).is_ok());
                }
                for _ in 0..heads {
                    prop_assert!(allowance.charge(frame(Kind::Headers, 900), now_ms).is_ok());
                }
                for _ in 0..answer_len / piece.max(&4096) {
                    prop_assert!(allowance.charge(frame(Kind::Data, *piece.max(&4096)), now_ms).is_ok());
                }
            }
            grants.into_iter().for_each(|grant| allowance.end(grant, now_ms));
            now_ms += 50;
        }
    }
}
