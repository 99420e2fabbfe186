//! Runs of first attempts: `application number, endpoint number, lowest position of the run`. The value is a [`run`].

pub mod run;

use super::key::key;
use model::{EndpointRef, Seq};

key!(AttemptFirst: (target: EndpointRef, first: Seq));
