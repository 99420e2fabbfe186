//! The layout of a run, byte by byte, and the effect of damage on it.

use super::*;
use model::{HeaderLine, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

pub(crate) fn record(seq: u64, started_at: u64) -> AttemptRecord {
    AttemptRecord {
        seq: Seq(seq),
        started_at: UnixMs(started_at),
        duration_ms: 5,
        attempt: 1,
        trigger: Trigger::Scheduled,
        outcome: OutcomeClass::Success,
        status: 200,
        response: Vec::new(),
        next_attempt_at: None,
        note: None,
        url_number: 0,
        details: None,
    }
}

/// With so many headers of the answer.
pub(crate) fn details(headers: usize) -> Box<AttemptDetails> {
    let line = |n: usize| HeaderLine { name: format!("x-{n}"), value: "v".repeat(n % 40) };
    Box::new(AttemptDetails {
        response_headers: (0..headers).map(line).collect(),
        peer: Some(([127, 0, 0, 1], 8080).into()),
        protocol: Some(Protocol::Http2),
        first_byte_us: Some(u32::MAX),
        ..AttemptDetails::default()
    })
}

/// Mostly close together, sometimes further apart than a run spans.
pub(crate) fn seqs() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 1u64..40, 1 => 1u64..5_000, 1 => (0u64..4).prop_map(|n| n * MAX_SPAN + 1)]
}

pub(crate) fn times() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0u64..50, 1 => any::<u64>().prop_map(|time| time >> 1)]
}

pub(crate) fn any_record() -> impl Strategy<Value = AttemptRecord> {
    let response = prop_oneof![6 => 0usize..40, 2 => 0usize..4_000, 1 => 8_000usize..9_000];
    (seqs(), times(), any::<u32>(), any::<u16>(), any::<bool>(), 0usize..14, response, prop::option::of(times()))
        .prop_map(|(seq, started_at, duration_ms, attempt, manual, outcome, response, next)| AttemptRecord {
            // Most endpoints never moved.
            url_number: if duration_ms % 3 == 0 { duration_ms / 7 } else { 0 },
            duration_ms,
            attempt,
            trigger: if manual { Trigger::Manual } else { Trigger::Scheduled },
            outcome: OutcomeClass::ALL[outcome],
            status: attempt ^ 77,
            response: vec![b'x'; response],
            next_attempt_at: next.map(UnixMs),
            note: AnswerNote::ALL.get(usize::from(attempt % 16)).copied(),
            details: (duration_ms % 5 == 0).then(|| details(usize::from(attempt) % 80)),
            ..record(seq, started_at)
        })
}

/// Records of ascending positions, as a run takes them.
pub(crate) fn records(count: Range<usize>) -> impl Strategy<Value = Vec<AttemptRecord>> {
    vec(any_record(), count).prop_map(|records| {
        let by_seq: BTreeMap<Seq, AttemptRecord> =
            records.into_iter().map(|record| (record.seq, cut(record))).collect();
        by_seq.into_values().collect()
    })
}

fn encode(records: &[AttemptRecord]) -> (Bytes, usize) {
    let mut builder = RunBuilder::new(records[0].seq);
    let fitting = records.iter().take_while(|record| builder.push(record)).count();
    (builder.finish(), fitting)
}

#[test]
fn outcomes_are_numbered_in_the_order_of_the_list() {
    for (index, outcome) in OutcomeClass::ALL.iter().enumerate() {
        assert_eq!(*outcome as usize, index);
    }
}

#[test]
fn the_layout_is_the_one_written_above() {
    let mut second = record(302, 1_003);
    (second.trigger, second.outcome, second.status) = (Trigger::Manual, OutcomeClass::ServerError, 503);
    (second.next_attempt_at, second.response) = (Some(UnixMs(1_000)), b"no".to_vec());
    let (value, _) = encode(&[record(300, 1_005), second]);
    let expected = [
        &[1, 2, 0][..],
        // 300; 1005 folded to 2010; duration 5, attempt 1, status 200, no response
        &[0, 0, 0xac, 0x02, 0xda, 0x0f, 5, 1, 0xc8, 0x01, 0],
        // +2; -2 folded to 3; duration 5, attempt 1, status 503, -3 folded to 5, 2 bytes
        &[3, 6, 2, 3, 5, 1, 0xf7, 0x03, 5, 2, b'n', b'o'],
    ]
    .concat();
    assert_eq!(&value[4..], expected);
    assert_eq!(value[..4], crc32c::crc32c(&expected).to_le_bytes());
}

#[test]
fn a_note_takes_one_byte_behind_the_next_attempt() {
    let mut noted = record(300, 1_005);
    (noted.note, noted.next_attempt_at) = (Some(AnswerNote::TooLate), Some(UnixMs(1_008)));
    let (value, _) = encode(std::slice::from_ref(&noted));
    let expected = [&[1, 1, 0][..], &[6, 0, 0xac, 0x02, 0xda, 0x0f, 5, 1, 0xc8, 0x01, 6, 6, 0]].concat();
    assert_eq!(value[4..], expected);
    assert_eq!(decode(&value).unwrap(), [noted]);
}

#[test]
fn notes_are_numbered_in_the_order_of_the_list() {
    for (index, note) in AnswerNote::ALL.iter().enumerate() {
        assert_eq!(*note as usize, index);
    }
}

