//! The part of the log that retention removed before an endpoint got it: `application number, endpoint number`.

use super::key::key;
use super::value::{fields, value};
use model::{EndpointRef, Expired};

key!(Expired: (target: EndpointRef));
value!(Expired: Expired, version 1);

fields!(Expired { first, last, positions, since, at });
