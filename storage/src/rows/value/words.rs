//! Words that rows of several kinds hold. Persisted: the order of fields, and the number of each variant.

use super::{Field, Malformed, Reader, fields, variants};
use model::{
    AnswerNote, AppId, AttemptDetails, DisabledReason, EndpointId, EndpointRef, HeaderLine, OutcomeClass, Protocol,
    SealedBytes, Seq, Trigger, UnixMs,
};
use std::net::SocketAddr;

/// Words that wrap one field.
macro_rules! wrapped {
    ($($type:ident),+) => {
        $(impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn take(from: &mut Reader<'_>) -> Result<$type, Malformed> {
                Field::take(from).map($type)
            }

            #[cfg(test)]
            fn any(source: &mut super::testing::Source) -> $type {
                $type(Field::any(source))
            }
        })+
    };
}
wrapped!(AppId, EndpointId, Seq, UnixMs, SealedBytes);

fields!(EndpointRef { app, endpoint });

variants!(Trigger { 0 = Scheduled, 1 = Manual, 2 = LastAtPrimary, 3 = LastAtBackup });

variants!(OutcomeClass {
    0 = Success,
    1 = Redirect,
    2 = ClientError,
    3 = Gone,
    4 = RetryableClientError,
    5 = Throttled,
    6 = ServerError,
    7 = Timeout,
    8 = ConnectError,
    9 = DnsError,
    10 = Refused,
    11 = TlsError,
    12 = TransportError,
    13 = InternalError,
});

variants!(AnswerNote {
    0 = HeadTooLong,
    1 = HeadMalformed,
    2 = LengthContradicts,
    3 = BodyMalformed,
    4 = Surplus,
    5 = BrokenOff,
    6 = TooLate,
});

variants!(DisabledReason { 0 = Operator, 1 = Gone, 2 = Failing, 7 = Exhausted });

variants!(Protocol { 0 = Http1, 1 = Http2 });

fields!(HeaderLine { name, value });

fields!(AttemptDetails {
    response_headers,
    headers_truncated,
    peer,
    protocol,
    connection_reused,
    lookup_us,
    connect_us,
    tls_us,
    first_byte_us,
});

/// As text: it is the address and the port of either family.
impl Field for SocketAddr {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_string().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<SocketAddr, Malformed> {
        String::take(from)?.parse().map_err(|_| Malformed("an address that is none"))
    }

    #[cfg(test)]
    fn any(source: &mut super::testing::Source) -> SocketAddr {
        let ip = source.number().to_be_bytes();
        let port = u16::any(source);
        match bool::any(source) {
            true => ([ip[0], ip[1], ip[2], ip[3]], port).into(),
            false => ([[ip; 2].concat(), Vec::new()].concat().try_into().unwrap_or([0_u8; 16]), port).into(),
        }
    }
}
