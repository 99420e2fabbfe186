//! Endpoints: `application number, endpoint number`, in the order of creation within an application.
//!
//! A long URL, long filters and certificates of its own can make a value longer than those of other kinds.

use super::key::key;
use super::value::{fields, value, variants};
use model::endpoint::EndpointSecret;
use model::{
    ClientErrorPolicy, Disabled, Endpoint, EndpointRef, Failover, Jitter, Multiplier, OnGiveUp, Order, Paused,
    PausedReason, PayloadMode, RetryPolicy, SignatureFormat, SignatureScheme, Spacing, Switch, SwitchedBy,
    TimestampFormat, Verification,
};

key!(Endpoint: (target: EndpointRef));
value!(Endpoint: Endpoint, version VERSION);

/// The version of an endpoint's fields, those of a deleted one too.
pub(super) const VERSION: u8 = 4;

fields!(Endpoint {
    id,
    app,
    salt,
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
    active_from,
    secrets,
    sealed_headers,
    metadata,
    created_at,
    updated_at,
    version,
    sealed_user_info,
    ca_pem,
    paused since 2,
    signature_format since 2,
    payload_mode since 2,
    order since 3,
    on_give_up since 3,
    disable_after_failed_deliveries since 3,
    burst since 3,
    verification since 4,
    failover since 4,
    backup_of since 4,
    filter since 4,
    dead_letter_retention_days since 4,
});

fields!(EndpointSecret { sealed, expires_at });
fields!(Disabled { at, reason });
fields!(Paused { at, reason });
fields!(Multiplier { hundredths });
fields!(Failover {
    backup,
    backup_id,
    threshold,
    auto_switch,
    auto_return,
    probe_interval_minutes,
    url_number,
    to_backup,
    switches,
    history,
});
fields!(Switch { at, to_backup, by });
fields!(RetryPolicy { spacing, max_attempts, max_delay_ms, jitter });

variants!(Spacing {
    0 = Schedule { delays_ms },
    1 = Exponential { initial_ms, multiplier since 3 },
    2 = Linear { step_ms },
    3 = Fixed { delay_ms },
});
variants!(Jitter { 0 = None, 1 = Proportional, 2 = Equal, 3 = Full, 4 = Additive });
variants!(SwitchedBy { 0 = Auto, 1 = Hand, 2 = Probe });
variants!(PausedReason { 0 = Operator, 1 = GaveUp });
variants!(ClientErrorPolicy { 0 = Retry, 1 = DeadLetter });
variants!(OnGiveUp { 0 = Skip, 1 = Pause });
variants!(Order { 0 = None, 1 = Endpoint, 2 = Key });

fields!(SignatureFormat {
    scheme,
    signature_header,
    timestamp_header,
    timestamp_format,
    prefix,
    event_type_header,
    delivery_id_header,
});
variants!(SignatureScheme { 0 = Standard, 1 = HexBody, 2 = HexTimeBody });
variants!(TimestampFormat { 0 = UnixSeconds, 1 = Iso8601 });
fields!(Verification { challenge, attempts, next_at, asked_at, verified_at, problem });
variants!(PayloadMode { 0 = Full, 1 = Reference { app } });

/// Bytes of a value at most.
pub const VALUE_BYTES_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppId, EndpointId, UnixMs};

    /// The fields that a version brought, each one byte for an endpoint that does not use it.
    const SINCE_2: usize = 3;
    const SINCE_3: usize = 4;
    const SINCE_4: usize = 5;

    #[test]
    fn an_exponential_policy_of_an_earlier_version_doubles_its_gaps() {
        let target = EndpointRef { app: AppId(1), endpoint: EndpointId(2) };
        let spacing = Spacing::Exponential { initial_ms: 7, multiplier: Multiplier::default() };
        let policy = RetryPolicy { spacing, ..RetryPolicy::standard() };
        let row = Endpoint { retry_policy: Some(policy), ..Endpoint::plain(target, UnixMs(1)) };
        let value = to_value(&row);
        let at = value.windows(4).position(|bytes| bytes == [1, 7, 200, 8]).expect("gap, multiplier, attempts");
        for (version, later) in [(1, SINCE_2 + SINCE_3 + SINCE_4), (2, SINCE_3 + SINCE_4)] {
            let earlier = [&[version], &value[1..at + 2], &value[at + 3..value.len() - later]].concat();
            assert_eq!(from_value(&earlier).unwrap(), row);
        }
        let of_three = [&[3], &value[1..value.len() - SINCE_4]].concat();
        assert_eq!(from_value(&of_three).unwrap(), row);
    }
}
