//! Days that dead letters are kept, where an application or an endpoint sets them: `application number, endpoint number`;
//! endpoint 0, which is none, stands for the application itself. An index: the settings are in the rows of both.

use super::key::key;
use super::value::value;
use model::{AppId, EndpointId};

key!(DeadLetterDays: (app: AppId, endpoint: EndpointId));
value!(DeadLetterDays: u16, version 1);
