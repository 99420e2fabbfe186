//! Further attempts: `application number, endpoint number, start, position`.

use super::key::key;
use super::value::{fields, value};
use model::{AttemptRecord, EndpointRef, Seq, UnixMs};

key!(AttemptLater: (target: EndpointRef, started_at: UnixMs, seq: Seq));
value!(AttemptLater: AttemptRecord, version 2);

fields!(AttemptRecord {
    seq,
    started_at,
    duration_ms,
    attempt,
    trigger,
    outcome,
    status,
    response,
    next_attempt_at,
    note,
    url_number,
    details since 2,
});
