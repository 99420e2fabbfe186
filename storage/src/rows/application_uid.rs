//! The index of applications by the tenant's own name: `uid`.

use super::key::key;
use super::value::value;
use model::AppId;

key!(ApplicationUid: (uid: &str));
value!(ApplicationUid: AppId, version 1);
