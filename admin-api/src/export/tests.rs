//! Exports over a list that is made up: pages are asked for one by one, and never without end.

use super::*;
use http_body_util::BodyExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A list of pages; of a negative number the last is not reached.
fn list(asked: &Arc<AtomicUsize>, answer: fn(usize) -> Response) -> Router {
    let asked = asked.clone();
    Router::new().fallback(move || async move { answer(asked.fetch_add(1, Ordering::SeqCst)) })
}

fn page(number: usize, done: bool) -> Response {
    let item = format!("{{\"id\":{number}}}");
    axum::Json(serde_json::json!({"data": [serde_json::from_str::<serde_json::Value>(&item).unwrap()],
        "iterator": number.to_string(), "done": done}))
    .into_response()
}

fn export(rows: usize) -> Asked {
    let (format, columns) = (Format::Ndjson, Vec::new());
    Asked { format, columns, filter: String::new(), iterator: None, rows, problem: None }
}

async fn body(router: Router, asked: Asked) -> Body {
    let request = Request::builder().uri("/list").body(Body::empty()).unwrap();
    answer(router, asked, request).await.unwrap().into_body()
}

async fn text(mut body: Body) -> Vec<String> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_next_page_is_asked_for_when_the_lines_of_the_one_before_were_taken() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut body = body(list(&asked, |number| page(number, number == 2)), export(ROWS_MAX)).await;
    for expected in 0..3 {
        assert_eq!(asked.load(Ordering::SeqCst), expected.max(1));
        let lines = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(lines.as_ref(), format!("{{\"id\":{expected}}}\n").as_bytes());
    }
    assert!(body.frame().await.is_none());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_export_ends_at_its_bound_and_at_a_page_that_is_refused_with_the_iterator() {
    let asked = Arc::new(AtomicUsize::new(0));
    let lines = text(body(list(&asked, |number| page(number, false)), export(2)).await).await;
    assert_eq!(lines, ["{\"id\":0}", "{\"id\":1}", "{\"done\":false,\"iterator\":\"1\"}"]);
    asked.store(0, Ordering::SeqCst);
    let refused = |number| if number == 0 { page(0, false) } else { ApiError::Unauthenticated.into_response() };
    let lines = text(body(list(&asked, refused), export(9)).await).await;
    assert_eq!(lines, ["{\"id\":0}", "{\"done\":false,\"iterator\":\"0\"}"]);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_not_for_ever() {
    let asked = Arc::new(AtomicUsize::new(0));
    let busy = |number| match number {
        0 => page(0, false),
        4 => page(4, true),
        _ => ApiError::Busy { retry_after_s: 1 }.into_response(),
    };
    assert_eq!(text(body(list(&asked, busy), export(9)).await).await, ["{\"id\":0}", "{\"id\":4}"]);
    asked.store(4, Ordering::SeqCst);
    let lines = text(body(list(&asked, busy), export(9)).await).await;
    assert_eq!(lines, ["{\"id\":4}"]);
    asked.store(0, Ordering::SeqCst);
    let never = |number| if number == 0 { page(0, false) } else { ApiError::Busy { retry_after_s: 1 }.into_response() };
    let lines = text(body(list(&asked, never), export(9)).await).await;
    assert_eq!((lines.len(), asked.load(Ordering::SeqCst)), (2, 1 + TRIES_MAX));
}

#[tokio::test]
async fn a_list_that_does_not_move_on_is_not_asked_for_again_and_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let stuck = |_| axum::Json(serde_json::json!({"data": [], "iterator": "same", "done": false})).into_response();
    let lines = text(body(list(&asked, stuck), export(9)).await).await;
    assert_eq!((lines.len(), asked.load(Ordering::SeqCst)), (1, 2));
}
