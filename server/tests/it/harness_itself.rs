//! The receiver behaves as documented: otherwise a test on top of it proves nothing.

use crate::harness::{Behaviour, Client, Receiver, seconds};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

fn get(receiver: &Receiver, path: &str) -> std::io::Result<crate::harness::Response> {
    Client::new(receiver.address()).send("POST", path, &[("x-test", "1"), ("connection", "close")], Some(b"{}"))
}

/// Opens a connection, sends a request and reads the answer for half a second.
fn read_some(receiver: &Receiver, path: &str) -> (Vec<u8>, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(receiver.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    write!(stream, "POST {path} HTTP/1.1\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut bytes = vec![0; 64 * 1024];
    let mut count = 0;
    loop {
        match stream.read(&mut bytes[count..]) {
            Ok(0) => return (bytes[..count].to_vec(), None),
            Ok(more) => count += more,
            Err(error) => return (bytes[..count].to_vec(), Some(error.kind())),
        }
    }
}

#[test]
fn a_scripted_path_answers_in_order_and_the_last_one_stays() {
    let receiver = Receiver::start();
    receiver.script("/hook", [Behaviour::status(503), Behaviour::with_body(200, "thanks")]);
    let mut client = TcpStream::connect(receiver.address()).unwrap();
    client.set_read_timeout(Some(seconds(5))).unwrap();
    for (status, body) in [("503", ""), ("200", "thanks"), ("200", "thanks")] {
        client.write_all(b"POST /hook HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc").unwrap();
        let expected = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let mut answer = vec![0; expected.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
    }
    let requests = receiver.wait_for(3, seconds(5));
    assert!(requests.iter().all(|request| request.body == b"abc" && request.connection == 0));
    assert_eq!(receiver.requests_to("/hook").len(), 3);
}

#[test]
fn statuses_and_retry_after_follow_the_path() {
    let receiver = Receiver::start();
    for path in ["/status/204", "/redirect/elsewhere", "/retry-after/429/2", "/retry-after-date/503/60", "/any"] {
        // The receiver keeps the connection open, so the answer is read to its own end only.
        let (bytes, _) = read_some(&receiver, path);
        let text = String::from_utf8(bytes).unwrap();
        let (status, header) = match path {
            "/status/204" => ("204", ""),
            "/redirect/elsewhere" => ("301", "location: /elsewhere\r\n"),
            "/retry-after/429/2" => ("429", "retry-after: 2\r\n"),
            "/retry-after-date/503/60" => ("503", " GMT\r\n"),
            _ => ("200", ""),
        };
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.contains(header), "{path}: {text}");
    }
}

#[test]
fn a_reset_a_close_and_garbage_give_no_answer() {
    let receiver = Receiver::start();
    assert_eq!(read_some(&receiver, "/reset"), (Vec::new(), Some(ErrorKind::ConnectionReset)));
    assert_eq!(read_some(&receiver, "/close"), (Vec::new(), None));
    assert!(get(&receiver, "/garbage").is_err());
}

#[test]
fn a_stall_says_nothing_and_an_endless_body_does_not_end() {
    let receiver = Receiver::start();
    let (bytes, error) = read_some(&receiver, "/stall");
    assert!(bytes.is_empty() && error.is_some());
    let (bytes, error) = read_some(&receiver, "/stall-body");
    assert!(bytes.ends_with(b"half") && error.is_some());
    let (bytes, _) = read_some(&receiver, "/drip");
    assert!((1..5).contains(&bytes.len()));
    let mut stream = TcpStream::connect(receiver.address()).unwrap();
    stream.write_all(b"POST /endless HTTP/1.1\r\n\r\n").unwrap();
    let mut megabyte = vec![0; 1 << 20];
    stream.read_exact(&mut megabyte).unwrap();
}

#[test]
fn waiting_ends_at_its_deadline() {
    let receiver = Receiver::start();
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        receiver.wait_for(1, Duration::from_millis(50));
    }));
    assert!(waited.is_err());
}
