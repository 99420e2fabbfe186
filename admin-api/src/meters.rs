//! The counters of requests, found again without building a name.
//!
//! A request is counted by its route (method and path as they were declared, never as they were called) and its status.
//! Asking the recorder for a counter by labels allocates and hashes all of them, so every thread remembers the ones it
//! met. What bounds that: there are as many as routes times methods times statuses, none of which a caller can invent.
//! No numbers of our own: the recorder keeps them.

use foldhash::HashMap;
use http::{Method, StatusCode};
use metrics::{Counter, Histogram};
use model::metric;
use std::cell::RefCell;
use std::time::Duration;

/// The metrics of one route.
struct Meters {
    method: &'static str,
    seconds: Histogram,
    by_status: Vec<(StatusCode, Counter)>,
}

thread_local! {
    /// By declared path.
    static MET: RefCell<HashMap<String, Vec<Meters>>> = RefCell::default();
}

/// Counts one request; `path` as it was declared, none if no route has it.
pub(crate) fn count(method: &Method, path: Option<&str>, status: StatusCode, took: Duration) {
    let (method, path) = (method_label(method), path.unwrap_or("unknown"));
    MET.with_borrow_mut(|met| {
        // Only the first request of a route pays for a second look.
        let of_path = match met.get_mut(path) {
            Some(of_path) => of_path,
            None => met.entry(path.to_owned()).or_default(),
        };
        let index = of_path.iter().position(|meters| meters.method == method).unwrap_or_else(|| {
            let seconds = metrics::histogram!(metric::API_SECONDS, "method" => method, "route" => path.to_owned());
            of_path.push(Meters { method, seconds, by_status: Vec::new() });
            of_path.len() - 1
        });
        let meters = &mut of_path[index];
        meters.seconds.record(took.as_secs_f64());
        if let Some((_, counter)) = meters.by_status.iter().find(|(known, _)| *known == status) {
            return counter.increment(1);
        }
        let counter = requests(method, path, status);
        counter.increment(1);
        meters.by_status.push((status, counter));
    });
}

/// Has the series of one route there from the start, so that the metrics exist; those of others come with their first
/// request.
pub(crate) fn register(method: &'static str, path: &'static str, status: StatusCode) {
    requests(method, path, status).increment(0);
    drop(metrics::histogram!(metric::API_SECONDS, "method" => method, "route" => path));
}

fn requests(method: &'static str, path: &str, status: StatusCode) -> Counter {
    let (route, code) = (path.to_owned(), status.as_str().to_owned());
    metrics::counter!(metric::API_REQUESTS, "method" => method, "route" => route, "code" => code)
}

/// The method as a label; callers may invent methods, labels may not.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
