//! Scheduled messages that were called off before their time: `application number, position`. The rows are empty, and
//! each goes with its message.

use super::key::key;
use model::{AppId, Seq};

key!(CalledOff: (app: AppId, seq: Seq));
