//! Applications as a list, without those that a caller excludes by the state of their endpoints.
//!
//! An application's endpoints are read only while all of them so far would leave it out: one that does not ends the
//! look.

use super::paging::{Listed, Page};
use crate::error::Error;
use model::id::IdParts;
use model::{AppId, Application, Endpoint};
use storage::tables::{application, endpoint};
use storage::{Direction, Read};

/// Endpoints read in one step.
const ENDPOINTS_PER_STEP: usize = 64;

/// The host of Svix's public playground.
const SVIX_PLAY_HOST: &str = "play.svix.com";

/// Which applications are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exclusion {
    /// Those that have no endpoints.
    pub without_endpoints: bool,
    /// Those that have some, all disabled.
    pub disabled: bool,
    /// Those that have some, all at Svix Play.
    pub svix_play: bool,
}

/// Applications in the order of creation.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list(
    read: &(impl Read + ?Sized),
    exclusion: Exclusion,
    page: &Page<IdParts>,
) -> Result<Listed<Application, IdParts>, Error> {
    let source = |after: Option<&IdParts>, limit| {
        Ok(application::list(read, after.map(|parts| AppId(parts.number)), limit, page.direction())?)
    };
    let place = |row: &Application| IdParts { at: row.created_at, number: row.id.0, low: row.salt };
    page.find(source, place, |row| Ok(exclusion.keeps(read, row.id)?.then_some(row)))
}

impl Exclusion {
    fn keeps(self, read: &(impl Read + ?Sized), app: AppId) -> Result<bool, Error> {
        if self == Exclusion::default() {
            return Ok(true);
        }
        let (mut are_disabled, mut are_at_play) = (self.disabled, self.svix_play);
        let mut after = None;
        loop {
            let rows = endpoint::list(read, app, after, ENDPOINTS_PER_STEP, Direction::Forward)?;
            if after.is_none() && rows.is_empty() {
                return Ok(!self.without_endpoints);
            }
            are_disabled &= rows.iter().all(|row| row.disabled.is_some());
            are_at_play &= rows.iter().all(is_at_play);
            if !are_disabled && !are_at_play {
                return Ok(true);
            }
            if rows.len() < ENDPOINTS_PER_STEP {
                return Ok(false);
            }
            after = rows.last().map(|row| row.id);
        }
    }
}

fn is_at_play(row: &Endpoint) -> bool {
    let host = row.url.parse::<http::Uri>().ok();
    host.as_ref().and_then(http::Uri::host).is_some_and(|host| host.eq_ignore_ascii_case(SVIX_PLAY_HOST))
}
