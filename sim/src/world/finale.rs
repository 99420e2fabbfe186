//! The end of a run: the network heals, clients get their answers, time passes until nothing is left to do. Then all
//! that was promised is counted up, the process starts once more, and must find nothing to do.

use super::{World, note};
use crate::oracle::{Violation, check_rest, ensure};

/// Steps of the finale at most: many more than any run needs.
const STEPS_MAX: u32 = 1_000_000;

/// Time steps of the finale at most.
const WAITS_MAX: u32 = 100_000;

/// Longer than any hold, and than any actor is kept idle.
const LONG_IDLE_MS: u64 = 3 * 86_400_000;

impl World {
    pub(super) fn finale(&mut self) -> Result<(), Violation> {
        note!(self, "FINALE");
        self.calm = true;
        self.network.heal();
        self.node.failing_reads = 0;
        self.node.lacking = 0;
        self.end_pauses()?;
        self.settle_down()?;
        let attempts = self.attempts;
        self.crash()?;
        self.settle_down()?;
        ensure!(self.attempts == attempts, "a restart made {} attempts more", self.attempts - attempts);
        self.retire()
    }

    /// Endpoints that are paused keep no actor; then every pause ends.
    fn end_pauses(&mut self) -> Result<(), Violation> {
        for wait in 0..WAITS_MAX {
            self.work_off_all(STEPS_MAX)?;
            if wait == 0 {
                // Attempts in flight end in the first of the two pauses; after the second nobody has had anything to do.
                self.time.pass(LONG_IDLE_MS);
                self.work_off_all(STEPS_MAX)?;
                self.time.pass(LONG_IDLE_MS);
                self.node.clock.set(&self.time);
                self.look_after();
                self.check_paused_keep_no_actor()?;
            }
            if !self.resume_all()? {
                return Ok(());
            }
        }
        Err(Violation("a pause never ends".to_owned()))
    }

    fn check_paused_keep_no_actor(&self) -> Result<(), Violation> {
        for shard in &self.node.shards {
            for (target, handle) in shard.core.endpoints.borrow().iter() {
                let lane = handle.cell.lane.borrow();
                let is_kept = lane.is_paused() && lane.in_flight() == 0;
                ensure!(!is_kept, "{} is paused, and has an actor for nothing", target.endpoint);
            }
        }
        Ok(())
    }

    /// Actors of endpoints without work are given up, all of them.
    fn retire(&mut self) -> Result<(), Violation> {
        self.time.pass(LONG_IDLE_MS);
        self.node.clock.set(&self.time);
        self.look_after();
        if self.plan.letter_days.are_set() {
            self.begin_retention()?;
        }
        self.settle_down()?;
        let actors: usize = self.node.shards.iter().map(|shard| shard.core.endpoints.borrow().len()).sum();
        ensure!(actors == 0, "{actors} actors are kept for nothing");
        Ok(())
    }

    /// Until nothing is left to do and nothing waits for a time.
    fn settle_down(&mut self) -> Result<(), Violation> {
        let mut steps_left = STEPS_MAX;
        for _ in 0..WAITS_MAX {
            steps_left -= self.work_off_all(steps_left)?;
            let real = self.time.real();
            match self.node.next_deadline() {
                Some(at) => self.time.pass(at.since_ms(real).max(1)),
                None => return self.rest(),
            }
        }
        Err(Violation("it never settles: time passes and there is always more to wait for".to_owned()))
    }

    fn work_off_all(&mut self, steps_max: u32) -> Result<u32, Violation> {
        let mut done = 0;
        loop {
            let lines = self.trace.lines();
            self.work_off(50)?;
            if self.trace.lines() == lines {
                return Ok(done);
            }
            done += 50;
            ensure!(done < steps_max, "it never settles: there is always more to do");
        }
    }

    fn rest(&mut self) -> Result<(), Violation> {
        ensure!(!self.clients.any_waits(), "a client waits for ever");
        ensure!(self.node.is_quiet(), "something is under way and nothing will move it");
        note!(self, "at rest");
        check_rest(&self.oracle, &self.node, &self.node.disk.durable())
    }
}
