//! Ranges of the log that an endpoint did not get: `application number, endpoint number, first position`.

use super::key::key;
use super::value::{fields, value};
use model::{EndpointRef, Gap, Seq, Wanted};

key!(Gap: (target: EndpointRef, first: Seq));
value!(Gap: Gap, version 2);

fields!(Gap { last, reason, wanted });
fields!(Wanted { event_types, channels, filter since 2 });
