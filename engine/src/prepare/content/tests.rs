//! Filters are judged as CEL says, refused when they cannot be bounded, and bounded in time when they are hostile.

use super::*;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

const INVOICE: &str = r#"{"amount":150,"rate":0.5,"big":18446744073709551615,"customer":{"country":"DE","vat":null},
    "items":[{"sku":"B1","n":1,"tags":["x"]},{"sku":"A3","n":2,"tags":["y","z"]}],"paid":true,"note":"grüß"}"#;

fn content(payload: &str) -> Content {
    let channels = [Arc::from("eu"), Arc::from("vip")];
    let tags = ["urgent".to_owned()];
    let parts = Parts { event_type: "invoice.paid", event_id: None, channels: &channels, tags: &tags, payload: &[] };
    Content::new(Parts { payload: payload.as_bytes(), ..parts })
}

fn judge(text: &str, payload: &str) -> Verdict {
    check_filter(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    ContentFilter::new(text).judge(&content(payload))
}

#[test]
fn a_filter_asks_about_payload_type_id_channels_and_tags() {
    for text in [
        "payload.amount > 100",
        "payload.amount >= 150.0 && payload.rate < 1",
        "payload.amount + 1 == 151 && payload.amount % 2 == 0",
        "payload.big == 18446744073709551615u",
        "payload.customer.country in ['DE', 'AT']",
        "payload['customer']['country'] == \"DE\"",
        "payload.customer.vat == null",
        "payload.paid",
        "has(payload.customer.vat) && !has(payload.customer.name)",
        "payload.items[1].sku.startsWith('A')",
        "payload.items.exists(i, i.sku.startsWith('A') && i.n > 1)",
        "payload.items.all(i, i.n > 0)",
        "payload.items.exists_one(i, i.n == 2)",
        "payload.items.filter(i, i.n > 0).size() == 2",
        "payload.items.exists(i, i.tags.exists(t, t == 'z'))",
        "'customer' in payload && payload.exists(name, name == 'paid')",
        "size(payload.note) == 4 && payload.note.contains('ü')",
        "int(payload.rate) == 0 && string(payload.amount) == '150'",
        "eventType == 'invoice.paid' && eventType.endsWith('paid')",
        "eventId == null",
        "'eu' in channels && channels.size() == 2",
        "tags.exists(t, t == 'urgent')",
        "payload.amount > 100 ? payload.paid : false",
    ] {
        assert_eq!(judge(text, INVOICE), Verdict::Matches, "{text}");
        assert_eq!(judge(&format!("!({text})"), INVOICE), Verdict::Differs, "{text}");
    }
}

#[test]
fn an_error_is_no_match_unless_the_rest_decides() {
    for text in [
        "payload.missing > 1",
        "payload.customer > 1",
        "payload.amount",
        "payload.amount / 0 == 1",
        "payload.items[7].n == 1",
        "payload.note + 1 == 'x'",
    ] {
        assert!(matches!(judge(text, INVOICE), Verdict::Failed(_)), "{text}");
        assert!(matches!(judge(text, "no json"), Verdict::Failed(_)), "{text}");
    }
    assert_eq!(judge("payload.missing > 1 || payload.paid", INVOICE), Verdict::Matches);
    assert_eq!(judge("eventType == 'invoice.paid'", "no json"), Verdict::Matches);
    assert_eq!(judge("payload.a == 1", "no json"), Verdict::Failed("the payload is not JSON".to_owned()));
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000));
    let Verdict::Failed(words) = judge("payload.a + 1 == 2", &long) else { panic!("it fails") };
    assert!(words.len() <= WORDS_BYTES_MAX, "{}", words.len());
}

#[test]
fn a_text_that_is_no_bounded_filter_is_refused_with_its_reason() {
    let fault = |text: &str| check_filter(text).expect_err(text);
    let is_syntax = |text: &str, at: (u32, u32)| {
        let FilterFault::Syntax { line, column, words } = fault(text) else { panic!("{text}: {:?}", fault(text)) };
        assert_eq!((line, column), at, "{text}: {words}");
        assert!(!words.is_empty());
    };
    is_syntax("payload.a ==", (1, 13));
    is_syntax("payload.a\n  = 1", (2, 3));
    is_syntax("", (1, 1));
    assert_eq!(fault("body.a == 1"), FilterFault::UnknownVariable("body".to_owned()));
    assert_eq!(
        fault("payload.a.matches('(a*)*')"),
        FilterFault::UnknownFunction { name: "matches".to_owned(), arguments: 1 }
    );
    for text in [
        "{'a': 1} == payload",
        "payload.items.map(i, i.n) == [1]",
        "[payload, payload] == payload.a",
        "payload.items.filter(i, true).exists(i, true)",
        "payload.a.exists(a, a.exists(b, b.exists(c, true)))",
        "payload.a.exists(a, payload.b.exists(b, payload.c.exists(c, true)))",
        "[['x'].filter(x, x + x == 'a')].exists(y, true)",
        &format!("payload.a{} == 1", " + payload.a".repeat(17)),
        "payload.?a == 1",
        "Message{a: 1} == payload",
    ] {
        assert!(matches!(fault(text), FilterFault::Unsupported(_) | FilterFault::Syntax { .. }), "{text}");
    }
    for text in [
        "x".repeat(TEXT_BYTES_MAX + 1),
        format!("{}true", "!".repeat(4_000)),
        format!("payload{} == 1", "[0]".repeat(160)),
        format!("payload{}", ".a".repeat(LEVELS_MAX_TEST)),
        format!("{}1{}", "(1+".repeat(60), ")".repeat(60)),
        format!("payload{}", ".f()".repeat(1_000)),
    ] {
        assert!(matches!(fault(&text), FilterFault::TooLong | FilterFault::Syntax { .. }), "{}", &text[..40]);
    }
}

