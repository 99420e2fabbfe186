//! No room: first less than is kept in reserve, then none at all.

use super::{APP, create, nothing_is_lost, push};
use crate::disk::Shim;
use crate::events::list_events;
use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use std::collections::BTreeMap;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

/// More than one event with its overhead, and than the store grows by at a time.
const ARGUMENTS: [&str; 2] = ["--disk-reserve-bytes=8MiB", "--store-log-bytes=1MiB"];

/// Numbers whose payload is large.
fn large() -> impl Iterator<Item = u64> {
    (0..100_000).map(|nth| nth * 29 + 3).filter(|number| number % 97 != 7)
}

#[test]
fn a_nearly_full_disk_refuses_messages_and_nothing_else_until_there_is_room() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (shim, receiver) = (Shim::new(folder.path(), false), Receiver::start());
    let mut server = Server::try_start_in(Arc::clone(&folder), &ARGUMENTS, &shim.environment()).unwrap();
    assert!(create(&server, &receiver).unwrap());
    receiver.script(super::PATH, [Behaviour::status(503)]);
    shim.set_capacity(shim.used() + 40 * MIB);

    let (client, mut acked, mut numbers) = (server.client(), BTreeMap::new(), large());
    let refused = numbers.by_ref().take(2_000).find_map(|number| match push(&client, number).expect("an answer") {
        Ok(id) => {
            acked.insert(id, number);
            None
        }
        Err(refused) => Some(refused),
    });
    assert_eq!(refused, Some((507, "storage_full".to_owned())));
    assert!(acked.len() > 20, "{} events filled the disk", acked.len());

    // It reads, takes configuration, delivers, and is ready.
    assert_eq!(list_events(&client, APP).unwrap().unwrap().len(), acked.len());
    server.api_expect(200, "PATCH", "/api/v1/app/shop", serde_json::json!({"name": "still here"}));
    assert_eq!(server.monitor("/readyz").status, 200);
    receiver.script(super::PATH, [Behaviour::status(200)]);
    nothing_is_lost(&server, &receiver, &acked);
    assert!(server.metric("pinion_ingest_rejected_total", &["reason=\"storage_full\""]) >= 1.0);
    assert!(server.metric("pinion_disk_free_bytes", &[]) < 9.0 * MIB as f64);
    // Also after a start on such a disk.
    server.restart();
    let client = server.client();
    assert_eq!(push(&client, 1).unwrap(), Err((507, "storage_full".to_owned())));

    shim.set_capacity(shim.used() + 40 * MIB);
    let id = poll_until("room", seconds(20), || push(&client, 2).unwrap().ok());
    acked.insert(id, 2);
    nothing_is_lost(&server, &receiver, &acked);
    assert_eq!(shim.failed(), 0, "the disk refused something");
    assert!(server.terminate(seconds(20)).success());
}

#[test]
fn a_disk_without_any_room_stops_the_server_and_a_restart_with_room_loses_nothing() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (shim, receiver) = (Shim::new(folder.path(), false), Receiver::start());
    let arguments = ["--disk-reserve-bytes=0"];
    let mut server = Server::try_start_in(Arc::clone(&folder), &arguments, &shim.environment()).unwrap();
    assert!(create(&server, &receiver).unwrap());
    shim.set_capacity(shim.used() + 10 * MIB);
    let (client, mut acked) = (server.client(), BTreeMap::new());
    let mut refused = None;
    for number in large().take(2_000) {
        match push(&client, number) {
            Ok(Ok(id)) => drop(acked.insert(id, number)),
            Ok(Err(answer)) => {
                refused = Some(answer);
                break;
            }
            Err(_) => break,
        }
    }
    // The commit that fails may be one of the engine's own: then the process ends, and says so to the next request.
    let is_told =
        |(status, code): &(u16, String)| *status == 503 && ["storage_failed", "shutting_down"].contains(&&**code);
    assert!(refused.as_ref().is_none_or(is_told), "{refused:?}");
    assert_eq!(server.wait_exit(seconds(30)).code(), Some(1));
    assert!(!acked.is_empty() && shim.failed() > 0);
    // On a disk that is still full it starts or says why not.
    if let Err(exited) = Server::try_start_in(Arc::clone(&folder), &arguments, &shim.environment()) {
        assert_eq!(exited.status.code(), Some(1), "{exited:?}");
    }
    shim.set_capacity(0);
    let server = Server::try_start_in(folder, &arguments, &shim.environment()).unwrap();
    nothing_is_lost(&server, &receiver, &acked);
}
