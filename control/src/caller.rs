//! The caller of a command: how far their key reaches, and who they are to the audit log.

use crate::query::key::id_of;
use crate::reach::Reach;
use model::{Actor, ActorKind, ApiKeyRow};

/// The caller of a command.
#[derive(Clone, Debug)]
pub struct Caller {
    reach: Reach,
    actor: Actor,
}

impl Caller {
    /// The holder of an API key, or of the root key where there is none. Names the address that the request came from and
    /// the id of the request, each empty if unknown.
    #[must_use]
    pub fn of_request(reach: Reach, key: Option<&ApiKeyRow>, address: String, request_id: String) -> Caller {
        let actor = match key {
            Some(row) => {
                Actor { kind: ActorKind::Key, id: id_of(&row.hash), name: row.name.clone(), address, request_id }
            }
            None => Actor { address, request_id, ..Actor::plain(ActorKind::Root) },
        };
        Caller { reach, actor }
    }

    /// Somebody with access to the data directory, which no server has open.
    #[must_use]
    pub fn offline() -> Caller {
        Caller { reach: Reach::Everything, actor: Actor::plain(ActorKind::Offline) }
    }

    /// How far the key reaches.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// The maker of the change, for the audit log.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }
}