const LEVELS_MAX_TEST: usize = 60;

#[test]
fn filters_are_equal_by_their_text_and_compile_at_the_first_question() {
    let (one, other) = (ContentFilter::new("payload.a == 1"), ContentFilter::new("payload.a == 1"));
    assert!(one == other && one != ContentFilter::new("payload.a == 2"));
    assert!(one.compiled.get().is_none());
    assert_eq!(one.judge(&content(r#"{"a":1}"#)), Verdict::Matches);
    assert!(one.compiled.get().is_some() && one == other);
}

/// Shapes that take the most time in the interpreter: loops in loops over long lists, comparisons of whole payloads,
/// copies of them in errors, texts that grow.
fn hostile() -> Vec<String> {
    vec![
        "payload.all(a, payload.all(b, payload.x != payload.y))".to_owned(),
        "payload.x.all(a, payload.x.all(b, a != b || a == b))".to_owned(),
        "payload.x.exists(a, payload.x < 1 || payload.y < 1)".to_owned(),
        "payload.x.exists(a, payload.x + 1 == 1)".to_owned(),
        "payload.x.filter(a, true).size() == payload.y.filter(a, true).size()".to_owned(),
        format!("payload.s{} == payload.s", " + payload.s".repeat(15)),
        format!("payload.x == payload.y{}", " && payload.x == payload.y".repeat(40)),
        format!("payload.s.contains('{}')", "ab".repeat(500)),
        "payload.x.all(a, payload.s.contains('abababababababababc') || true)".to_owned(),
        format!("payload.x.all(a, {})", vec!["a == 0"; 40].join(" || ")),
    ]
}

#[test]
fn hostile_filters_over_hostile_payloads_end_in_time() {
    let list = |count: usize| vec!["0"; count].join(",");
    let numbers = |count| format!(r#"{{"x":[{}],"y":[{}],"s":"a"}}"#, list(count), list(count));
    let nested = format!(r#"{{"x":[{}],"y":[],"s":""}}"#, vec!["[{\"a\":[1,2]}]"; 2_000].join(","));
    let payloads = [
        numbers(10),
        numbers(300),
        numbers(3_000),
        numbers(100_000),
        nested,
        format!(r#"{{"x":[1,2],"y":[],"s":"{}"}}"#, "ab".repeat(250_000)),
        "[".repeat(50_000),
    ];
    let mut slowest = Duration::ZERO;
    for payload in &payloads {
        let content = content(payload);
        for text in hostile() {
            check_filter(&text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            let filter = ContentFilter::new(&text);
            let compiled = filter.steps(&content);
            let begun = Instant::now();
            let verdict = filter.judge(&content);
            let took = begun.elapsed();
            slowest = slowest.max(took);
            // In debug, on a busy machine; in release it is some milliseconds.
            assert!(took < Duration::from_secs(1), "{text} took {took:?} for {compiled} steps: {verdict:?}");
        }
    }
    eprintln!("the slowest took {slowest:?}");
}

const OPERATORS: &[&str] = &["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"];

/// Expressions of every shape that the language has, most of them senseless.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("payload".to_owned()),
        Just("payload.x".to_owned()),
        Just("payload.y[0]".to_owned()),
        Just("channels".to_owned()),
        Just("eventType".to_owned()),
        Just("a".to_owned()),
        Just("-9223372036854775808".to_owned()),
        Just("9223372036854775807".to_owned()),
        Just("0".to_owned()),
        Just("0u".to_owned()),
        Just("1e308".to_owned()),
        Just("null".to_owned()),
        Just("''".to_owned()),
        Just("b'\\xff'".to_owned()),
        Just("[1, 'a', true]".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 3, |inner| {
        prop_oneof![
            (inner.clone(), proptest::sample::select(OPERATORS), inner.clone())
                .prop_map(|(one, operator, other)| format!("({one} {operator} {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("{one}[{other}]")),
            inner.clone().prop_map(|one| format!("{one}.x")),
            inner.clone().prop_map(|one| format!("has({one}.x)")),
            inner.clone().prop_map(|one| format!("-{one}")),
            inner.clone().prop_map(|one| format!("!{one}")),
            (proptest::sample::select(&["int", "uint", "double", "string", "bool", "size"][..]), inner.clone())
                .prop_map(|(name, one)| format!("{name}({one})")),
            (inner.clone(), proptest::sample::select(&["contains", "startsWith", "endsWith"][..]), inner.clone())
                .prop_map(|(one, name, other)| format!("{one}.{name}({other})")),
            (inner.clone(), proptest::sample::select(&["all", "exists", "exists_one", "filter"][..]), inner.clone())
                .prop_map(|(one, name, other)| format!("{one}.{name}(a, {other})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(one, two, three)| format!("{one} ? {two} : {three}")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_refused_or_taken_and_never_panics(text in ".{0,200}") {
        let _checked = check_filter(&text);
    }

    #[test]
    fn any_expression_that_is_taken_ends_without_a_panic_within_its_steps(
        text in expression(),
        payload in "[\\[\\]{}\",:a-c0-9.xy]{0,40}",
    ) {
        prop_assume!(check_filter(&text).is_ok());
        let filter = ContentFilter::new(&text);
        for payload in [payload.as_str(), r#"{"x":[1,"a",{"x":2}],"y":[[],{}],"a":1e400}"#, "{}", "[]", "7"] {
            let verdict = filter.judge(&content(payload));
            prop_assert_ne!(verdict, Verdict::Failed("the evaluation failed".to_owned()), "{} panicked", text);
        }
    }
}
