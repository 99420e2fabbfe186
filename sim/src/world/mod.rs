//! The world of one run: a process, its disk, its network, its clients, and what happens to them step by step.
//!
//! ```text
//! run ─▶ steps: something of the process, or a surprise ─▶ finale: all is well, time passes ─▶ a restart finds nothing to do
//! ```

mod finale;
mod jobs;
mod requests;
mod steps;
mod surprises;

use crate::client::Clients;
use crate::disk::Disk;
use crate::network::Network;
use crate::node::{Flight, Node, Task};
use crate::oracle::{Oracle, Violation};
use crate::plan::Plan;
use crate::plant::Plant;
use crate::time::Time;
use crate::trace::Trace;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Over everything that happened.
    pub hash: u64,
    /// Things that happened.
    pub lines: u64,
    /// Times the process died.
    pub crashes: u32,
    /// Events that clients were told are accepted.
    pub acknowledged: u64,
    /// Attempts made.
    pub attempts: u64,
}

/// A run that broke a promise.
#[derive(Clone, Debug, thiserror::Error)]
#[error("seed {seed}, step {step}: {violation}")]
pub struct Failure {
    /// The seed that replays it.
    pub seed: u64,
    /// The step it showed at; the number of steps when it was in the finale.
    pub step: u32,
    /// The promise.
    pub violation: Violation,
    /// The last lines of the trace.
    pub last: Vec<String>,
}

/// Runs a plan to its end, with a planted bug, if any.
///
/// # Errors
/// The first promise that was broken.
pub fn run(plan: Plan, plant: Option<Plant>, print: bool) -> Result<Report, Box<Failure>> {
    let seed = plan.seed;
    let fail = |step, violation, trace: Option<&Trace>| {
        let last = trace.map(|trace| trace.last().map(str::to_owned).collect()).unwrap_or_default();
        Box::new(Failure { seed, step, violation, last })
    };
    let steps = plan.steps;
    let mut world = World::new(plan, plant, print).map_err(|violation| fail(0, violation, None))?;
    for step in 0..steps {
        world.step().map_err(|violation| fail(step, violation, Some(&world.trace)))?;
    }
    world.finale().map_err(|violation| fail(steps, violation, Some(&world.trace)))?;
    Ok(Report {
        hash: world.trace.hash(),
        lines: world.trace.lines(),
        crashes: world.crashes,
        acknowledged: world.oracle.ledger.acknowledged,
        attempts: world.attempts,
    })
}

/// Everything there is.
struct World {
    plan: Plan,
    plant: Option<Plant>,
    rng: StdRng,
    time: Time,
    node: Node,
    network: Network,
    clients: Clients,
    oracle: Oracle,
    trace: Trace,
    tasks: Vec<Task>,
    crashes: u32,
    attempts: u64,
    /// Opportunities of a planted bug so far.
    chances: u32,
    /// The finale has begun.
    calm: bool,
}

/// Writes a line of the trace, with the time by the engine's clock.
macro_rules! note {
    ($world:expr, $($words:tt)+) => {{
        let now = $crate::oracle::at($world.node.clock.now());
        $world.trace.line(format_args!("{now:>8} {}", format_args!($($words)+)));
    }};
}
use note;

impl World {
    fn new(plan: Plan, plant: Option<Plant>, print: bool) -> Result<World, Violation> {
        // Another stream than the one that made the plan.
        let mut rng = StdRng::seed_from_u64(plan.seed ^ 0x5EED_57E9);
        let time = Time::default();
        let node = Node::start(Arc::new(Disk::new(plant)), &plan, plant, &time, &mut rng)?;
        let mut world = World {
            oracle: Oracle::new(&plan.config),
            plan,
            plant,
            rng,
            time,
            node,
            network: Network::default(),
            clients: Clients::default(),
            trace: Trace::new(print),
            tasks: Vec::new(),
            crashes: 0,
            attempts: 0,
            chances: 0,
            calm: false,
        };
        for _ in 0..world.plan.apps {
            world.create_application();
        }
        world.work_off(1_000)?;
        Ok(world)
    }

    /// The smallest thing that happens at once.
    fn step(&mut self) -> Result<(), Violation> {
        self.node.clock.set(&self.time);
        let mut tasks = std::mem::take(&mut self.tasks);
        self.node.tasks(&self.time, &mut tasks);
        let surprise = tasks.is_empty() || self.rng.random_ratio(self.plan.surprise_percent, 100);
        let chosen = if surprise { None } else { Some(tasks[self.rng.random_range(0..tasks.len())]) };
        self.tasks = tasks;
        match chosen {
            Some(task) => self.perform(task)?,
            None => {
                let surprise = self.plan.choose(&mut self.rng);
                self.happen(surprise)?;
            }
        }
        self.answer_clients()
    }

    /// Does what there is to do, at most so many steps of it, without time passing.
    fn work_off(&mut self, steps: u32) -> Result<(), Violation> {
        for _ in 0..steps {
            self.node.clock.set(&self.time);
            let mut tasks = std::mem::take(&mut self.tasks);
            self.node.tasks(&self.time, &mut tasks);
            let chosen = (!tasks.is_empty()).then(|| tasks[self.rng.random_range(0..tasks.len())]);
            self.tasks = tasks;
            let Some(task) = chosen else { break };
            self.perform(task)?;
            self.answer_clients()?;
        }
        Ok(())
    }

    /// The process dies with everything in memory, and another one starts from the disk.
    fn crash(&mut self) -> Result<(), Violation> {
        self.crashes += 1;
        let (flights, clock) = (self.flights_in_words(), self.node.clock.now());
        note!(self, "CRASH with {flights} in flight");
        let shards = &self.node.shards;
        self.oracle.crashed(shards.iter().flat_map(|shard| shard.flights().collect::<Vec<&Flight>>()));
        self.clients.cut_off();
        let disk = Arc::new(self.node.disk.restart());
        self.node = Node::start(disk, &self.plan, self.plant, &self.time, &mut self.rng)?;
        note!(self, "started; the clock showed {}", crate::oracle::at(clock));
        Ok(())
    }

    fn flights_in_words(&self) -> usize {
        self.node.shards.iter().map(|shard| shard.flights().count()).sum()
    }
}
