//! Messages whose time has not come, by when: `application number, time, position`. The value names the last endpoint
//! for which the message was put in line already: none at first, which is number 0.

use super::key::key;
use super::value::value;
use model::{AppId, EndpointId, Seq, UnixMs};

key!(Scheduled: (app: AppId, at: UnixMs, seq: Seq));
value!(Scheduled: EndpointId, version 1);
