//! Endpoints that were deleted and have attempts yet: `application number, endpoint number`. The fields, and their
//! version, are those of [`super::endpoint`].

use super::endpoint::VERSION;
use super::key::key;
use super::value::value;
use model::{Endpoint, EndpointRef};

key!(DeletedEndpoint: (target: EndpointRef));
value!(DeletedEndpoint: Endpoint, version VERSION);
