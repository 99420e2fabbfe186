//! Applications: `application number`, in the order of creation.

use super::key::key;
use super::value::{fields, value};
use model::{AppId, Application, Policy};

key!(Application: (app: AppId));
value!(Application: Application, version 5);

fields!(Application {
    id,
    salt,
    uid,
    name,
    rate_limit,
    metadata,
    created_at,
    updated_at,
    paused_at since 2,
    policy since 3,
    max_in_flight since 3,
    verification since 4,
    api_tier since 5,
});

fields!(Policy {
    retry_policy,
    on_client_error,
    timeout_ms,
    max_in_flight,
    disable_after_failed_deliveries,
    dead_letter_retention_days since 4,
});
