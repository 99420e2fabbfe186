//! Things that happen to the process from outside.

use super::{World, note};
use crate::network::{HEALTHS, Health, pick};
use crate::node::{Shard, Task};
use crate::oracle::{Violation, ensure};
use crate::plan::Surprise;
use engine::shard::housekeeping;
use model::AppId;
use rand::RngExt;
use std::collections::BTreeSet;
use storage::store::memory::FaultOutcome;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// Nobody asks for more than an endpoint or two at once.
const ENDPOINTS_MAX: usize = 12;

impl World {
    /// Something happens.
    pub(super) fn happen(&mut self, surprise: Surprise) -> Result<(), Violation> {
        match surprise {
            Surprise::Send => self.send(),
            Surprise::SendAgain => {
                if let Some(parcel) = self.clients.take_unanswered() {
                    self.post(parcel);
                }
            }
            Surprise::CreateEndpoint => {
                if self.oracle.deliveries.endpoints().count() < ENDPOINTS_MAX {
                    self.create_endpoint();
                }
            }
            Surprise::ChangeEndpoint => self.change_endpoint(),
            Surprise::Toggle => self.toggle(),
            Surprise::Pause => self.pause(),
            Surprise::Failover => self.change_failover(),
            Surprise::DeleteEndpoint => self.delete_endpoint(),
            Surprise::DeleteApplication => {
                self.delete_application();
                self.create_application();
            }
            Surprise::Expunge => self.expunge(),
            Surprise::CallOff => self.call_off(),
            Surprise::Resend => self.resend(),
            Surprise::StartJob => self.start_job(),
            Surprise::CancelJob => self.cancel_job(),
            Surprise::Network => self.change_network(),
            Surprise::FallSilent => self.fall_silent(),
            Surprise::Lack => {
                self.node.lacking = self.rng.random_range(1..6);
                note!(self, "{} attempts will find nothing to be made with", self.node.lacking);
            }
            Surprise::Pass => self.pass(),
            Surprise::Stall => {
                let days = self.plan.letter_days.are_set();
                let long = if days { [10 * HOUR_MS, 30 * HOUR_MS] } else { [HOUR_MS, 10 * HOUR_MS] };
                let ms = *pick(&[10 * SECOND_MS, 5 * MINUTE_MS, long[0], long[1]], &mut self.rng);
                note!(self, "nothing runs for {} s", ms / SECOND_MS);
                self.time.pass(ms);
            }
            Surprise::WallJump => {
                let ms = *pick(&[HOUR_MS as i64, -(HOUR_MS as i64)], &mut self.rng);
                note!(self, "the wall clock jumps by {} min", ms / MINUTE_MS as i64);
                self.time.jump(ms);
            }
            Surprise::Crash => self.crash()?,
            Surprise::Stop => self.stop()?,
            Surprise::FailApply => self.fail_apply()?,
            Surprise::FailReads => {
                self.node.failing_reads = self.rng.random_range(1..4);
                note!(self, "{} reads will fail", self.node.failing_reads);
            }
            Surprise::Housekeeping => self.look_after(),
            Surprise::Retention => self.begin_retention()?,
        }
        Ok(())
    }

    /// Retention begins a round.
    pub(super) fn begin_retention(&mut self) -> Result<(), Violation> {
        note!(self, "a round of retention");
        let (store, now) = (self.node.disk.clone(), self.node.clock.now());
        let limits = self.node.config.retention;
        let begun = self.node.janitor.begin(&(store as storage::SharedStore), &limits, now);
        self.unless_failed(begun)
    }

    fn change_network(&mut self) {
        let url = format!("http://93.184.215.{}/", self.rng.random_range(1..9));
        let health = if self.rng.random_ratio(2, 5) { Health::Fine } else { *pick(&HEALTHS, &mut self.rng) };
        note!(self, "{url} is {health:?}");
        self.network.set(&url, health);
    }

    /// A tenant's receivers take every request and never answer: all at once, as one who means harm has it.
    fn fall_silent(&mut self) {
        let apps: BTreeSet<AppId> = self.oracle.deliveries.endpoints().map(|row| row.app).collect();
        let Some(app) = apps.iter().nth(self.rng.random_range(0..apps.len().max(1))) else { return };
        note!(self, "all receivers of {app} fall silent");
        for row in self.oracle.deliveries.endpoints().filter(|row| row.app == *app) {
            self.network.set(&row.url, Health::Silent);
        }
    }

    /// To where something is due, or some milliseconds.
    fn pass(&mut self) {
        let real = self.time.real();
        let next = self.node.next_deadline().map(|at| at.since_ms(real)).filter(|ms| *ms > 0);
        let ms = match next {
            Some(ms) if self.rng.random_ratio(3, 4) => ms,
            _ => self.rng.random_range(1..200),
        };
        note!(self, "{ms} ms pass");
        self.time.pass(ms);
    }

    /// A commit fails; work under way goes on for a moment, then the process dies.
    fn fail_apply(&mut self) -> Result<(), Violation> {
        let outcome = *pick(&[FaultOutcome::Lost, FaultOutcome::Kept], &mut self.rng);
        note!(self, "the next commit fails: {outcome:?}");
        self.node.disk.fail_next(outcome);
        if !self.node.handle.has_work() {
            self.send();
        }
        self.perform(Task::Commit)?;
        let steps = self.rng.random_range(0..10);
        self.work_off(steps)?;
        self.crash()
    }

    /// No new attempts; those in flight may end for a while, and what they show is made durable. Then another process.
    fn stop(&mut self) -> Result<(), Violation> {
        note!(self, "the process is told to stop");
        self.node.shards.iter().for_each(|shard| shard.core.inbox.stop());
        for _ in 0..self.rng.random_range(0..6) {
            self.work_off(30)?;
            if self.node.next_deadline().is_some() {
                self.pass();
            }
        }
        let in_flight: usize = self.node.shards.iter().map(|shard| shard.core.in_flight()).sum();
        self.node.shards.iter_mut().for_each(Shard::report);
        while self.node.handle.has_work() && !self.node.failed {
            self.perform(Task::Commit)?;
        }
        let unsettled = self.oracle.deliveries.any_unsettled();
        ensure!(in_flight > 0 || unsettled.is_none(), "a stop lost {unsettled:?}");
        self.crash()
    }

    pub(super) fn look_after(&mut self) {
        let now = self.node.clock.now();
        note!(self, "housekeeping");
        for shard in &self.node.shards {
            let _oldest_ms = housekeeping::retire(&shard.core, now);
        }
    }
}
