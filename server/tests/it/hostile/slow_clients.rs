//! A tenant with a key that sends its bodies slowly and does not read its answers.

use super::neighbour::Neighbour;
use crate::harness::{Client, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time for the machine's other work.
const SLACK: Duration = Duration::from_millis(250);

/// An application with a key for it: the key's text.
fn tenant(server: &Server, uid: &str) -> String {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": uid, "uid": uid}));
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": uid, "appId": uid}));
    key["key"].as_str().expect("a key").to_owned()
}

/// Sends the beginning of a request and leaves it at that.
fn begin(server: &Server, head: &str, key: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.api_address()).unwrap();
    let head = format!("{head}host: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // It may have been refused meanwhile.
    let _ = stream.write_all(body);
    stream
}

/// Pushes a body of so many bytes.
fn push_large(client: &Client, uid: &str, bytes: usize) -> u16 {
    let body = json!({"eventType": "a.b", "payload": {"fill": "x".repeat(bytes)}}).to_string();
    let path = format!("/api/v1/app/{uid}/msg");
    client.send("POST", &path, &[], Some(body.as_bytes())).expect("an answer").status
}

#[test]
fn slow_bodies_of_one_key_leave_room_for_the_bodies_of_others() {
    let server = Server::start(&["--max-bodies-bytes", "8MiB", "--max-batch-body-bytes", "1MiB"]);
    let mut neighbour = Neighbour::new(&server);
    let alone = neighbour.watch(seconds(1), Duration::from_millis(10));
    let (greedy, other) = (tenant(&server, "greedy"), tenant(&server, "other"));
    let head = "POST /api/v1/app/greedy/msg HTTP/1.1\r\ncontent-length: 1000000\r\n";
    // Each announces 1 MB, and sends a fiftieth or half of it.
    let held: Vec<TcpStream> = (0..60)
        .map(|nth| {
            let bytes = if nth % 2 == 0 { 500_000 } else { 20_000 };
            begin(&server, head, &greedy, &vec![b' '; bytes])
        })
        .collect();
    let taken = poll_until("bodies take room", seconds(5), || {
        let taken = server.metric("pinion_api_bodies_bytes", &[]);
        (taken > 2e6).then_some(taken)
    });
    let client = server.anonymous().with_bearer(&other);
    let statuses: Vec<u16> = (0..10).map(|_| push_large(&client, "other", 900_000)).collect();
    let beside = neighbour.watch(seconds(1), Duration::from_millis(10));
    eprintln!("  {taken} bytes taken by slow bodies, others: {statuses:?}");
    assert_eq!(statuses, [202; 10]);
    beside.assert_beside(&alone, 0.95, SLACK);
    // Too slow after the grace.
    let mut slow = held.into_iter().nth(1).expect("there are many");
    slow.set_read_timeout(Some(seconds(10))).unwrap();
    let mut answer = [0; 64];
    let read = slow.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn pages_that_nobody_reads_take_a_bounded_amount_of_memory() {
    const MESSAGES: usize = 40;
    let server = Server::start(&["--max-answers-bytes", "16MiB"]);
    let mut neighbour = Neighbour::new(&server);
    let (greedy, other) = (tenant(&server, "greedy"), tenant(&server, "other"));
    let client = server.anonymous().with_bearer(&greedy);
    assert!((0..MESSAGES).all(|_| push_large(&client, "greedy", 250_000) == 202));
    let small = server.anonymous().with_bearer(&other);
    assert!((0..8).all(|_| push_large(&small, "other", 100_000) == 202));
    let alone = neighbour.watch(seconds(1), Duration::from_millis(10));
    let before_kib = server.resident_kib();
    let head = "GET /api/v1/app/greedy/msg?limit=250 HTTP/1.1\r\n";
    // One answer may fit into the buffers of the system. Several of one connection do not.
    let again = format!("{head}host: x\r\nauthorization: Bearer {greedy}\r\n\r\n").repeat(5);
    let held: Vec<TcpStream> = (0..100).map(|_| begin(&server, head, &greedy, again.as_bytes())).collect();
    let taken = poll_until("answers take room", seconds(10), || {
        let taken = server.metric("pinion_api_answers_bytes", &[]);
        (taken > 4e6).then_some(taken)
    });
    // Pages are made until the buffers and the room are full; the memory that they hold then is under test.
    let mut answered = -1.0;
    poll_until("no more pages are made", seconds(20), || {
        let now = server.metric("pinion_api_requests_total", &["method=\"GET\"", "route=\"/api/v1/app/{app_id}/msg\""]);
        let is_over = now == answered;
        answered = now;
        std::thread::sleep(Duration::from_millis(300));
        is_over.then_some(())
    });
    let beside = neighbour.watch(seconds(1), Duration::from_millis(10));
    let grown_mib = server.resident_kib().saturating_sub(before_kib) / 1024;
    eprintln!("  {taken} bytes of answers, memory +{grown_mib} MiB");
    let asked = Instant::now();
    let (status, page) = small.json("GET", "/api/v1/app/other/msg?limit=250", Value::Null);
    assert_eq!((status, page["data"].as_array().map(Vec::len)), (200, Some(8)), "another key has its room");
    assert!(asked.elapsed() < seconds(2) && grown_mib < 256, "{:?}, +{grown_mib} MiB", asked.elapsed());
    beside.assert_beside(&alone, 0.95, SLACK);
    drop(held);
}

#[test]
fn requests_of_one_key_that_do_not_end_leave_places_to_others() {
    let server = Server::start(&["--max-concurrent-requests", "64"]);
    let mut neighbour = Neighbour::new(&server);
    let alone = neighbour.watch(seconds(1), Duration::from_millis(10));
    let greedy = tenant(&server, "greedy");
    // A small body takes no memory that is shared, and may take the time of a whole request.
    let head = "POST /api/v1/app/greedy/msg HTTP/1.1\r\ncontent-length: 1000\r\n";
    let held: Vec<TcpStream> = (0..200).map(|_| begin(&server, head, &greedy, b"{")).collect();
    poll_until("requests are refused", seconds(5), || {
        (server.metric("pinion_api_requests_total", &["code=\"503\""]) >= 168.0).then_some(())
    });
    let beside = neighbour.watch(seconds(1), Duration::from_millis(10));
    assert_eq!(beside.refused, 0, "{beside}");
    beside.assert_beside(&alone, 0.95, SLACK);
    drop(held);
}

/// Asks for a page again and again on one connection, and reads each, until `is_over`. Returns the number of pages.
fn turn_pages(server: &Server, key: &str, is_over: &AtomicBool) -> usize {
    let client = server.anonymous().with_bearer(key);
    let mut pages = 0;
    while !is_over.load(Ordering::Relaxed) {
        let answer = client.send("GET", "/api/v1/app/greedy/msg?limit=250", &[], None);
        pages += usize::from(answer.is_ok_and(|answer| answer.status == 200));
    }
    pages
}

#[test]
fn pages_of_one_key_leave_the_cores_to_the_pushes_of_others() {
    let server = Server::start(&[]);
    let mut neighbour = Neighbour::new(&server);
    let greedy = tenant(&server, "greedy");
    let client = server.anonymous().with_bearer(&greedy);
    assert!((0..40).all(|_| push_large(&client, "greedy", 250_000) == 202));
    let alone = neighbour.watch(seconds(1), Duration::from_millis(10));
    let is_over = AtomicBool::new(false);
    let (beside, pages) = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..64).map(|_| scope.spawn(|| turn_pages(&server, &greedy, &is_over))).collect();
        let beside = neighbour.watch(seconds(3), Duration::from_millis(10));
        is_over.store(true, Ordering::Relaxed);
        (beside, askers.into_iter().map(|asker| asker.join().expect("it does not panic")).sum::<usize>())
    });
    eprintln!("  {pages} pages of a megabyte beside");
    assert!(pages > 10, "{pages} pages");
    assert_eq!(beside.refused, 0, "{beside}");
    // A push waits for the one before. Made as they are asked for, the pages leave time for three in two seconds.
    assert!(beside.pushed * 4 >= 3 * alone.pushed, "{beside}, alone {alone}");
    beside.assert_beside(&alone, 0.95, SLACK);
}

#[test]
fn a_page_is_cut_by_bytes_and_its_iterator_leads_on() {
    const MESSAGES: usize = 12;
    let server = Server::start(&[]);
    let client = server.anonymous().with_bearer(&tenant(&server, "large"));
    assert!((0..MESSAGES).all(|_| push_large(&client, "large", 250_000) == 202));
    let (mut seen, mut pages, mut iterator) = (0, 0, String::new());
    loop {
        let path = format!("/api/v1/app/large/msg?limit=250&iterator={iterator}");
        let answer = client.send("GET", &path, &[], None).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.body.len() < 2 << 20, "{} bytes", answer.body.len());
        let page = answer.json();
        seen += page["data"].as_array().unwrap().len();
        pages += 1;
        if page["done"] == true {
            break;
        }
        iterator = page["iterator"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen, MESSAGES);
    assert!(pages >= 3, "{pages} pages");
}
