//! Export and import of the configuration, by the binary's own commands between two servers.

use crate::harness::{Receiver, Server, pinion};
use serde_json::{Value, json};
use std::path::Path;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Runs a command against a server: its exit code, and what it printed.
fn run(server: &Server, arguments: &[&str]) -> (i32, String) {
    let (command, rest) = arguments.split_first().unwrap();
    let url = format!("http://{}", server.api_address());
    let output =
        pinion().arg(command).args(["--url", &url]).args(rest).env("PINION_KEY", server.root_key()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// A server with something of everything.
fn set_up(url: &str) -> Server {
    let server = Server::start(&[]);
    let event_type =
        json!({"name": "paid", "description": "d", "schemas": {"1": {"type": "object"}}, "groupName": "g"});
    server.api_expect(201, "POST", "/api/v1/event-type", event_type);
    let policy = json!({"timeoutMs": 5000, "retryPolicy": {"type": "fixed", "delayMs": 1000, "maxAttempts": 3}});
    let acme = json!({"name": "Acme", "uid": "acme", "metadata": {"a": "b"}, "throttleRate": 9, "policy": policy});
    server.api_expect(201, "POST", "/api/v1/app", acme);
    // Without uids: they are found by their ids.
    let nameless = server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Nameless"}));
    let path = format!("/api/v1/app/{}/endpoint", nameless["id"].as_str().unwrap());
    server.api_expect(201, "POST", &path, json!({"url": url, "filter": "payload.n > 1"}));
    let path = "/api/v1/app/acme/endpoint";
    let with_backup = json!({"url": url, "uid": "a", "secret": SECRET, "headers": {"x-token": "t0ken"}});
    server.api_expect(201, "POST", path, with_backup);
    let backup = server.api_expect(201, "POST", path, json!({"url": url, "channels": ["c"], "order": "key"}));
    server.api_expect(200, "PATCH", &format!("{path}/a"), json!({"failover": {"backupEndpointId": backup["id"]}}));
    let basic = url.replacen("http://", "http://user:passw0rd@", 1);
    server.api_expect(
        201,
        "POST",
        path,
        json!({"url": basic, "uid": "basic", "disabled": true, "eventTypes": ["paid"]}),
    );
    server
}

fn key_of(server: &Server, endpoint: &str) -> Value {
    server.api_expect(200, "GET", &format!("/api/v1/app/acme/endpoint/{endpoint}/secret"), Value::Null)["key"].clone()
}

fn records(server: &Server) -> Value {
    server.api_expect(200, "GET", "/api/v1/audit/head", Value::Null)["seq"].clone()
}

/// An export, without all that differs between two servers.
fn shape(server: &Server) -> Value {
    let mut document = server.api_expect(200, "POST", "/api/v1/environment/export", json!({}));
    document["createdAt"] = Value::Null;
    for event_type in document["eventTypes"].as_array_mut().unwrap() {
        event_type["createdAt"] = Value::Null;
        event_type["updatedAt"] = Value::Null;
    }
    for app in document["applications"].as_array_mut().unwrap() {
        for thing in app["endpoints"].as_array_mut().unwrap() {
            let fields = thing.as_object_mut().unwrap();
            ["id", "uid", "failover"].iter().for_each(|field| drop(fields.remove(*field)));
        }
        let fields = app.as_object_mut().unwrap();
        ["id", "uid"].iter().for_each(|field| drop(fields.remove(*field)));
    }
    document
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[test]
fn a_configuration_moves_to_another_server_with_its_secrets_and_again_changes_nothing() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let first = set_up(&receiver.url("/hook"));
    let (file, secrets) = (path(folder.path(), "all.json"), path(folder.path(), "export.key"));
    let (code, said) = run(&first, &["export", "--to", &file, "--secrets-key", &secrets]);
    assert!(
        said.contains("1 event types, 2 applications and 4 endpoints, with their secrets, sealed"),
        "{code} {said}"
    );
    let text = std::fs::read_to_string(&file).unwrap();
    for secret in [SECRET, "t0ken", "passw0rd"] {
        assert!(!text.contains(secret), "{secret} is in the export");
    }
    // On the server that it came from, there is nothing to do.
    let (code, said) = run(&first, &["import", "--from", &file, "--secrets-key", &secrets]);
    assert_eq!((code, said.as_str()), (0, "0 created, 0 updated, 7 unchanged, 0 refused\n"));

    let second = Server::start(&[]);
    let before = records(&second);
    let (code, said) = run(&second, &["import", "--from", &file, "--secrets-key", &secrets, "--dry-run"]);
    assert!(
        code == 0
            && said.ends_with(
                "nothing was changed; an import would come to: 7 created, 0 updated, 0 unchanged, 0 refused\n"
            ),
        "{code} {said}"
    );
    assert_eq!(records(&second), before);
    let listed = second.api_expect(200, "GET", "/api/v1/app", Value::Null);
    assert!(listed["data"].as_array().unwrap().is_empty());

    let (code, said) = run(&second, &["import", "--from", &file, "--secrets-key", &secrets]);
    assert!(code == 0 && said.ends_with("7 created, 0 updated, 0 unchanged, 0 refused\n"), "{code} {said}");
    assert!(!said.contains("new secret"), "{said}");
    let after = records(&second).as_u64().unwrap();
    assert_eq!(after - before.as_u64().unwrap(), 7, "a record each");
    assert_eq!(shape(&second), shape(&first));
    assert_eq!((key_of(&second, "a"), key_of(&first, "basic")), (json!(SECRET), key_of(&second, "basic")));
    let failover = second.api_expect(200, "GET", "/api/v1/app/acme/endpoint/a", Value::Null)["failover"].clone();
    let backup = failover["backupEndpointId"].as_str().unwrap().to_owned();
    let backup = second.api_expect(200, "GET", &format!("/api/v1/app/acme/endpoint/{backup}"), Value::Null);
    assert_eq!(backup["channels"], json!(["c"]));

    let (code, said) = run(&second, &["import", "--from", &file, "--secrets-key", &secrets]);
    assert_eq!((code, said.as_str()), (0, "0 created, 0 updated, 7 unchanged, 0 refused\n"));
    second.api_expect(200, "PATCH", "/api/v1/app/acme", json!({"throttleRate": 1}));
    let (code, said) = run(&second, &["import", "--from", &file, "--secrets-key", &secrets]);
    assert!(
        code == 0 && said.contains("updated   application acme\n0 created, 1 updated, 6 unchanged"),
        "{code} {said}"
    );
    let last = second.api_expect(200, "GET", "/api/v1/audit?limit=1", Value::Null);
    assert_eq!(last["data"][0]["action"], "application.put");
}

#[test]
fn without_the_key_secrets_are_left_out_and_new_ones_are_made_and_said() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let first = set_up(&receiver.url("/hook"));
    let second = Server::start(&[]);
    let file = path(folder.path(), "acme.json");
    let (code, said) = run(&first, &["export", "--to", &file, "--app", "acme"]);
    assert!(code == 0 && said.contains("1 applications and 3 endpoints, without their secrets"), "{code} {said}");
    let (code, said) = run(&second, &["import", "--from", &file]);
    assert!(said.contains("created   endpoint    a, with a new secret: tell its receiver"), "{said}");
    // Whose user name and password are not known cannot be created.
    assert!(code == 1 && said.contains("refused   endpoint    basic") && said.contains("hidden"), "{code} {said}");
    assert_ne!(key_of(&second, "a"), json!(SECRET));
    let (made, (code, said)) = (key_of(&second, "a"), run(&second, &["import", "--from", &file]));
    assert!(code == 1 && said.contains("0 created, 0 updated, 4 unchanged, 1 refused"), "{code} {said}");
    assert_eq!(key_of(&second, "a"), made, "a secret that is there stays");

    let sealed = path(folder.path(), "sealed.json");
    let key = path(folder.path(), "k");
    assert_eq!(run(&first, &["export", "--to", &sealed, "--secrets-key", &key]).0, 0);
    let (_, said) = run(&second, &["import", "--from", &sealed, "--dry-run"]);
    assert!(said.contains("4 endpoints have sealed secrets that were left out"), "{said}");
    std::fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    let (code, said) = run(&second, &["import", "--from", &sealed, "--secrets-key", &key]);
    assert!(code == 1 && said.contains("do not open with this key"), "{code} {said}");
    std::fs::write(&key, "short").unwrap();
    assert!(run(&second, &["import", "--from", &sealed, "--secrets-key", &key]).1.contains("holds no key"));
    std::fs::write(&sealed, "{").unwrap();
    assert!(run(&second, &["import", "--from", &sealed]).1.contains("is no export of Pinion"));
    let (code, said) = run(&first, &["export", "--to", "-", "--app", "none"]);
    assert!(code == 1 && said.contains("404"), "{code} {said}");
}

#[test]
fn a_document_is_held_to_its_form_and_a_key_of_one_application_reaches_none_of_it() {
    let server = set_up("http://127.0.0.1:9/");
    let import = "/api/v1/environment/import";
    for (body, at) in [
        (json!({"unknown": 1}), "unknown"),
        (json!({"version": 2}), "version"),
        (json!({"settings": {"color": "red"}}), "settings"),
        (json!({"connectors": [{"name": "c"}]}), "connectors"),
        (json!({"applications": 7}), "applications"),
    ] {
        let (status, answer) = server.api("POST", import, body.clone());
        assert_eq!(status, 422, "{body}: {answer}");
        assert!(answer["detail"].to_string().contains(at), "{body}: {answer}");
    }
    let things = json!({"settings": null, "eventTypes": [{"name": "a b", "description": ""}, {"name": "ok", "description": ""}],
    "applications": [
        {"name": "No name of its own"},
        {"uid": "x", "name": "X", "colour": 1, "endpoints": [{"uid": "e", "url": "http://127.0.0.1:9/"}]},
        {"uid": "acme", "name": "Acme", "endpoints": [7, {"uid": "sealed", "url": "http://127.0.0.1:9/", "sealed": "x25519:"}]},
    ]});
    let answer = server.api_expect(200, "POST", import, things);
    let outcomes: Vec<&str> =
        answer["data"].as_array().unwrap().iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(
        outcomes,
        ["refused", "created", "refused", "refused", "refused", "updated", "refused", "refused"],
        "{answer}"
    );
    assert_eq!(answer["data"][2]["error"]["detail"][0]["loc"], json!(["body", "uid"]));
    assert_eq!(answer["data"][4]["error"]["code"], "not_found", "its application was refused");
    for key in ["AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
        server.api_expect(422, "POST", "/api/v1/environment/export", json!({"publicKey": key}));
    }
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "k", "appId": "acme"}));
    let other = server.anonymous().with_bearer(key["key"].as_str().unwrap());
    for operation in ["export", "import", "import?dry_run=true"] {
        assert_eq!(other.json("POST", &format!("/api/v1/environment/{operation}"), json!({})).0, 403, "{operation}");
    }
}

#[test]
fn an_export_that_no_import_would_take_is_refused_with_the_way_on() {
    let server = Server::start(&["--max-batch-body-bytes", "4KiB"]);
    for app in 0..20 {
        let metadata = json!({"note": "x".repeat(400)});
        let app = json!({"name": "a", "uid": format!("a{app}"), "metadata": metadata});
        server.api_expect(201, "POST", "/api/v1/app", app);
    }
    let export = "/api/v1/environment/export";
    let (status, answer) = server.api("POST", export, json!({}));
    assert_eq!(status, 422);
    assert!(answer["detail"].to_string().contains("name some of the applications"), "{answer}");
    server.api_expect(200, "POST", export, json!({"applications": ["a1", "a2"]}));
}
