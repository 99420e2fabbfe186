//! A backup while messages come in, and a server that goes on from it elsewhere.

use super::{
    APP, SOME, arrived, backup, create, done, number_behind, place_with_keys, push, push_until, restore, run,
    start_server, verify, with_input,
};
use crate::events::{list_events, payload};
use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Everything that was acknowledged is there, and goes to the endpoint that owed it.
#[track_caller]
fn all_is_there_and_arrives(server: &Server, receiver: &Receiver, acked: &BTreeMap<String, u64>) {
    let there = list_events(&server.client(), APP).expect("an answer").expect("a list");
    for (id, number) in acked {
        assert_eq!(there.get(id), Some(&payload(*number)), "message {number} ({id}) is lost or another one");
    }
    receiver.script("/bad", [Behaviour::status(200)]);
    poll_until("all deliveries that were owed", seconds(60), || {
        (arrived(receiver, "/bad", acked) == acked.len()).then_some(())
    });
}

#[test]
fn all_that_was_acknowledged_before_a_backup_under_load_is_restored_and_delivered() {
    let (mut server, receiver) = (start_server(&[]), Receiver::start());
    receiver.script("/bad", [Behaviour::status(503)]);
    create(&server, &receiver);
    let mut acked = push(&server.client(), 0..SOME);
    let place = tempfile::tempdir().unwrap();
    let (folder, stop) = (place.path().join("backup"), AtomicBool::new(false));
    let client = server.client();
    let report = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| push_until(&client, &stop, 1_000));
        acked.extend(push(&server.client(), SOME..SOME + 20));
        let report = done(&mut backup(&server, &folder, &["--verify"]));
        stop.store(true, Ordering::SeqCst);
        let meanwhile = pushing.join().unwrap();
        assert!(!meanwhile.is_empty(), "no load");
        report
    });
    assert!(report.contains("opens: commit") && report.contains("every sum is right"), "{report}");
    assert!(report.contains("master.key"), "{report}");
    assert_eq!(server.metric("pinion_backups_total", &["outcome=\"complete\""]), 1.0);
    let audit = server.api_expect(200, "GET", "/api/v1/audit?action=store.backup", Value::Null);
    assert_eq!(audit["data"][0]["actor"]["kind"], "root", "{audit}");
    // The key of everything opens nothing of it, but what is sent lies open: for its owner alone.
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(folder.join("chunks")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);

    let (place, data_dir) = place_with_keys(&server);
    server.kill();
    let report = done(&mut restore(&folder, &data_dir));
    assert!(report.contains("restored to commit") && report.contains("LOST"), "{report}");
    assert!(!report.contains("is needed before"), "its master key is there: {report}");
    let restored = Server::try_start_in(place, &[], &[]).unwrap();
    all_is_there_and_arrives(&restored, &receiver, &acked);
    let audit = restored.api_expect(200, "GET", "/api/v1/audit?action=store.restore", Value::Null);
    assert_eq!(audit["data"][0]["actor"]["kind"], "offline", "{audit}");
    let more = push(&restored.client(), 5_000..5_003);
    assert!(more.keys().all(|id| !acked.contains_key(id)));
    all_is_there_and_arrives(&restored, &receiver, &more);
}

#[test]
fn a_second_backup_writes_little_and_old_ones_go() {
    let (server, receiver) = (start_server(&[]), Receiver::start());
    create(&server, &receiver);
    push(&server.client(), (0..80).map(|nth| 3 + 29 * nth));
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("backup");
    let first = done(&mut backup(&server, &folder, &[]));
    let chunks = number_behind(&first, "new in the folder:");
    assert!(chunks >= 3, "{first}");
    let names = || std::fs::read_dir(folder.join("backups")).unwrap().count();
    push(&server.client(), 2_000..2_002);
    let second = done(&mut backup(&server, &folder, &[]));
    assert!(number_behind(&second, "new in the folder:") < chunks, "{first}{second}");
    assert!(second.starts_with("backup 2 stands at commit") && names() == 2, "{second}");
    let third = done(&mut backup(&server, &folder, &["--keep", "1"]));
    assert!(third.contains("removed: 2 older backups") && names() == 1, "{third}");
    let report = done(&mut verify(&folder));
    assert!(report.starts_with("backup 3 opens"), "{report}");
}

#[test]
fn a_tar_stream_is_a_backup_too() {
    let (mut server, receiver) = (start_server(&[]), Receiver::start());
    receiver.script("/bad", [Behaviour::status(503)]);
    create(&server, &receiver);
    let acked = push(&server.client(), 0..SOME);
    let output = backup(&server, Path::new("-"), &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("stands at commit"));
    // One that broke off restores nothing.
    let (_other, data_dir) = place_with_keys(&server);
    let cut = with_input(restore(Path::new("-"), &data_dir), &output.stdout[..output.stdout.len() / 2]);
    assert_eq!(cut.status.code(), Some(1));
    assert!(!data_dir.join("store").exists() && !data_dir.join("restore.new").exists());

    let (place, data_dir) = place_with_keys(&server);
    server.kill();
    let restored = with_input(restore(Path::new("-"), &data_dir), &output.stdout);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    all_is_there_and_arrives(&Server::try_start_in(place, &[], &[]).unwrap(), &receiver, &acked);
}

#[test]
fn a_restore_asks_for_the_right_master_key_and_an_empty_place() {
    let server = start_server(&[]);
    server.api_expect(201, "POST", "/api/v1/app", serde_json::json!({"name": APP, "uid": APP}));
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("backup");
    done(&mut backup(&server, &folder, &[]));
    // Of a directory of its own, as there is no pinion.toml.
    let bare = place.path().join("bare");
    let report = done(&mut restore(&folder, &bare));
    assert!(report.contains("is needed before the server starts"), "{report}");
    let (code, _, stderr) = run(&mut restore(&folder, &bare));
    assert!(code == 1 && stderr.contains("is not empty: it has `store`"), "{stderr}");
    let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let (code, _, stderr) = run(restore(&folder, &place.path().join("wrong")).env("PINION_MASTER_KEY", other));
    assert!(code == 1 && stderr.contains("PINION_MASTER_KEY is not the one") && !stderr.contains(other), "{stderr}");
    assert!(!place.path().join("wrong/store").exists());
    // Another server's backups do not go into the same folder.
    let stranger = start_server(&[]);
    let (code, _, stderr) = run(&mut backup(&stranger, &folder, &[]));
    assert!(code == 1 && stderr.contains("another master key"), "{stderr}");
}
