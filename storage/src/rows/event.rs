//! Blocks of events: `application number, position of the block's first event`. The value is a [`block`].

pub mod block;

use super::key::key;
use model::{AppId, Seq};

key!(Event: (app: AppId, first: Seq));
