//! Keys of a data directory: generated, given, refused, and API keys made offline.

use crate::harness::{Client, Server, pinion, seconds};
use std::path::Path;

fn key_command(data_dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = pinion().arg("key").arg("--data-dir").arg(data_dir).args(arguments).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn a_root_key_can_come_from_the_environment() {
    let data = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let server = Server::try_start_in(data, &[], &[("PINION_ROOT_KEY", "a-root-key-of-my-own")]).unwrap();
    assert!(!server.data_dir().join("root.key").exists());
    let client = Client::new(server.api_address());
    let status = |key: &str| client.clone().with_bearer(key).send("GET", "/api/v1/app", &[], None).unwrap().status;
    assert_eq!(status("a-root-key-of-my-own"), 200);
    assert_eq!(status("a-root-key-of-my-own2"), 401);
}

#[test]
fn another_master_key_is_refused_and_the_right_one_taken() {
    let mut server = Server::start(&[]);
    server.kill();
    let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let refused = Server::try_start_in(server.data(), &[], &[("PINION_MASTER_KEY", other)]).err().expect("refused");
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("PINION_MASTER_KEY is not the one"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(other));
    server.start_again();
}

#[test]
fn api_keys_are_made_listed_and_revoked_while_the_server_is_down() {
    let mut server = Server::start(&[]);
    let data_dir = server.data_dir();
    let (code, _, stderr) = key_command(&data_dir, &["list"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("in use") && stderr.contains("stop the server first"), "{stderr}");

    assert_eq!(server.terminate(seconds(15)).code(), Some(0));
    let (code, key, stderr) = key_command(&data_dir, &["create", "--name", "backend"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let (code, listed, _) = key_command(&data_dir, &["list"]);
    assert!(code == 0 && listed.contains("backend") && !listed.contains(key.trim()), "{listed}");
    let (code, _, stderr) = key_command(&data_dir, &["create", "--name", "other", "--app", "absent"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no application with the id or uid `absent`"), "{stderr}");

    server.start_again();
    let client = Client::new(server.api_address()).with_bearer(key.trim());
    assert_eq!(client.send("GET", "/api/v1/app", &[], None).unwrap().status, 200);

    server.terminate(seconds(15));
    assert_eq!(key_command(&data_dir, &["revoke", "backend"]).0, 0);
    server.start_again();
    let client = Client::new(server.api_address()).with_bearer(key.trim());
    assert_eq!(client.send("GET", "/api/v1/app", &[], None).unwrap().status, 401);
}

#[test]
fn looking_for_keys_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    for arguments in [&["list"][..], &["revoke", "backend"]] {
        let (code, stdout, stderr) = key_command(&absent, arguments);
        assert_eq!((code, stdout.as_str()), (1, ""));
        assert!(stderr.contains("there is no data directory") && stderr.contains("absent"), "{stderr}");
    }
    assert!(!absent.exists());
}
