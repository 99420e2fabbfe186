//! Deliveries that were given up: `application number, endpoint number, position`.

use super::key::key;
use super::value::{fields, value, variants};
use model::{DeadLetter, DeadLetterReason, EndpointRef, Seq};

key!(DeadLetter: (target: EndpointRef, seq: Seq));
value!(DeadLetter: DeadLetter, version 1);

fields!(DeadLetter { at, attempts, reason, last_outcome, last_status });

variants!(DeadLetterReason {
    0 = AttemptsExhausted,
    1 = Rejected,
    2 = Gone,
    3 = EndpointDisabled,
    4 = Expired,
    5 = Expunged,
    6 = PastExpiry,
});
