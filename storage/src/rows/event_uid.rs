//! The index of events by the tenant's own id: `application number, digest of the id`. The order of the rows means
//! nothing.

use super::DIGEST_BYTES;
use super::key::key;
use super::value::value;
use model::{AppId, Seq};

key!(EventUid: (app: AppId, digest: [u8; DIGEST_BYTES]));
value!(EventUid: Seq, version 1);
