//! Blocks byte by byte, their greatest length, and the effect of damage on them.

use super::*;
use model::{EndpointId, UnixMs};
use proptest::prelude::*;

fn event(seq: u64, payload: Vec<u8>) -> Event {
    Event {
        app: AppId(1),
        seq: Seq(seq),
        accepted_at: UnixMs(1_000 + seq),
        event_type: Arc::from("invoice.paid"),
        event_id: seq.is_multiple_of(2).then(|| Arc::from("e1")),
        channels: vec![Arc::from("c")],
        only_for: None,
        more: seq.is_multiple_of(3).then(|| Arc::new(more(seq))),
        payload: Bytes::from(payload),
    }
}

fn more(seq: u64) -> EventMore {
    let ordering_key = seq.is_multiple_of(2).then(|| "order-7".to_owned());
    let (deliver_at, expires_at) = (seq.is_multiple_of(2).then_some(UnixMs(seq * 3)), Some(UnixMs(u64::MAX)));
    EventMore {
        tags: vec!["t".repeat(seq as usize % 50)],
        content_type: None,
        expunge_at: Some(UnixMs(seq)),
        ordering_key,
        deliver_at,
        expires_at,
    }
}

#[test]
fn an_event_that_has_nothing_more_is_written_as_by_version_1() {
    // Taken from that version: checksum, version, then a record.
    let mut builder = BlockBuilder::new();
    builder.push(&event(1, b"{}".to_vec())).unwrap();
    let (_, block) = builder.finish().unwrap();
    let record = b"\x01\x01\xfb\xe9\x03\x0cinvoice.paid\x00\x01\x01c\x00\x00\x02{}";
    assert_eq!(block[4..], *record);
    builder.push(&event(3, b"{}".to_vec())).unwrap();
    assert_eq!(builder.finish().unwrap().1[4], VERSION_WITH_MORE);
    builder.push(&event(1, b"{}".to_vec())).unwrap();
    assert_eq!(builder.finish().unwrap().1, block, "the next block is of version 1 again");
}

#[test]
fn a_block_of_version_2_is_read_and_its_events_have_neither_ordering_key_nor_times_of_delivery_and_expiry() {
    let mut builder = BlockBuilder::new();
    let mut with_more = event(3, b"{}".to_vec());
    with_more.more = Some(Arc::new(EventMore { expunge_at: Some(UnixMs(3)), ..EventMore::default() }));
    builder.push(&with_more).unwrap();
    let mut block = builder.finish().unwrap().1.to_vec();
    // Version 3 says in one byte for each, before the payload, that an event has none of them.
    assert_eq!(block[block.len() - 5..], *b"\x00\x00\x00{}");
    block.drain(block.len() - 5..block.len() - 2);
    block[4] = 2;
    let crc = crc32c::crc32c(&block[4..]);
    block[..4].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(read(AppId(1), &Bytes::from(block)).unwrap()[0].event, with_more);
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let mut builder = BlockBuilder::new();
    builder.push(&event(1, vec![7; 40])).unwrap();
    let (_, block) = builder.finish().unwrap();
    for index in 0..block.len() {
        let mut bytes = block.to_vec();
        bytes[index] ^= 1;
        assert!(read(AppId(1), &Bytes::from(bytes)).is_err(), "byte {index}");
    }
}

#[test]
fn a_payload_that_fits_no_block_is_apart() {
    let mut builder = BlockBuilder::new();
    let at = builder.push(&event(1, vec![7; 20_000])).unwrap();
    assert_eq!(at, PayloadAt::Separate { length: 20_000 });
    assert!(builder.finish().unwrap().1.len() < 200);
}

proptest! {
    #[test]
    fn no_header_is_longer_than_said(
        event_type in "[a-z.]{0,300}",
        event_id in proptest::option::of("[a-z]{0,300}"),
        channels in proptest::collection::vec("[a-z]{0,300}", 0..6),
        seq in 0..=Seq::MAX.0,
        payload in 0usize..40_000,
        tags in proptest::option::of(proptest::collection::vec("[a-z]{0,300}", 0..6)),
        content_type in proptest::option::of("[a-z/]{0,300}"),
        ordering_key in proptest::option::of("[a-z/]{0,300}"),
    ) {
        let mut event = Event { accepted_at: UnixMs(u64::MAX), ..event(1, vec![7; payload]) };
        event.seq = Seq(seq);
        event.event_type = Arc::from(event_type.as_str());
        event.event_id = event_id.as_deref().map(Arc::from);
        event.channels = channels.iter().map(|channel| Arc::from(channel.as_str())).collect();
        event.only_for = Some(EndpointId(u32::MAX));
        let at = Some(UnixMs(u64::MAX));
        event.more = tags.clone().map(|tags| {
            let (content_type, ordering_key) = (content_type.clone(), ordering_key.clone());
            let (expunge_at, deliver_at, expires_at) = (at, at, at);
            Arc::new(EventMore { tags, content_type, expunge_at, ordering_key, deliver_at, expires_at })
        });
        let mut builder = BlockBuilder::new();
        let inline = match builder.push(&event).unwrap() {
            PayloadAt::Inline { length } => length as usize,
            PayloadAt::Separate { .. } => 0,
        };
        let block = builder.finish().unwrap().1;
        prop_assert!(block.len() - inline <= header_bytes_max(
            &event_type,
            event_id.as_deref(),
            &channels,
            tags.as_deref().map(|tags| (tags, content_type.as_deref(), ordering_key.as_deref())),
        ));
    }

    #[test]
    fn blocks_round_trip_and_never_exceed_the_largest_value(sizes in proptest::collection::vec(0usize..9_000, 1..30)) {
        let events: Vec<Event> = sizes.iter().enumerate().map(|(i, n)| event(i as u64 + 1, vec![i as u8; *n])).collect();
        let mut builder = BlockBuilder::new();
        let mut blocks = Vec::new();
        for event in &events {
            if builder.push(event).is_none() {
                blocks.extend(builder.finish());
                prop_assert!(builder.push(event).is_some());
            }
        }
        blocks.extend(builder.finish());
        let mut seen = Vec::new();
        for (first, block) in blocks {
            prop_assert!(block.len() <= INLINE_MAX_BYTES);
            let records = read(AppId(1), &block).unwrap();
            prop_assert_eq!(records[0].event.seq, first);
            seen.extend(records);
        }
        prop_assert_eq!(seen.len(), events.len());
        for (record, event) in seen.iter().zip(&events) {
            match record.payload_at {
                PayloadAt::Inline { .. } => prop_assert_eq!(&record.event, event),
                PayloadAt::Separate { length, .. } => prop_assert_eq!(length as usize, event.payload.len()),
            }
        }
    }
}
