//! How much an endpoint did not get because retention removed it first: `application number, endpoint number`.

use super::key::key;
use super::value::{fields, value};
use model::{EndpointRef, Expired};

key!(Expired: (target: EndpointRef));
value!(Expired: Expired, version 1);

fields!(Expired { first, last, positions, since, at });
