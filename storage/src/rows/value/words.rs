//! Words that rows of several kinds hold. Persisted: the order of fields, and the number of each variant.

use super::{Field, Malformed, Reader, fields, variants};
use model::{
    AnswerNote, AppId, DisabledReason, EndpointId, EndpointRef, OutcomeClass, SealedBytes, Seq, Trigger, UnixMs,
};

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

variants!(Trigger { 0 = Scheduled, 1 = Manual });

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
