//! API keys: `SHA-256 of the key`, so that a copy of the store opens nothing.

use super::key::key;
use super::value::{fields, value};
use model::ApiKeyRow;

key!(ApiKey: (hash: [u8; 32]));
value!(ApiKey: ApiKeyRow, version 1);

fields!(ApiKeyRow { hash, name, app, created_at });
