//! Endpoints that were deleted and have attempts yet: `application number, endpoint number`. The fields are those of
//! [`super::endpoint`], so the version is that of its value.

use super::key::key;
use super::value::value;
use model::{Endpoint, EndpointRef};

key!(DeletedEndpoint: (target: EndpointRef));
value!(DeletedEndpoint: Endpoint, version 1);
