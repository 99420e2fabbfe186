//! An endpoint as the audit log shows it: every setting, secrets as marks that tell them apart.

use crate::snapshot::{Fields, mark_of, words};
use model::endpoint::EndpointSecret;
use model::{Endpoint, Failover};
use serde_json::{Value, json};

/// Its fields. A setting that is added to the row has to be named here.
pub(super) fn fields(row: &Endpoint) -> Fields {
    let Endpoint {
        id: _,
        app: _,
        salt: _,
        uid,
        url,
        description,
        event_types,
        channels,
        rate_limit,
        max_in_flight,
        timeout_ms,
        retry_policy,
        on_client_error,
        disabled,
        active_from: _,
        secrets,
        sealed_headers,
        metadata,
        created_at: _,
        updated_at: _,
        version,
        sealed_user_info,
        ca_pem,
        order,
        on_give_up,
        paused,
        signature_format,
        payload_mode,
        disable_after_failed_deliveries,
        burst,
        verification,
        failover,
        backup_of: _,
        filter,
        dead_letter_retention_days,
    } = row;
    let fields = Fields::default()
        .with("uid", uid.clone())
        .with("url", model::mask_user_info(url))
        .with_sealed("userInfo", sealed_user_info.as_ref())
        .with("description", description.clone())
        .with("filterTypes", event_types.clone())
        .with("channels", channels.clone())
        .with("filter", filter.clone())
        .with("metadata", words::parsed(metadata))
        .with("version", *version)
        .with("secrets", secrets.iter().map(secret).collect::<Vec<Value>>())
        .with_sealed("headers", sealed_headers.as_ref())
        .with("caPem", ca_pem.clone());
    fields
        .with("rateLimit", *rate_limit)
        .with("burst", *burst)
        .with("maxInFlight", *max_in_flight)
        .with("timeoutMs", *timeout_ms)
        .with("retryPolicy", words::retry_policy(retry_policy.as_ref()))
        .with("onClientError", words::on_client_error(*on_client_error))
        .with("disableAfterFailedDeliveries", *disable_after_failed_deliveries)
        .with("deadLetterRetentionDays", *dead_letter_retention_days)
        .with("order", words::order(*order))
        .with("onGiveUp", words::on_give_up(*on_give_up))
        .with("signatureFormat", words::signature_format(signature_format.as_ref()))
        .with("payloadMode", words::payload_mode(payload_mode.as_ref()))
        .with("failover", failover.as_ref().map(backup))
        .with("disabledReason", disabled.map(|disabled| disabled.reason.as_str()))
        .with("pausedReason", paused.map(|paused| paused.reason.as_str()))
        .with("verified", verification.as_ref().map(|proof| proof.verified_at.is_some()))
}

fn secret(secret: &EndpointSecret) -> Value {
    json!({ "mark": mark_of(&secret.sealed), "expiresAt": words::time(secret.expires_at) })
}

fn backup(failover: &Failover) -> Value {
    json!({
        "backupEndpointId": failover.backup_id,
        "threshold": failover.threshold,
        "autoSwitch": failover.auto_switch,
        "autoReturn": failover.auto_return,
        "probeIntervalMinutes": failover.probe_interval_minutes,
        "activeSide": if failover.to_backup { "backup" } else { "primary" },
    })
}
