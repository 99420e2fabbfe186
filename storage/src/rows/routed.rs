//! The position up to which an application's log is routed: `application number`.

use super::key::key;
use super::value::value;
use model::{AppId, Seq};

key!(Routed: (app: AppId));
value!(Routed: Seq, version 1);
