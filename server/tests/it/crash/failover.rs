//! The switch of the endpoint with a backup: looked at over and over, and set back by hand, while the process is killed.
//!
//! A switch that the API showed is durable. So no later look shows fewer switches or another history, in whatever life.

use super::ledger::Life;
use super::load::Front;
use super::routes::PRIMARY;
use crate::harness::{Random, Received};
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The longest time that the backup is used before somebody sets the switch back.
const AWAY_MAX_MS: u64 = 1_500;

/// One look at the switch.
#[derive(Clone, Debug)]
struct Look {
    life: usize,
    shown: Value,
    /// When the switch was about to be set by hand after this look.
    left: Option<Instant>,
}

/// The last looks of all lives, with the first of each.
#[derive(Debug, Default)]
pub(super) struct Switch {
    looks: Mutex<Vec<Look>>,
}

// === impl Look ===

impl Look {
    fn count(&self) -> u64 {
        self.shown["switchCount"].as_u64().expect("a number")
    }

    fn uses_backup(&self) -> bool {
        self.shown["active"] == "backup"
    }

    /// Checks a look against the next one.
    fn check_next(&self, next: &Look) {
        let newer =
            next.count().checked_sub(self.count()).unwrap_or_else(|| panic!("switches are lost: {self:?} {next:?}"));
        let history = |look: &Look| look.shown["history"].as_array().expect("a list").clone();
        let (before, after) = (history(self), history(next));
        // The newest is first, and the oldest make room.
        let kept = after.get(newer as usize..).unwrap_or_default();
        assert_eq!(kept, &before[..kept.len()], "after {newer} switches: {self:?} {next:?}");
        assert_eq!(next.uses_backup(), next.count() % 2 == 1, "each switch changes the side: {next:?}");
        if newer == 0 {
            assert_eq!((&self.shown["since"], &self.shown["active"]), (&next.shown["since"], &next.shown["active"]));
        }
    }
}

// === impl Switch ===

impl Switch {
    /// Looks, and sets the switch by hand now and then.
    pub(super) fn watch(&self, front: &Front, random: &mut Random) {
        let path = format!("/api/v1/app/east/endpoint/{PRIMARY}/failover");
        let (mut dead, mut turned, mut stays) = (0, Instant::now(), Duration::ZERO);
        while front.goes_on(LOOK_EVERY) {
            let Some((client, life)) = front.client(dead) else { return };
            let sent = if turned.elapsed() > stays && self.uses_backup() {
                (turned, stays) = (Instant::now(), Duration::from_millis(random.below(AWAY_MAX_MS)));
                self.leaves();
                client.send("POST", &path, &[], Some(json!({"to": "primary"}).to_string().as_bytes()))
            } else {
                client.send("GET", &path, &[], None)
            };
            let Ok(response) = sent else {
                dead = life;
                continue;
            };
            assert_eq!(response.status, 200, "{}", response.text());
            self.looked(life, response.json());
        }
    }

    fn uses_backup(&self) -> bool {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).last().is_some_and(Look::uses_backup)
    }

    fn leaves(&self) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.last_mut().into_iter().for_each(|look| look.left = look.left.or(Some(Instant::now())));
    }

    fn looked(&self, life: usize, shown: Value) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let look = Look { life, shown, left: None };
        if let Some(before) = looks.last() {
            before.check_next(&look);
            if before.life == life && before.count() == look.count() {
                // It says nothing new.
                return;
            }
        }
        looks.push(look);
    }

    /// Compares the looks with the requests to the endpoint itself. A process that begins while the backup is the active
    /// side sends nothing there, until the switch is set.
    ///
    /// # Panics
    /// When it does.
    pub(super) fn check(&self, requests: &[Received], path: &str, lives: &[Life]) {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = 0;
        for (before, look) in looks.iter().zip(&looks[1..]) {
            if before.life == look.life || before.count() != look.count() || !look.uses_backup() {
                continue;
            }
            kept += 1;
            // Processes are counted from 1.
            let began = lives[look.life - 2].over;
            let ended = look.left.or(lives.get(look.life - 1).map(|life| life.killed)).unwrap_or_else(Instant::now);
            let astray = requests.iter().find(|one| one.path == path && began < one.at && one.at < ended);
            assert!(astray.is_none(), "sent to the endpoint itself while its backup is active: {look:?} {astray:?}");
        }
        let switches = looks.last().map_or(0, Look::count);
        eprintln!("{switches} switches of a failover; {kept} kills while the backup was the active side");
        assert!(switches > 0, "it never failed over");
    }
}
