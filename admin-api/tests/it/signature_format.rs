//! Forms of signatures and modes of payloads: what is taken, refused with its path, and read back.

use crate::harness::Api;
use serde_json::{Value, json};

const ONE: &str = "/app/acme/endpoint/one";
const URL: &str = "https://example.com/hook";

fn form() -> Value {
    json!({"scheme": "hexBody", "signatureHeader": "X-Sig"})
}

async fn api() -> Api {
    let api = Api::start();
    api.app("acme").await;
    api
}

#[tokio::test]
async fn a_form_is_kept_replaced_and_cleared() {
    let api = api().await;
    let body = json!({"url": URL, "uid": "one", "signatureFormat": form(), "payloadMode": "reference"});
    let created = api.post("/app/acme/endpoint", body).await.expect(201);
    let shown = json!({"scheme": "hexBody", "signatureHeader": "X-Sig", "timestampHeader": null,
        "timestampFormat": "unixSeconds", "prefix": "sha256=", "eventTypeHeader": null, "deliveryIdHeader": null});
    assert_eq!((&created["signatureFormat"], &created["payloadMode"]), (&shown, &"reference".into()));
    // A change of something else leaves it, and what was read can be sent.
    assert_eq!(api.patch(ONE, json!({"description": "d"})).await.expect(200)["signatureFormat"], shown);
    assert_eq!(api.patch(ONE, json!({"signatureFormat": shown})).await.expect(200)["signatureFormat"], shown);
    // A replacement without it clears it.
    let replaced = api.put(ONE, json!({"url": URL, "uid": "one"})).await.expect(200);
    assert!(replaced["signatureFormat"].is_null() && replaced["payloadMode"] == "full", "{replaced}");
    api.patch(ONE, json!({"signatureFormat": form(), "payloadMode": "full"})).await.expect(200);
    assert!(api.patch(ONE, json!({"signatureFormat": null})).await.expect(200)["signatureFormat"].is_null());
}

#[tokio::test]
async fn a_wrong_part_is_refused_with_its_path() {
    let api = api().await;
    api.endpoint("acme", "one").await;
    for (path, format) in [
        ("body.signatureFormat.signatureHeader", json!({"scheme": "hexBody"})),
        ("body.signatureFormat.timestampHeader", json!({"scheme": "hexTimeBody", "signatureHeader": "X-Sig"})),
        ("body.signatureFormat.signatureHeader", json!({"scheme": "standard", "signatureHeader": "X-Sig"})),
        ("body.signatureFormat.signatureHeader", json!({"scheme": "hexBody", "signatureHeader": "webhook-signature"})),
        ("body.signatureFormat.prefix", json!({"scheme": "hexBody", "signatureHeader": "X-Sig", "prefix": "\n"})),
        ("body.signatureFormat.eventTypeHeader", json!({"scheme": "standard", "eventTypeHeader": "host"})),
        ("body.signatureFormat.scheme", json!({"scheme": "md5"})),
        ("body.signatureFormat.timestampFormat", json!({"scheme": "standard", "timestampFormat": "rfc822"})),
        ("body.signatureFormat.header", json!({"scheme": "standard", "header": "X"})),
    ] {
        api.patch(ONE, json!({"signatureFormat": format})).await.expect_invalid(path);
    }
    api.patch(ONE, json!({"payloadMode": "thin"})).await.expect_invalid("body.payloadMode");
}

#[tokio::test]
async fn headers_and_secrets_that_do_not_go_with_the_form_are_refused_wherever_they_are_set() {
    let api = api().await;
    let ed25519 = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    let custom = json!({"url": URL, "headers": {"x-sig": "7"}, "signatureFormat": form()});
    api.post("/app/acme/endpoint", custom).await.expect_invalid("body.signatureFormat.signatureHeader");
    let asymmetric = json!({"url": URL, "secret": ed25519, "signatureFormat": form()});
    api.post("/app/acme/endpoint", asymmetric).await.expect_invalid("body.signatureFormat.scheme");
    api.post("/app/acme/endpoint", json!({"url": URL, "uid": "one", "signatureFormat": form()})).await.expect(201);
    api.put(&format!("{ONE}/headers"), json!({"headers": {"X-SIG": "7"}})).await.expect_invalid("body.headers.X-Sig");
    api.patch(&format!("{ONE}/headers"), json!({"headers": {"x-sig": "7"}})).await.expect_invalid("body.headers.X-Sig");
    api.patch(ONE, json!({"secret": ed25519})).await.expect_invalid("body.secret");
    api.post(&format!("{ONE}/secret/rotate"), json!({"key": ed25519})).await.expect_invalid("body.key");
    api.patch(ONE, json!({"secret": "raw:short"})).await.expect_invalid("body.secret");
    // The secret that was made is a plain text, and one that is given stays so.
    let key = api.get(&format!("{ONE}/secret")).await.expect(200)["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("raw:") && key.len() == 68);
    api.patch(ONE, json!({"secret": "raw:It's a Secret to Everybody"})).await.expect(200);
    assert_eq!(api.get(&format!("{ONE}/secret")).await.expect(200)["key"], "raw:It's a Secret to Everybody");
}
