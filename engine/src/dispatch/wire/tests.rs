//! Floods that are ended, and honest receivers that are not.

use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

/// Bytes of a TLS 1.3 record besides its message: a head, the type and the tag.
const RECORD_LEN: usize = 22;

/// Number of records, each with `message_len` bytes of a message, that pass before the end; none when `count` did.
fn passes(message_len: usize, count: usize) -> Option<usize> {
    let mut credit = Credit { left: CREDIT_MAX };
    (0..count).find(|_| {
        let ended = credit.came(RECORD_LEN + message_len).is_err();
        credit.passed(message_len);
        ended
    })
}

#[test]
fn records_without_a_message_or_with_a_byte_end_and_those_that_carry_something_go_on() {
    let table = [(0, Some(2_978)), (1, Some(3_449)), (7, Some(65_508)), (8, None), (200, None), (16 * 1_024, None)];
    for (message_len, expected) in table {
        assert_eq!(passes(message_len, 1_000_000), expected, "{message_len} bytes");
    }
}

#[test]
fn what_is_sent_pays_for_what_comes_and_credit_is_not_saved_up() {
    let mut credit = Credit { left: CREDIT_MAX };
    credit.passed(1 << 30);
    assert_eq!(credit.left, CREDIT_MAX);
    for _ in 0..10_000 {
        // A request, and an acknowledgement of the receiver's that carries nothing.
        credit.passed(300);
        credit.came(1_000).unwrap();
    }
    assert_eq!(credit.came(CREDIT_MAX + 1), Err(TlsFlood));
}

#[test]
fn a_handshake_has_more_and_the_first_message_takes_nothing_away() {
    let mut wire = Wire::new(());
    wire.passed(1);
    wire.credit.came(HANDSHAKE).unwrap();
    wire.secured();
    assert_eq!(wire.credit.left, CREDIT_MAX);
}

#[tokio::test]
async fn reading_fails_at_the_end_of_the_credit() {
    let (mut peer, socket) = duplex(1 << 20);
    let mut wire = Wire::new(socket);
    wire.secured();
    peer.write_all(&[0; CREDIT_MAX + 1]).await.unwrap();
    let mut came = Vec::new();
    let error = wire.read_to_end(&mut came).await.unwrap_err();
    assert!(error.to_string().contains("flood"), "{error}");
    assert!(came.len() <= CREDIT_MAX, "{} bytes", came.len());
}
