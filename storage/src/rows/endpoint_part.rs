//! Pieces of an endpoint's value beyond the first, when it is longer than one row: `application number, endpoint
//! number, index of the piece`, from 0. See [`super::endpoint`].

use super::key::key;
use model::EndpointRef;

key!(EndpointPart: (target: EndpointRef, index: u16));
