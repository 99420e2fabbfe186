//! The scopes that each operation of the API takes: one table, where an auditor sees all of it.
//!
//! | scope | is for |
//! |---|---|
//! | `ingest` | the backend that sends messages |
//! | `read` | looking at everything but secrets, keys and the audit log |
//! | `write` | `ingest` and `read`, and changing everything but keys |
//! | `admin` | everything: keys, the audit log and backups too |
//! | `portal` | what an application's own users do: they see its messages and look after its endpoints |
//!
//! A route that is missing here takes `admin` alone, and a test holds the table against the OpenAPI document.

use http::Method;
use model::{KeyScope, KeyScopes};

/// The scopes that may push.
pub(crate) const INGEST: KeyScopes = KeyScopes::of(&[KeyScope::Ingest, KeyScope::Write, KeyScope::Admin]);
const READ: KeyScopes = KeyScopes::of(&[KeyScope::Read, KeyScope::Write, KeyScope::Admin]);
const SEE: KeyScopes = KeyScopes::of(&[KeyScope::Read, KeyScope::Write, KeyScope::Admin, KeyScope::Portal]);
/// The scopes that may change what only operators change: applications among others.
pub(crate) const WRITE: KeyScopes = KeyScopes::of(&[KeyScope::Write, KeyScope::Admin]);
const TEND: KeyScopes = KeyScopes::of(&[KeyScope::Write, KeyScope::Admin, KeyScope::Portal]);
const ADMIN: KeyScopes = KeyScopes::of(&[KeyScope::Admin]);

/// The scopes of which a key must have one for this operation.
pub(crate) fn needed(method: &Method, route: &str) -> KeyScopes {
    rule(method, route).unwrap_or(ADMIN)
}

/// The rule on an operation, if there is one.
pub(crate) fn rule(method: &Method, route: &str) -> Option<KeyScopes> {
    let (_, below) = route.split_at_checked("/api/v1/".len())?;
    match below.strip_prefix("app/{app_id}/") {
        Some(path) => in_application(method, path),
        None => above_applications(method, below),
    }
}

fn above_applications(method: &Method, path: &str) -> Option<KeyScopes> {
    Some(match (method.as_str(), path) {
        ("GET" | "HEAD", "app") => READ,
        ("POST", "app") => WRITE,
        ("GET" | "HEAD", "app/{app_id}") => SEE,
        ("PUT" | "PATCH" | "DELETE", "app/{app_id}") => WRITE,

        ("GET" | "HEAD", "event-type" | "event-type/{event_type_name}") => SEE,
        ("POST", "event-type") => WRITE,
        ("PUT" | "PATCH" | "DELETE", "event-type/{event_type_name}") => WRITE,

        ("GET" | "HEAD", "background-task" | "background-task/{task_id}") => SEE,
        ("POST", "background-task/{task_id}/cancel") => TEND,

        ("GET" | "HEAD" | "POST", "api-key") => ADMIN,
        ("GET" | "HEAD" | "DELETE", "api-key/{key_id}") => ADMIN,
        ("POST", "api-key/{key_id}/rotate") => ADMIN,

        ("GET" | "HEAD", "audit" | "audit/head") => ADMIN,
        // A backup has the hashes of all keys, and the audit log.
        ("POST", "backup") => ADMIN,
        ("POST", "environment/export" | "environment/import") => WRITE,
        _ => return None,
    })
}

fn in_application(method: &Method, path: &str) -> Option<KeyScopes> {
    if let Some(path) = path.strip_prefix("endpoint/{endpoint_id}/") {
        return of_endpoint(method, path);
    }
    if let Some(path) = path.strip_prefix("msg/{msg_id}/") {
        return of_message(method, path);
    }
    Some(match (method.as_str(), path) {
        ("POST", "msg" | "msg/batch") => INGEST,
        ("GET" | "HEAD", "msg" | "msg/{msg_id}" | "scheduled-msg" | "background-task") => SEE,
        ("POST", "erase") => WRITE,

        ("GET" | "HEAD", "endpoint" | "endpoint/{endpoint_id}") => SEE,
        ("POST", "endpoint" | "endpoint/bulk" | "endpoint-test") => TEND,
        ("PATCH", "endpoint/bulk") => TEND,
        ("PUT" | "PATCH" | "DELETE", "endpoint/{endpoint_id}") => TEND,

        // These change nothing: they show what a policy or a filter would do.
        ("POST", "retry-policy/preview" | "filter/try") => SEE,

        ("GET" | "HEAD", "attempt/endpoint/{endpoint_id}" | "attempt/msg/{msg_id}") => SEE,
        ("GET" | "HEAD", "dead-letter" | "dead-letter/count") => SEE,
        ("POST", "dead-letter/redrive") => TEND,
        ("POST", "dead-letter/purge") => WRITE,

        ("POST", "pause" | "resume") => WRITE,
        ("GET" | "HEAD", "usage") => READ,
        ("GET" | "HEAD", "audit") => ADMIN,
        _ => return None,
    })
}

fn of_endpoint(method: &Method, path: &str) -> Option<KeyScopes> {
    Some(match (method.as_str(), path) {
        ("GET" | "HEAD", "headers" | "state" | "stats" | "policy" | "failover" | "msg" | "dead-letter") => SEE,
        ("PUT" | "PATCH", "headers") => TEND,
        // Reading a signing secret gives the same power as setting one.
        ("GET" | "HEAD", "secret") => TEND,
        ("POST", "secret/rotate" | "failover" | "pause" | "resume" | "send-example" | "verify") => TEND,
        ("POST", "recover" | "replay-missing" | "bulk-replay") => TEND,
        ("POST", "dead-letter/redrive" | "dead-letter/{msg_id}/redrive") => TEND,
        ("DELETE", "dead-letter" | "dead-letter/{msg_id}") => WRITE,
        _ => return None,
    })
}

fn of_message(method: &Method, path: &str) -> Option<KeyScopes> {
    Some(match (method.as_str(), path) {
        ("GET" | "HEAD", "attempt" | "attempt/{attempt_id}" | "attempt/{attempt_id}/headers") => SEE,
        ("GET" | "HEAD", "endpoint" | "endpoint/{endpoint_id}/attempt") => SEE,
        ("POST", "endpoint/{endpoint_id}/resend") => TEND,
        ("DELETE", "schedule") => INGEST,
        ("DELETE", "content" | "attempt/{attempt_id}/content") => WRITE,
        _ => return None,
    })
}
