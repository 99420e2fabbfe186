//! Applications: `application number`, in the order of creation.

use super::key::key;
use super::value::{fields, value};
use model::{AppId, Application};

key!(Application: (app: AppId));
value!(Application: Application, version 2);

fields!(Application { id, salt, uid, name, rate_limit, metadata, created_at, updated_at, paused_at since 2 });
