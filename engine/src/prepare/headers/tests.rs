//! Tests of the headers that a tenant cannot put into a request.

use super::*;
use proptest::prelude::*;

fn fixed(custom: &[(&str, &str)]) -> Result<HeaderMap, HeaderError> {
    fixed_headers(Some(&HeaderValue::from_static("Basic dTpw")), custom.iter().copied())
}

#[test]
fn a_custom_authorization_goes_before_the_urls() {
    assert_eq!(fixed(&[]).unwrap()["authorization"], "Basic dTpw");
    let headers = fixed(&[("Authorization", "Bearer x")]).unwrap();
    assert_eq!(headers.get_all("authorization").iter().collect::<Vec<_>>(), ["Bearer x"]);
}

#[test]
fn reserved_repeated_and_malformed_headers_are_refused() {
    for name in ["Host", "content-LENGTH", "Transfer-Encoding", "Connection", "Webhook-Id", "svix-anything", "Expect"] {
        assert!(matches!(check_headers([(name, "x")]), Err(HeaderError::Reserved { .. })), "{name}");
    }
    for name in
        ["webhook_id", "WebHook_Signature", "content_length", "Content.Type", "svix_x", "user!agent", "keep_alive"]
    {
        assert!(matches!(check_headers([(name, "x")]), Err(HeaderError::Reserved { .. })), "{name} folds into ours");
    }
    assert!(check_headers([("x_host", "x"), ("my.webhook_id", "x")]).is_ok());
    assert!(matches!(check_headers([("X-A", "1"), ("x-a", "2")]), Err(HeaderError::Duplicate { .. })));
    for name in ["", " x", "x y", "x:", ":path", "x\r\ny", "é"] {
        assert!(matches!(check_headers([(name, "x")]), Err(HeaderError::Name { .. })), "{name:?}");
    }
    for value in ["a\r\nb", "a\nb", "a\0b", " a", "a ", "é", "\x7f"] {
        assert_eq!(check_headers([("x-a", value)]), Err(HeaderError::Value { name: "x-a".into() }), "{value:?}");
    }
    let names: Vec<String> = (0..=HEADER_COUNT_MAX).map(|index| format!("x-{index}")).collect();
    assert_eq!(check_headers(names.iter().map(|name| (name.as_str(), ""))), Err(HeaderError::TooMany));
    assert_eq!(check_headers([("x", "v".repeat(HEADERS_LEN_MAX).as_str())]), Err(HeaderError::TooLong));
}

#[test]
fn a_stored_header_that_folds_into_ours_is_left_out_and_the_rest_is_sent() {
    let headers = fixed(&[("webhook_id", "forged"), ("x-a", "1")]).unwrap();
    assert!(headers.get("webhook_id").is_none() && headers["x-a"] == "1");
}

/// Names near Pinion's own, and plain noise.
fn any_name() -> impl Strategy<Value = String> {
    let ours = prop::sample::select(
        [RESERVED_NAMES.as_slice(), &["webhook-id", "webhook-signature", "webhook-timestamp", "svix-id"]].concat(),
    );
    let decorated = (ours, "[ \t\r\n:A-Za-z-]{0,2}", "[ \t\r\n:A-Za-z-]{0,2}", any::<bool>()).prop_map(
        |(name, before, after, upper)| {
            let name = format!("{before}{name}{after}");
            if upper { name.to_ascii_uppercase() } else { name }
        },
    );
    prop_oneof![decorated, "[ -~]{0,12}", "\\PC{0,6}"]
}

proptest! {
    #[test]
    fn no_custom_header_adds_splits_or_overrides_one_of_ours(
        custom in prop::collection::vec((any_name(), prop_oneof!["[ -~]{0,20}", "\\PC{0,6}", "a\r\n[a-z]{1,9}: b"]), 0..4),
    ) {
        let custom: Vec<(&str, &str)> = custom.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let plain = fixed(&[]).unwrap();
        if let Ok(headers) = fixed(&custom) {
            for (name, value) in &plain {
                if name == ACCEPT || name == AUTHORIZATION {
                    continue; // theirs to change
                }
                prop_assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value]);
            }
            for (name, value) in &headers {
                prop_assert!(plain.contains_key(name) || !is_reserved(name.as_str()));
                prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
        }
    }
}
