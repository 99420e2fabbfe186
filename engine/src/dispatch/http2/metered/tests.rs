//! Turns, floods and good-byes, over memory instead of sockets.

use super::*;
use futures_util::task::noop_waker;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

const DATA_FRAME_LEN: usize = 16 * 1024;

/// The peer's end, our end, and the one handle.
fn metered(shunned: &Shunned) -> (DuplexStream, Metered<DuplexStream>, oneshot::Sender<()>, Arc<Meter>) {
    let (peer, stream) = duplex(1 << 20);
    let meter = Arc::new(Meter::new(1 << 20, 1 << 20));
    let (handle, gone) = oneshot::channel();
    (peer, Metered::new(stream, meter.clone(), gone, Identity::new(true, "a", None), shunned.clone()), handle, meter)
}

fn frame(kind: u8, len: usize) -> Vec<u8> {
    let head = u32::try_from(len).unwrap().to_be_bytes();
    [&head[1..], &[kind, 0, 0, 0, 0, 1], vec![0; len].as_slice()].concat()
}

/// Reads as hyper does: for as long as there is something. Answers how much, and how it ended.
fn read_on<S: AsyncRead + Unpin>(stream: &mut S, cx: &mut Context<'_>) -> (usize, Poll<io::Result<()>>) {
    let mut len = 0;
    loop {
        let mut memory = [0; 8 * 1024];
        let mut buf = ReadBuf::new(&mut memory);
        match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => len += buf.filled().len(),
            end => return (len, end),
        }
    }
}

#[tokio::test]
async fn a_turn_ends_after_64_kib_and_the_next_one_goes_on() {
    let (mut peer, mut stream, _handle, meter) = metered(&Shunned::default());
    let _under_way = meter.begin(0);
    let sent = frame(0, DATA_FRAME_LEN).repeat(12);
    peer.write_all(&sent).await.unwrap();
    let (waker, mut got) = (noop_waker(), Vec::new());
    while got.iter().sum::<usize>() < sent.len() {
        // A task of the runtime has a budget of its own, which is not what ends these turns.
        let (len, end) = read_on(&mut stream, &mut Context::from_waker(&waker));
        assert!(end.is_pending(), "{end:?}");
        got.push(len);
    }
    assert!(got.len() >= 3 && got.iter().all(|len| *len <= TURN_LEN + 8 * 1024), "{got:?}");
}

#[tokio::test]
async fn a_flood_ends_the_connection_and_its_receiver_is_shunned() {
    let shunned = Shunned::default();
    let (mut peer, mut stream, _handle, meter) = metered(&shunned);
    let under_way = meter.begin(0);
    peer.write_all(&frame(6, 8).repeat(60)).await.unwrap();
    let waker = noop_waker();
    assert!(read_on(&mut stream, &mut Context::from_waker(&waker)).1.is_pending());
    assert!(meter.is_busy() && !shunned.contains(&Identity::new(true, "a", None), Instant::now()));
    peer.write_all(&frame(6, 8).repeat(60)).await.unwrap();
    let (_, end) = read_on(&mut stream, &mut Context::from_waker(&waker));
    let Poll::Ready(Err(error)) = end else { panic!("{end:?}") };
    assert!(error.to_string().contains("flood"), "{error}");
    assert!(shunned.contains(&Identity::new(true, "a", None), Instant::now()));
    drop(under_way);
    assert!(!meter.is_busy());
}

#[tokio::test]
async fn an_answer_that_was_read_together_with_a_flood_is_handed_on() {
    let (mut peer, mut stream, _handle, meter) = metered(&Shunned::default());
    let _under_way = meter.begin(0);
    let sent = [frame(1, 20), frame(6, 8).repeat(100)].concat();
    peer.write_all(&sent).await.unwrap();
    let waker = noop_waker();
    let (len, end) = read_on(&mut stream, &mut Context::from_waker(&waker));
    assert!((len, matches!(end, Poll::Ready(Err(_)))) == (sent.len(), true), "{len} of {}: {end:?}", sent.len());
}

#[tokio::test]
async fn a_connection_without_a_handle_ends_in_a_moment_even_if_its_peer_reads_nothing() {
    let (_peer, mut stream, handle, _meter) = metered(&Shunned::default());
    let more_than_fits = vec![0; 2 << 20];
    let blocked = tokio::time::timeout(GOODBYE / 10, stream.write_all(&more_than_fits)).await;
    blocked.expect_err("the peer reads nothing");
    drop(handle);
    let ended = tokio::time::timeout(GOODBYE * 20, stream.write_all(&more_than_fits)).await.expect("it ends");
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
}
