//! Backups that the server refuses or breaks off, and says why.

use super::{APP, SOME, backup, create, done, failed, push, start_server};
use crate::harness::{Receiver, Server, pinion, poll_until, seconds};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Asks for a backup and reads the head of the answer, and nothing more.
fn begin(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.api_address()).unwrap();
    stream.set_read_timeout(Some(seconds(20))).unwrap();
    let head = format!(
        "POST /api/v1/backup HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n",
        server.root_key()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

/// More than the buffers of a connection hold.
fn fill(server: &Server) {
    push(&server.client(), (0..24).map(|nth| 7 + 97 * nth));
}

#[test]
fn only_a_key_for_everything_takes_a_backup() {
    let server = start_server(&[]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": APP, "uid": APP}));
    let key = |body: Value| server.api_expect(201, "POST", "/api/v1/api-key", body)["key"].as_str().unwrap().to_owned();
    let (of_app, of_all) = (key(json!({"name": "one", "appId": APP})), key(json!({"name": "all"})));
    let place = tempfile::tempdir().unwrap();
    let to = |key: &str, folder: &str| {
        let mut command = backup(&server, &place.path().join(folder), &[]);
        command.env("PINION_KEY", key);
        command
    };
    let stderr = failed(&mut to(&of_app, "a"));
    assert!(stderr.contains("403") && stderr.contains("limited to another application"), "{stderr}");
    assert!(failed(&mut to("nobody", "b")).contains("401"));
    done(&mut to(&of_all, "c"));
    let audit = server.api_expect(200, "GET", "/api/v1/audit?action=store.backup", Value::Null);
    let records = audit["data"].as_array().unwrap();
    assert!(records.len() == 1 && records[0]["actor"]["name"] == "all", "{audit}");
    // Without that variable the root key is read as `pinion key` does.
    let mut by_root = pinion();
    by_root.arg("backup").arg("--to").arg(place.path().join("d")).arg("--data-dir").arg(server.data_dir());
    done(by_root.args(["--url", &format!("http://{}", server.api_address())]));
    let mut without = pinion();
    without.arg("backup").arg("--to").arg(place.path().join("e")).arg("--data-dir").arg(place.path());
    let stderr = failed(without.args(["--url", "http://127.0.0.1:9"]));
    assert!(stderr.contains("PINION_KEY"), "{stderr}");
    let mut nobody = pinion();
    nobody.env("PINION_KEY", &of_all).args(["backup", "--url", "http://127.0.0.1:9", "--to"]);
    assert!(failed(nobody.arg(place.path().join("f"))).contains("no Pinion answers at http://127.0.0.1:9"));
    nobody = pinion();
    nobody.env("PINION_KEY", &of_all).args(["backup", "--url", "http://127.0.0.1:9", "--to"]);
    assert!(failed(nobody.arg(place.path())).contains("is no folder of backups"), "it has others' files");
}

#[test]
fn there_is_one_backup_at_a_time_and_the_next_may_begin_when_its_reader_is_gone() {
    let (server, receiver) = (start_server(&[]), Receiver::start());
    create(&server, &receiver);
    fill(&server);
    let place = tempfile::tempdir().unwrap();
    let first = begin(&server);
    let stderr = failed(&mut backup(&server, place.path(), &[]));
    assert!(stderr.contains("409") && stderr.contains("a backup is being taken already"), "{stderr}");
    let audit = server.api_expect(200, "GET", "/api/v1/audit?action=store.backup", Value::Null);
    assert_eq!(audit["data"].as_array().unwrap().len(), 1, "a refused one leaves no record: {audit}");
    drop(first);
    poll_until("the end of the first", seconds(20), || {
        (server.metric("pinion_backups_total", &["outcome=\"abandoned\""]) == 1.0).then_some(())
    });
    done(&mut backup(&server, place.path(), &[]));
}

#[test]
fn a_backup_that_lasts_longer_than_a_connection_may_be_idle_ends_whole() {
    let (server, receiver) = (start_server(&["--header-read-timeout-ms=400ms"]), Receiver::start());
    create(&server, &receiver);
    fill(&server);
    let mut stream = begin(&server);
    let (mut part, mut bytes, mut reads) = (vec![0; 256 << 10], 0, 0);
    loop {
        // Not a wait for something: a slow reader is the input of this test.
        std::thread::sleep(Duration::from_millis(20));
        match stream.read(&mut part).unwrap() {
            0 => break,
            read => bytes += read,
        }
        reads += 1;
    }
    assert!(reads > 60 && bytes > 24 << 20, "{reads} reads of {bytes} bytes were no long backup");
    assert_eq!(server.metric("pinion_backups_total", &["outcome=\"complete\""]), 1.0);
}

#[test]
fn a_reader_that_is_too_slow_loses_its_backup_and_no_message_waits_for_it() {
    let (server, receiver) = (start_server(&["--backup-queue-bytes=1MiB"]), Receiver::start());
    create(&server, &receiver);
    fill(&server);
    let mut slow = begin(&server);
    // Many times what may wait, while the reader sleeps.
    let acked = push(&server.client(), (30..40).map(|nth| 7 + 97 * nth));
    assert_eq!(acked.len(), 10);
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("the backup did not keep up"), "{} bytes", answer.len());
    assert_eq!(server.metric("pinion_backups_total", &["outcome=\"failed\""]), 1.0);
    assert_eq!(server.monitor("/readyz").status, 200);
    let place = tempfile::tempdir().unwrap();
    done(&mut backup(&server, place.path(), &[]));
    push(&server.client(), 0..SOME / 10);
}
