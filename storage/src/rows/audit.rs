//! Records of the audit log: `position`, oldest first.

use super::key::key;
use super::value::{fields, value, variants};
use model::{Actor, ActorKind, AppName, AuditEntry, AuditRecord, FieldChange};

key!(Audit: (seq: u64));
value!(Audit: AuditRecord, version 1);

fields!(AuditRecord { seq, at, previous, entry, signature });
fields!(AuditEntry { actor, action, kind, id, app, changes });
fields!(Actor { kind, id, name, address, request_id });
fields!(AppName { number, id });
fields!(FieldChange { field, old, new });

variants!(ActorKind { 1 = Engine, 2 = Key, 3 = Root, 4 = Offline });
