//! Tests of the decoder: what answers mean, that pieces do not matter, and that hyper reads the same.

use super::*;
use crate::dispatch::details::{KeptDetails, Trace};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HEAD_LEN_MAX: usize = 8192;
const READ_LEN_MAX: usize = 64 * 1024;

/// Status, body and whether the connection can be used again, of an answer behind which the peer closes.
type Read = Result<(u16, Vec<u8>, bool), MalformedAnswer>;

/// Nothing is noted.
fn untraced() -> Trace {
    Trace::new(KeptDetails::None, tokio::time::Instant::now())
}

/// The answer, and whether the connection can be used again.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Answer, bool), MalformedAnswer> {
    let mut answer = Answer::new(usize::MAX, READ_LEN_MAX, untraced());
    let mut decoder = Decoder::new(HEAD_LEN_MAX);
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        if let Step::Complete { reusable } = decoder.feed(piece, &mut answer)? {
            return Ok((answer, reusable));
        }
    }
    decoder.end(&mut answer)?;
    Ok((answer, false))
}

fn read_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    decode(pieces).map(|(answer, reusable)| (answer.status, answer.kept, reusable))
}

fn read(bytes: &[u8]) -> Read {
    read_pieces([bytes])
}

#[test]
fn a_connection_is_used_again_only_when_where_the_answer_ends_is_beyond_doubt() {
    for (answer, body, reusable) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\r\nok", "ok", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok!", "ok", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: x, Close\r\n\r\nok", "ok", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\nconnection: keep-alive\r\n\r\nok", "ok", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: Keep-Alive\r\n\r\nok", "ok", true),
        ("HTTP/1.1 200 OK\r\n\r\nall of it", "all of it", false),
        ("HTTP/1.1 204 N\r\n\r\n", "", true),
        ("HTTP/1.1 304 N\r\ncontent-length: 7\r\n\r\n", "", true),
        ("HTTP/1.1 204 N\r\ncontent-length: x\r\n\r\n", "", false),
        ("HTTP/1.1 204 N\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "", false),
        ("HTTP/1.1 101 S\r\nupgrade: x\r\n\r\n", "", false),
        ("HTTP/1.1 103 E\r\ncontent-length: 9\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nx: y\r\n\r\n", "ok", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n", "ok", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nx", "", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n0\r\n\r\n", "", false),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\nzip", "zip", false),
    ] {
        let (_, found, again) = read(answer.as_bytes()).unwrap_or_else(|error| panic!("{answer:?}: {error}"));
        assert_eq!((found, again), (body.as_bytes().to_vec(), reusable), "{answer:?}");
    }
}

#[test]
fn whatever_is_wrong_behind_a_status_line_the_status_counts_with_a_note() {
    use AnswerNote::{BodyMalformed, BrokenOff, HeadMalformed, LengthContradicts, Surplus};
    let many = (0..150).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
    let chunked = "transfer-encoding: chunked\r\n";
    for (answer, body, note) in [
        ("content-length: 2\r\ncontent-length: 3\r\n\r\nok".to_owned(), "ok", LengthContradicts),
        ("content-length: 2, 3\r\n\r\nok".to_owned(), "ok", LengthContradicts),
        ("content-length: +2\r\n\r\nok".to_owned(), "ok", LengthContradicts),
        ("content-length: 0x2\r\n\r\nok".to_owned(), "ok", LengthContradicts),
        ("content-length:\r\n\r\nok".to_owned(), "ok", LengthContradicts),
        ("content-length: 99999999999999999999\r\n\r\nok".to_owned(), "ok", LengthContradicts),
        (format!("content-length: 1\r\n{chunked}\r\n2\r\nok\r\n0\r\n\r\n"), "ok", LengthContradicts),
        (format!("{chunked}\r\n\r\n"), "", BodyMalformed),
        (format!("{chunked}\r\n00000000000000001\r\n"), "", BodyMalformed),
        (format!("{chunked}\r\n1\r\nxy\r\n0\r\n\r\n"), "x", BodyMalformed),
        (format!("{chunked}\r\n1\r\nxy\n0\r\n\r\n"), "x", BodyMalformed),
        (format!("{chunked}\r\n1;a\nx\r\n0\r\n\r\n"), "", BodyMalformed),
        (format!("{chunked}\r\n1\r\nx\r\n0\r\n"), "x", BrokenOff),
        (format!("{chunked}\r\n0\r\n\r\nx"), "", Surplus),
        ("content-length: 3\r\n\r\nok".to_owned(), "ok", BrokenOff),
        ("content-length: 2\r\n\r\nok!".to_owned(), "ok", Surplus),
        ("content-length : 2\r\n\r\nok".to_owned(), "ok", HeadMalformed),
        ("x: y\r\n".to_owned(), "", BrokenOff),
        (format!("{many}content-length: 3\r\n\r\nok"), "ok", BrokenOff),
        (String::new(), "", BrokenOff),
    ] {
        for (version, status) in [("1.1", 200), ("1.1", 503), ("1.0", 204)] {
            if status == 204 && (note == Surplus || !body.is_empty() || note == BodyMalformed) {
                continue;
            }
            let text = format!("HTTP/{version} {status} S\r\nretry-after: 7\r\n{answer}");
            if version == "1.0" && text.contains("\r\n\r\n") {
                continue;
            }
            let (found, reusable) = decode([text.as_bytes()]).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!((found.status, found.note, reusable), (status, Some(note), false), "{text:?}");
            assert_eq!(found.kept, body.as_bytes(), "{text:?}");
            assert_eq!(found.retry_after.as_deref(), Some(b"7".as_slice()), "{text:?}");
        }
    }
    let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let (found, reusable) = decode([old.as_bytes()]).unwrap();
    assert_eq!((found.kept.as_slice(), found.note, reusable), (b"ok".as_slice(), Some(LengthContradicts), false));
}

