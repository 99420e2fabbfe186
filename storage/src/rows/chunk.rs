//! Pieces of payloads that do not fit a block: `application number, position, index of the piece`.

use super::key::key;
use model::{AppId, Seq};

key!(Chunk: (app: AppId, seq: Seq, index: u16));
