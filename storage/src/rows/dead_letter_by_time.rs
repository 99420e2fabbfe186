//! The index of dead letters by age within an application: `application number, time given up, endpoint number,
//! position`. The rows are empty.

use super::key::key;
use model::{AppId, EndpointId, Seq, UnixMs};

key!(DeadLetterByTime: (app: AppId, at: UnixMs, endpoint: EndpointId, seq: Seq));
