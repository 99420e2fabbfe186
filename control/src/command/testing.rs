//! A store in memory on which the tests of commands apply them, one commit each.

use super::{At, Changed, Command, Draw, Once, Repeatable, perform};
use crate::audit::recorded;
use crate::caller::Caller;
use crate::checks::Checks;
use crate::error::Error;
use crate::limits::Rules;
use crate::reach::Reach;
use crate::seals::Seals;
use engine::seal::MasterKey;
use model::UnixMs;
use std::sync::Arc;
use storage::store::MemoryStore;
use storage::tables::audit::Chain;
use storage::{Store, Txn};
use zeroize::Zeroizing;

/// A store with the rules that commands are judged by.
pub(crate) struct Bench {
    pub(crate) store: MemoryStore,
    pub(crate) rules: Rules,
    pub(crate) seals: Seals,
    pub(crate) by: Caller,
    pub(crate) now: UnixMs,
    pub(crate) draw: Draw,
}

impl Default for Bench {
    fn default() -> Bench {
        Bench {
            store: MemoryStore::default(),
            rules: Rules { idempotency_ms: 1_000, idempotency_keys: 10, ..Rules::default() },
            seals: Seals::new(Arc::new(MasterKey::new([7; 32]))),
            by: Caller::of_request(Reach::Everything, None, "127.0.0.1".to_owned(), "req_1".to_owned()),
            now: UnixMs(1_000),
            draw: Draw { salt: 5, secret: Zeroizing::new([3; 32]), challenge: [9; 32] },
        }
    }
}

impl Bench {
    /// Checks a command and applies it in a commit of its own.
    pub(crate) fn run<C: Command>(&self, command: C) -> Result<Changed<C::Thing>, Error> {
        self.apply(command, |command, at, txn| command.apply(at, txn))
    }

    /// As [`Bench::run`], with an idempotency key.
    pub(crate) fn run_once<C: Repeatable>(&self, command: C, once: &Once) -> Result<Changed<C::Thing>, Error> {
        self.apply(command, |command, at, txn| perform(command, Some(once), at, txn))
    }

    fn apply<C: Command>(
        &self,
        mut command: C,
        apply: impl FnOnce(C, &At<'_>, &mut Txn<'_>) -> Result<Changed<C::Thing>, Error>,
    ) -> Result<Changed<C::Thing>, Error> {
        let mut checks = Checks::default();
        command.check(&self.rules, &mut checks);
        checks.finish()?;
        let at = At { by: self.by.reach(), now: self.now, draw: &self.draw, rules: &self.rules, seals: &self.seals };
        let mut txn = Txn::new(&self.store);
        let changed = recorded(command, &self.by, &at, &mut txn, apply)?;
        Chain::new(None).append(&mut txn, self.now)?;
        self.store.apply(txn.into_parts().batch)?;
        Ok(changed)
    }
}