#[test]
fn more_headers_than_are_expected_are_read_and_the_connection_stays() {
    let many = (0..150).map(|number| format!("set-cookie: {number}={}\r\n", "c".repeat(20))).collect::<String>();
    let text = format!("HTTP/1.1 200 OK\r\n{many}content-length: 2\r\n\r\nok");
    for piece_len in [1, 7, 1_000, text.len()] {
        let (found, reusable) = decode(text.as_bytes().chunks(piece_len)).unwrap();
        assert_eq!((found.status, found.note, found.kept.as_slice()), (200, None, b"ok".as_slice()));
        assert!(reusable, "in pieces of {piece_len}");
    }
}

#[test]
fn without_a_status_line_there_is_no_answer() {
    for text in ["", "H", "HTTP/1.1 200 O", "HTTP/1.1 100 C\r\n\r\n", "HTTP/1.1 103 E\r\nlink: x\r\n", "\r\n\r\n"] {
        assert_eq!(read(text.as_bytes()), Err(MalformedAnswer::Closed), "{text:?}");
        assert_eq!(read_pieces(text.as_bytes().chunks(1)), Err(MalformedAnswer::Closed), "{text:?}");
    }
    for text in ["220 mail.example.org ESMTP\r\n", "HTTP/2 200\r\n", "HTTP/1.1 099 X\r\n\r\n"] {
        assert!(matches!(read(text.as_bytes()), Err(MalformedAnswer::Head(_))), "{text:?}");
    }
}

#[test]
fn a_head_is_bounded_in_bytes_whether_it_ends_or_not() {
    let head = |len: usize| format!("HTTP/1.1 204 N\r\nx: {}\r\n\r\n", "y".repeat(len - 23));
    let noted = |pieces: Vec<&[u8]>| {
        let (answer, reusable) = decode(pieces).unwrap();
        (answer.status, answer.note, reusable)
    };
    assert_eq!(noted(vec![head(HEAD_LEN_MAX).as_bytes()]), (204, None, true));
    assert_eq!(noted(vec![head(HEAD_LEN_MAX + 1).as_bytes()]), (204, Some(AnswerNote::HeadTooLong), false));
    let open = &head(HEAD_LEN_MAX + 9).into_bytes()[..HEAD_LEN_MAX];
    assert_eq!(noted(open.chunks(1000).collect()), (204, Some(AnswerNote::HeadTooLong), false));
    // Hints without end are one head that is too long, and so are empty lines.
    let hints = |count: usize| "HTTP/1.1 103 E\r\n\r\n".repeat(count) + &head(23);
    assert_eq!(read(hints(100).as_bytes()).unwrap().0, 204);
    assert_eq!(read(hints(HEAD_LEN_MAX / 18 + 1).as_bytes()), Err(MalformedAnswer::HeadTooLong));
    let blank = "\r\n".repeat(HEAD_LEN_MAX);
    assert_eq!(read_pieces(blank.as_bytes().chunks(9)), Err(MalformedAnswer::HeadTooLong));
}

/// The cost of a head that comes byte by byte grows with its length, not with the square of it.
#[test]
fn a_head_that_drips_in_is_not_parsed_at_every_drop() {
    let mut decoder = Decoder::new(1 << 20);
    let mut answer = Answer::new(10, 10, untraced());
    assert_eq!(decoder.feed(b"HTTP/1.1 200 OK\r\n", &mut answer), Ok(Step::More));
    assert_eq!(answer.status, 200);
    let mut parses = 0;
    for _ in 0..100_000 {
        let before = decoder.parsed_len;
        assert_eq!(decoder.feed(b"x", &mut answer), Ok(Step::More));
        parses += usize::from(decoder.parsed_len != before);
    }
    assert!(parses < 20, "{parses}");
}

