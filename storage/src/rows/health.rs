//! An endpoint's failures, as they are remembered: `application number, endpoint number`.

use super::key::key;
use super::value::{fields, value};
use model::{EndpointHealth, EndpointRef};

key!(Health: (target: EndpointRef));
value!(Health: EndpointHealth, version 3);

fields!(EndpointHealth {
    failing_since,
    failing_seen_at,
    breaker_open_until,
    breaker_openings,
    paused_until,
    failed_deliveries since 2,
    failures_in_row since 3,
    probed_at since 3,
});
