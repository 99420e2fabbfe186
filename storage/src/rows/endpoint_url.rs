//! URLs that an endpoint had before its present one: `application number, endpoint number, number of the URL`.

use super::key::key;
use super::value::{fields, value};
use model::{EndpointRef, UnixMs};

/// A past URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastUrl {
    /// Its text, without credentials.
    pub url: String,
    /// The time at which it was replaced.
    pub until: UnixMs,
}

key!(EndpointUrl: (target: EndpointRef, number: u32));
value!(EndpointUrl: PastUrl, version 1);

fields!(PastUrl { url, until });
