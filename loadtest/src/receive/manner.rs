//! The manner in which endpoints answer, changeable while it runs.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// The manner in which an endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// 200 at once.
    Healthy,
    /// Never.
    Silent,
    /// 503 at once.
    Down,
    /// 200 after so many ms.
    Slow(u32),
}

const HEALTHY: u32 = 0;
const SILENT: u32 = 1;
const DOWN: u32 = 2;
/// From here on: a delay in ms, plus this.
const SLOW: u32 = 3;

/// The manners of all endpoints.
#[derive(Debug)]
pub(crate) struct Manners {
    cells: Box<[AtomicU32]>,
}

impl Manners {
    /// All healthy. Only the first `changeable` can be anything else.
    pub(crate) fn healthy(changeable: usize) -> Manners {
        Manners { cells: (0..changeable).map(|_| AtomicU32::new(HEALTHY)).collect() }
    }

    /// Changes the manner of all that can be changed.
    pub(crate) fn set_all(&self, manner: Manner) {
        let value = match manner {
            Manner::Healthy => HEALTHY,
            Manner::Silent => SILENT,
            Manner::Down => DOWN,
            Manner::Slow(delay_ms) => SLOW.saturating_add(delay_ms),
        };
        self.cells.iter().for_each(|cell| cell.store(value, Relaxed));
    }

    /// The manner of an endpoint.
    pub(super) fn of(&self, endpoint: usize) -> Manner {
        match self.cells.get(endpoint).map_or(HEALTHY, |cell| cell.load(Relaxed)) {
            HEALTHY => Manner::Healthy,
            SILENT => Manner::Silent,
            DOWN => Manner::Down,
            delay => Manner::Slow(delay - SLOW),
        }
    }
}

/// The longest silence: longer than any attempt.
pub(super) const SILENCE: Duration = Duration::from_secs(180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manner_comes_back_as_it_went_in() {
        let manners = Manners::healthy(2);
        for manner in [Manner::Silent, Manner::Down, Manner::Slow(0), Manner::Slow(500), Manner::Healthy] {
            manners.set_all(manner);
            assert_eq!(manners.of(1), manner);
            assert_eq!(manners.of(2), Manner::Healthy);
        }
    }
}
