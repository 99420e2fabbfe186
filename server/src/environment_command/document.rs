//! The document of an export: its envelopes opened, and what it holds and what an import did in words. Pure.

use super::EnvironmentError;
use engine::seal::envelope::{PrivateKey, open};
use serde_json::{Map, Value};

/// The envelopes of a document, once they were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// Those that were left out, for want of a key.
    pub(super) left_out: usize,
}

/// Puts the secrets of each endpoint in place of their envelope, or leaves them out.
///
/// # Errors
/// For an envelope that does not open.
pub(super) fn open_secrets(document: &mut Value, key: Option<&PrivateKey>) -> Result<Opened, EnvironmentError> {
    let mut opened = Opened::default();
    for app in items(document, "applications") {
        for endpoint in items(app, "endpoints") {
            let Some(fields) = endpoint.as_object_mut() else { continue };
            let Some(sealed) = fields.remove("sealed") else { continue };
            match key {
                Some(key) => fields.extend(secrets_of(fields, &sealed, key)?),
                None => opened.left_out += 1,
            }
        }
    }
    Ok(opened)
}

fn items<'a>(of: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    of.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

fn secrets_of(
    fields: &Map<String, Value>,
    sealed: &Value,
    key: &PrivateKey,
) -> Result<Map<String, Value>, EnvironmentError> {
    let id = fields.get("id").and_then(Value::as_str).unwrap_or_default();
    let failed = || EnvironmentError::DoesNotOpen(id.to_owned());
    let plain = open(key, id, sealed.as_str().unwrap_or_default()).map_err(|_| failed())?;
    serde_json::from_slice(plain.expose()).map_err(|_| failed())
}

/// The contents of a document, in words.
pub(super) fn counts(document: &Value) -> String {
    let count = |value: &Value| value.as_array().map_or(0, Vec::len);
    let apps = document["applications"].as_array().map_or(&[][..], Vec::as_slice);
    let endpoints: usize = apps.iter().map(|app| count(&app["endpoints"])).sum();
    format!("{} event types, {} applications and {endpoints} endpoints", count(&document["eventTypes"]), apps.len())
}

/// The results of an import, or of a dry run, line by line.
pub(super) fn report(answer: &Value) -> String {
    let mut text = String::new();
    for item in answer["data"].as_array().into_iter().flatten() {
        let word = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let mut line = format!("{:9} {:11} {}", word("outcome"), word("kind"), word("name"));
        if item["newSecret"] == true {
            line.push_str(", with a new secret: tell its receiver");
        }
        if !item["error"].is_null() {
            line.push_str(&format!(": {}", item["error"]["detail"]));
        }
        text.push_str(&line);
        text.push('\n');
    }
    let number = |name: &str| answer[name].as_u64().unwrap_or_default();
    let [created, updated, unchanged, refused] = ["created", "updated", "unchanged", "refused"].map(number);
    let would = if answer["dryRun"] == true { "nothing was changed; an import would come to: " } else { "" };
    text.push_str(&format!("{would}{created} created, {updated} updated, {unchanged} unchanged, {refused} refused\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::seal::envelope::{public_of, seal_for};
    use serde_json::json;
    use zeroize::Zeroizing;

    fn key(byte: u8) -> PrivateKey {
        Zeroizing::new([byte; 32])
    }

    fn document() -> Value {
        let secrets = json!({"secret": "whsec_x", "headers": {"a": "1"}}).to_string();
        let sealed = seal_for(&public_of(&key(1)), "ep_1", secrets.as_bytes()).unwrap();
        let endpoints =
            json!([{"id": "ep_1", "url": "https://a/", "sealed": sealed}, {"id": "ep_2", "url": "https://b/"}]);
        json!({"version": 1, "eventTypes": [{}], "applications": [{"id": "app_1", "endpoints": endpoints}]})
    }

    #[test]
    fn envelopes_are_opened_with_their_key_left_out_without_one_and_refused_with_another() {
        let mut with_key = document();
        assert_eq!(open_secrets(&mut with_key, Some(&key(1))).unwrap(), Opened { left_out: 0 });
        let endpoint = &with_key["applications"][0]["endpoints"][0];
        assert_eq!((&endpoint["secret"], &endpoint["headers"]["a"]), (&json!("whsec_x"), &json!("1")));
        assert!(endpoint["sealed"].is_null());
        let mut without = document();
        assert_eq!(open_secrets(&mut without, None).unwrap(), Opened { left_out: 1 });
        assert!(!without.to_string().contains("sealed") && !without.to_string().contains("whsec_x"));
        let refused = open_secrets(&mut document(), Some(&key(2)));
        assert!(matches!(refused, Err(EnvironmentError::DoesNotOpen(id)) if id == "ep_1"));
    }

    #[test]
    fn documents_and_imports_are_told_in_words() {
        assert_eq!(counts(&document()), "1 event types, 1 applications and 2 endpoints");
        let data = json!([
            {"outcome": "created", "kind": "endpoint", "name": "one", "newSecret": true},
            {"outcome": "refused", "kind": "endpoint", "name": "two", "newSecret": false, "error": {"detail": "no"}},
        ]);
        let answer = json!({"dryRun": true, "created": 1, "updated": 0, "unchanged": 2, "refused": 1, "data": data});
        assert_eq!(
            report(&answer),
            "created   endpoint    one, with a new secret: tell its receiver\nrefused   endpoint    two: \"no\"\n\
             nothing was changed; an import would come to: 1 created, 0 updated, 2 unchanged, 1 refused\n"
        );
        assert_eq!(open_secrets(&mut json!(7), None).unwrap(), Opened { left_out: 0 }, "anything may be in a file");
    }
}
