//! Dead letters of an endpoint, as a list.

use super::paging::{Listed, Page};
use crate::error::Error;
use model::id::IdParts;
use model::{DeadLetter, Endpoint, Event, Seq, UnixMs};
use storage::Read;
use storage::tables::{dead_letter, log};

/// A dead letter with its message.
#[derive(Clone, Debug)]
pub struct ListedLetter {
    /// The parts of the message's id.
    pub message: IdParts,
    /// The message without its payload; none when it is past its retention.
    pub event: Option<Event>,
    /// The dead letter.
    pub letter: DeadLetter,
}

/// Dead letters in the order of their messages.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list(
    read: &(impl Read + ?Sized),
    endpoint: &Endpoint,
    page: &Page<IdParts>,
) -> Result<Listed<ListedLetter, IdParts>, Error> {
    let source = |after: Option<&IdParts>, limit| {
        let after = after.map(|parts| Seq(parts.low));
        let letters = dead_letter::list(read, endpoint.target(), after, limit, page.direction())?;
        let with_event = letters.into_iter().map(|(seq, letter)| {
            // Payloads are not shown, and those of a whole page would be a lot to hold.
            let event = log::get(read, endpoint.app, seq)?.map(|event| Event { payload: Default::default(), ..event });
            let at = event.as_ref().map_or(UnixMs::ZERO, |event| event.accepted_at);
            Ok(ListedLetter { message: IdParts { at, number: endpoint.app.0, low: seq.0 }, event, letter })
        });
        with_event.collect()
    };
    page.find(source, |row| row.message, |row| Ok(Some(row)))
}
