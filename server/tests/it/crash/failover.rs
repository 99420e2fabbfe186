//! The switch of the endpoint with a backup: looked at over and over, and set back by hand, while the process is killed.
//!
//! A switch that the API showed is durable. So no later look shows fewer switches or another history, in whatever life.

use super::ledger::Life;
use super::load::Front;
use super::routes::PRIMARY;
use crate::failover::check_follows;
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
    at: Instant,
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
}

// === impl Switch ===

impl Switch {
    /// Looks, and sets the switch by hand now and then.
    pub(super) fn watch(&self, front: &Front, random: &mut Random) {
        let path = format!("/api/v1/app/east/endpoint/{PRIMARY}/failover");
        let (mut dead, mut stays) = (0, Duration::ZERO);
        while front.goes_on(LOOK_EVERY) {
            let Some((client, life)) = front.client(dead) else { return };
            let sent = if self.away_since().is_some_and(|since| since.elapsed() > stays) {
                stays = Duration::from_millis(random.below(AWAY_MAX_MS));
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

    /// The first look of this life that showed the backup as the active side, if the last one does.
    fn away_since(&self) -> Option<Instant> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.last().filter(|look| look.uses_backup()).map(|look| look.at)
    }

    fn leaves(&self) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.last_mut().into_iter().for_each(|look| look.left = look.left.or(Some(Instant::now())));
    }

    fn looked(&self, life: usize, shown: Value) {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let look = Look { life, at: Instant::now(), shown, left: None };
        if let Some(before) = looks.last() {
            check_follows(&before.shown, &look.shown);
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
