//! Payloads that do not fit a block: `application number, position`.

use super::key::key;
use model::{AppId, Seq};

key!(Payload: (app: AppId, seq: Seq));
