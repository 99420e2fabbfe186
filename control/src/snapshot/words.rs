//! Settings of several parts as the audit log shows them, in the API's words.

use model::{
    ClientErrorPolicy, Jitter, OnGiveUp, Order, PayloadMode, Policy, RetryPolicy, SignatureFormat, SignatureScheme,
    Spacing, TimestampFormat, UnixMs,
};
use serde_json::{Value, json};

/// A time, in milliseconds since 1970.
pub(crate) fn time(at: Option<UnixMs>) -> Value {
    at.map(|at| at.0).into()
}

/// A text that holds JSON, e.g. metadata.
pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// How failures are retried.
pub(crate) fn retry_policy(policy: Option<&RetryPolicy>) -> Value {
    let Some(RetryPolicy { spacing, max_attempts, max_delay_ms, jitter }) = policy else { return Value::Null };
    let mut shown = match spacing {
        Spacing::Schedule { delays_ms } => json!({ "type": "schedule", "delaysMs": delays_ms }),
        Spacing::Exponential { initial_ms, multiplier } => json!({
            "type": "exponential", "initialMs": initial_ms, "multiplier": f64::from(multiplier.hundredths) / 100.0,
        }),
        Spacing::Linear { step_ms } => json!({ "type": "linear", "stepMs": step_ms }),
        Spacing::Fixed { delay_ms } => json!({ "type": "fixed", "delayMs": delay_ms }),
    };
    shown["maxAttempts"] = (*max_attempts).into();
    shown["maxDelayMs"] = (*max_delay_ms).into();
    shown["jitter"] = match jitter {
        Jitter::None => "none",
        Jitter::Proportional => "proportional",
        Jitter::Equal => "equal",
        Jitter::Full => "full",
        Jitter::Additive => "additive",
    }
    .into();
    shown
}

/// The meaning of a client error.
pub(crate) fn on_client_error(policy: Option<ClientErrorPolicy>) -> Value {
    let word = policy.map(|policy| match policy {
        ClientErrorPolicy::Retry => "retry",
        ClientErrorPolicy::DeadLetter => "dead_letter",
    });
    word.into()
}

/// The settings that endpoints inherit.
pub(crate) fn policy(policy: &Policy) -> Value {
    let Policy {
        retry_policy: retries,
        on_client_error: client_error,
        timeout_ms,
        max_in_flight,
        disable_after_failed_deliveries,
        dead_letter_retention_days,
    } = policy;
    if *policy == Policy::default() {
        return Value::Null;
    }
    json!({
        "retryPolicy": retry_policy(retries.as_ref()),
        "onClientError": on_client_error(*client_error),
        "timeoutMs": timeout_ms,
        "maxInFlight": max_in_flight,
        "disableAfterFailedDeliveries": disable_after_failed_deliveries,
        "deadLetterRetentionDays": dead_letter_retention_days,
    })
}

/// The order of deliveries; nothing for none.
pub(crate) fn order(order: Order) -> Value {
    match order {
        Order::None => Value::Null,
        Order::Endpoint => "endpoint".into(),
        Order::Key => "key".into(),
    }
}

/// The effect of a delivery that is given up; nothing for the usual one.
pub(crate) fn on_give_up(on_give_up: OnGiveUp) -> Value {
    match on_give_up {
        OnGiveUp::Skip => Value::Null,
        OnGiveUp::Pause => "pause".into(),
    }
}

/// The form of signatures.
pub(crate) fn signature_format(format: Option<&SignatureFormat>) -> Value {
    let Some(format) = format else { return Value::Null };
    let SignatureFormat {
        scheme,
        signature_header,
        timestamp_header,
        timestamp_format,
        prefix,
        event_type_header,
        delivery_id_header,
    } = format;
    json!({
        "scheme": match scheme {
            SignatureScheme::Standard => "standard",
            SignatureScheme::HexBody => "hexBody",
            SignatureScheme::HexTimeBody => "hexTimeBody",
        },
        "signatureHeader": signature_header,
        "timestampHeader": timestamp_header,
        "timestampFormat": match timestamp_format {
            TimestampFormat::UnixSeconds => "unixSeconds",
            TimestampFormat::Iso8601 => "iso8601",
        },
        "prefix": prefix,
        "eventTypeHeader": event_type_header,
        "deliveryIdHeader": delivery_id_header,
    })
}

/// The body of requests.
pub(crate) fn payload_mode(mode: Option<&PayloadMode>) -> Value {
    match mode {
        None => Value::Null,
        Some(PayloadMode::Full) => "full".into(),
        Some(PayloadMode::Reference { .. }) => "reference".into(),
    }
}
