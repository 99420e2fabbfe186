//! The audit log: records as a list, of everything or of one application, and its end.

use super::paging::{Listed, Page};
use crate::error::Error;
use model::audit::HASH_LEN;
use model::id::{IdKind, IdParts};
use model::{AppId, AuditRecord, UnixMs};
use storage::Read;
use storage::tables::audit;

pub use storage::tables::audit::Head;

/// The records that a list is to show. An empty filter shows all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of this action; `kind.*` for all of a kind.
    pub action: Option<String>,
    /// On things of this kind.
    pub kind: Option<String>,
    /// On the thing of this id.
    pub id: Option<String>,
    /// Made by the API key of this id, or by this kind of actor.
    pub actor: Option<String>,
    /// Made then or later.
    pub since: Option<UnixMs>,
    /// Made then or earlier.
    pub until: Option<UnixMs>,
}

impl AuditFilter {
    fn keeps(&self, record: &AuditRecord) -> bool {
        let (entry, actor) = (&record.entry, &record.entry.actor);
        let is_action = |wanted: &String| match wanted.strip_suffix(".*") {
            Some(kind) => entry.action.split('.').next() == Some(kind),
            None => entry.action == *wanted,
        };
        self.action.as_ref().is_none_or(is_action)
            && self.kind.as_ref().is_none_or(|kind| *kind == entry.kind)
            && self.id.as_ref().is_none_or(|id| *id == entry.id)
            && self.actor.as_ref().is_none_or(|wanted| actor.id == *wanted || actor.kind.as_str() == wanted)
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at <= until)
    }
}

/// A record with its hash.
#[derive(Clone, Debug)]
pub struct Audited {
    /// The record.
    pub record: AuditRecord,
    /// Its hash, which its successor has.
    pub hash: [u8; HASH_LEN],
}

/// Records of everything in the order of their positions, or of the application of an id, which may be deleted by now.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list(
    read: &(impl Read + ?Sized),
    app: Option<&str>,
    page: &Page<u64>,
    filter: &AuditFilter,
) -> Result<Listed<Audited, u64>, Error> {
    let direction = page.direction();
    let app = app.map(|text| (text, IdParts::from_text(IdKind::Application, text)));
    let source = |after: Option<&u64>, limit| match &app {
        None => Ok(audit::list(read, after.copied(), limit, direction)?),
        Some((_, None)) => Ok(Vec::new()),
        Some((_, Some(parts))) => {
            let places = audit::list_of_app(read, AppId(parts.number), after.copied(), limit, direction)?;
            let mut rows = Vec::with_capacity(places.len());
            for seq in places {
                rows.extend(audit::get(read, seq)?.map(|record| (seq, record)));
            }
            Ok(rows)
        }
    };
    let is_of_app = |record: &AuditRecord| {
        let of = record.entry.app.as_ref().map(|app| app.id.as_str());
        app.as_ref().is_none_or(|(text, _)| of == Some(*text))
    };
    page.find(
        source,
        |(seq, _)| *seq,
        |(_, record)| {
            let keeps = is_of_app(&record) && filter.keeps(&record);
            Ok(keeps.then(|| Audited { hash: audit::hash_of(&record), record }))
        },
    )
}

/// The end of the log. Whoever notes it can tell later that nothing before it was changed or removed.
///
/// # Errors
/// Damage, and any error of the store.
pub fn head(read: &(impl Read + ?Sized)) -> Result<Head, Error> {
    Ok(audit::head(read)?)
}
