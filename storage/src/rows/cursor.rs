//! Cursors, the positions that endpoints have reached: `application number, endpoint number`.

use super::key::key;
use super::value::{fields, value};
use model::{Cursor, EndpointRef};

key!(Cursor: (target: EndpointRef));
value!(Cursor: Cursor, version 1);

fields!(Cursor { upto, holes });