/// The frame counts as well: a body of one-byte chunks ends no later than one in one piece.
#[test]
fn no_more_of_a_body_is_read_than_its_bound_however_it_is_framed() {
    for (head, piece) in [
        ("content-length: 1000000000000", "xxxxxxxxxxxxx"),
        ("transfer-encoding: chunked", "1;extension\r\nx\r\n"),
        ("transfer-encoding: chunked", "0\r\nendless: trailer\r\ntrailer"),
        ("a: b", "xxxxxxxxxxxxxxxxx"),
    ] {
        let mut answer = Answer::new(10, READ_LEN_MAX, untraced());
        let mut decoder = Decoder::new(HEAD_LEN_MAX);
        let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
        assert_eq!(decoder.feed(head.as_bytes(), &mut answer), Ok(Step::More));
        let mut read = 0;
        let piece = if head.contains("chunked") && piece.starts_with('0') {
            decoder.feed(b"0\r\n", &mut answer).unwrap();
            "t: t\r\n"
        } else {
            piece
        };
        while decoder.feed(piece.as_bytes(), &mut answer) == Ok(Step::More) {
            read += piece.len();
        }
        assert!(read <= READ_LEN_MAX && answer.kept.len() <= 10, "{head:?}: {read}");
    }
}

/// Pieces of answers, well-formed or not, in an order that often makes one.
fn any_answer() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 204 N\r\n",
        "HTTP/1.1 304 N\r\n",
        "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 500 E\r\n",
        "HTTP/1.1 20 X\r\n",
        "HTTP/2 200\r\n",
        "\r\nHTTP/1.1 404 N\r\n",
    ]);
    let header = prop::sample::select(vec![
        "content-length: 0\r\n",
        "Content-Length: 5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: 6\r\n",
        "content-length: x\r\n",
        "transfer-encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "transfer-encoding: gzip\r\n",
        "connection: close\r\n",
        "connection: keep-alive\r\n",
        "retry-after: 5\r\n",
        "bad header: x\r\n",
        "x: y\r\n",
    ]);
    let body = prop::sample::select(vec![
        "",
        "hello",
        "hello!",
        "5\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\na: b\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "fffffffffffffffff\r\n",
    ]);
    (start, prop::collection::vec(header, 0..4), body)
        .prop_map(|(start, headers, body)| [start, &headers.concat(), "\r\n", body].concat().into_bytes())
}

/// The answer as hyper reads it when the peer closes behind it.
async fn read_by_hyper(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let (ours, mut peer) = tokio::io::duplex(64 * 1024);
    let mut builder = http1::Builder::new();
    builder.ignore_invalid_headers_in_responses(true);
    let (mut sender, connection) = builder.handshake::<_, Empty<Bytes>>(TokioIo::new(ours)).await.ok()?;
    let connection = tokio::spawn(async move { connection.await.ok() });
    let request = hyper::Request::post("/").header("host", "x").body(Empty::new()).ok()?;
    let exchange = async {
        let response = sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.into_body().collect().await.ok()?.to_bytes().to_vec()))
    };
    let answer = answer.to_vec();
    let speak = async move {
        let mut request = [0; 1024];
        let _len = peer.read(&mut request).await;
        let _written = peer.write_all(&answer).await;
    };
    let (read, ()) = tokio::join!(exchange, speak);
    connection.abort();
    read
}

proptest! {
    #[test]
    fn pieces_do_not_matter(answer in any_answer(), cuts in prop::collection::vec(1_usize..9, 1..80)) {
        let (mut pieces, mut rest) = (Vec::new(), answer.as_slice());
        for cut in cuts {
            let (piece, left) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        pieces.push(rest);
        // Bytes behind a complete answer are noticed only when they come along with its end. If an answer says nothing
        // of its end, the bytes that came along with the head are kept.
        match (decode([answer.as_slice()]), decode(pieces)) {
            (Ok((whole, _)), Ok((cut, _))) => {
                prop_assert_eq!(whole.status, cut.status);
                prop_assert_eq!(&whole.retry_after, &cut.retry_after);
                if whole.note != Some(AnswerNote::LengthContradicts) {
                    prop_assert_eq!(whole.kept, cut.kept);
                }
            }
            (whole, cut) => prop_assert_eq!(whole.map(drop), cut.map(drop)),
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_read_on_for_ever(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _result = read(&bytes);
        let _result = read(&[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", bytes.as_slice()].concat());
        let _result = read_pieces(bytes.chunks(3));
    }

    #[test]
    fn hyper_reads_the_same(answer in any_answer()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let theirs = runtime.block_on(read_by_hyper(&answer));
        // hyper may see no answer at all where we see one with a note.
        let ours = decode([answer.as_slice()]).ok();
        let whole = ours.filter(|(answer, _)| answer.note.is_none() || theirs.is_some());
        let ours = whole.map(|(answer, _)| (answer.status, answer.kept));
        prop_assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(&answer));
    }
}
