//! Records of the audit log by application: an index without values. The key is no row of the application: it outlives that.

use super::key::key;
use model::AppId;

key!(AuditByApp: (app: AppId, seq: u64));
