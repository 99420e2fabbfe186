//! Deliveries that wait for another attempt: `application number, endpoint number, position`.

use super::key::key;
use super::value::{fields, value};
use model::{EndpointRef, Pending, Seq};

key!(Pending: (target: EndpointRef, seq: Seq));
value!(Pending: Pending, version 1);

fields!(Pending { attempts, due, last_outcome, trigger });