#[test]
fn a_url_is_said_where_it_changes_and_costs_nothing_where_it_does_not() {
    let moved = |count: u64, from: u64| -> Vec<AttemptRecord> {
        let number = |seq| u32::from(seq >= from);
        (1..=count).map(|seq| AttemptRecord { url_number: number(seq), ..record(seq, seq) }).collect()
    };
    let (never, from_the_first, half_way) = (encode(&moved(9, 99)).0, encode(&moved(9, 1)).0, encode(&moved(9, 5)).0);
    assert_eq!((from_the_first.len(), half_way.len()), (never.len() + 1, never.len() + 1));
    assert_eq!(decode(&half_way).unwrap(), moved(9, 5));
}

#[test]
fn a_success_takes_about_ten_bytes() {
    let successes: Vec<_> = (0..500).map(|n| record(1_000_000 + n, 1_700_000_000_000 + 3 * n)).collect();
    let (value, fitting) = encode(&successes);
    assert_eq!(fitting, 500);
    assert!(value.len() <= 500 * 10 + 20, "{} bytes", value.len());
}

#[test]
fn the_longest_record_fits_a_run_of_its_own() {
    let longest = AttemptRecord {
        seq: Seq(u64::MAX),
        started_at: UnixMs(1 << 63),
        duration_ms: u32::MAX,
        attempt: u16::MAX,
        trigger: Trigger::Manual,
        outcome: OutcomeClass::InternalError,
        status: u16::MAX,
        response: vec![0; MAX_RESPONSE_BYTES],
        next_attempt_at: Some(UnixMs(0)),
        note: Some(AnswerNote::TooLate),
        url_number: u32::MAX,
        details: None,
    };
    let (value, fitting) = encode(std::slice::from_ref(&longest));
    assert_eq!(fitting, 1);
    assert_eq!(decode(&value).unwrap(), std::slice::from_ref(&longest));

    let with_details = cut(AttemptRecord { details: Some(details(64)), ..longest });
    assert!(with_details.details.is_some() && with_details.response.len() < MAX_RESPONSE_BYTES);
    let (value, fitting) = encode(std::slice::from_ref(&with_details));
    assert_eq!(fitting, 1);
    assert_eq!(decode(&value).unwrap(), [with_details]);
}

#[test]
fn a_run_is_of_the_second_layout_only_when_a_record_has_details() {
    let with_details = AttemptRecord { details: Some(details(1)), ..record(2, 1) };
    for (records, version) in [(vec![record(1, 1)], 1), (vec![record(1, 1), with_details], 2)] {
        let (value, _) = encode(&records);
        assert_eq!(value[CRC_BYTES], version);
        assert_eq!(decode(&value).unwrap(), records);
    }
}

#[test]
fn details_that_are_longer_than_the_engine_makes_them_are_left_out() {
    let too_long = AttemptRecord { details: Some(details(1_000)), response: vec![b'x'; 9_000], ..record(1, 1) };
    let kept = cut(too_long);
    assert_eq!((kept.details, kept.response.len()), (None, MAX_RESPONSE_BYTES));
}

#[test]
fn a_run_ends_where_its_span_does() {
    let (_, fitting) = encode(&[record(10, 1), record(9 + MAX_SPAN, 1), record(10 + MAX_SPAN, 1)]);
    assert_eq!(fitting, 2);
}

proptest! {
    #[test]
    fn what_fits_reads_back_within_the_limit(records in records(1..60)) {
        let (value, fitting) = encode(&records);
        prop_assert!(fitting >= 1 && value.len() <= INLINE_MAX_BYTES);
        prop_assert_eq!(&decode(&value).unwrap(), &records[..fitting]);
    }

    #[test]
    fn a_run_that_is_gone_on_with_is_the_one_that_is_written_at_once(records in records(1..60), at: prop::sample::Index) {
        let (whole, fitting) = encode(&records);
        let (first, _) = encode(&records[..=at.index(fitting)]);
        let mut builder = RunBuilder::resume(records[0].seq, &first).unwrap();
        prop_assert_eq!(builder.last(), records[at.index(fitting)].seq);
        let taken = records[at.index(fitting) + 1..].iter().take_while(|record| builder.push(record)).count();
        prop_assert_eq!((at.index(fitting) + 1 + taken, builder.finish()), (fitting, whole));
    }

    #[test]
    fn damage_is_noticed(records in records(1..9), at: prop::sample::Index, flip in 1u8..) {
        let mut value = encode(&records).0.to_vec();
        let at = at.index(value.len());
        prop_assert!(decode(&value[..at]).is_err());
        value[at] ^= flip;
        prop_assert!(decode(&value).is_err());
        prop_assert!(RunBuilder::resume(records[0].seq, &value).is_none());
    }

    #[test]
    fn bytes_with_a_right_checksum_never_panic(rest in vec(any::<u8>(), 0..80), count in 0u8..4) {
        let covered = [&[VERSION, count, 0], rest.as_slice()].concat();
        let value = [&crc32c::crc32c(&covered).to_le_bytes(), covered.as_slice()].concat();
        if let Ok(records) = decode(&value) {
            prop_assert_eq!(records.len(), usize::from(count));
        }
    }
}
