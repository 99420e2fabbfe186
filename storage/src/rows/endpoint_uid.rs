//! The index of endpoints by the tenant's own name: `application number, uid`.

use super::key::key;
use super::value::value;
use model::{AppId, EndpointId};

key!(EndpointUid: (app: AppId, uid: &str));
value!(EndpointUid: EndpointId, version 1);
