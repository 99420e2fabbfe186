//! The meaning of a seed: the size of the world, its bounds, and the frequency of things that may happen.
//!
//! Every run has its own mixture, with some things left out altogether, so that rare combinations come up. Bounds are
//! tiny, so that an edge in the field is the rule here.

use crate::network::pick;
use engine::EngineConfig;
use engine::retention::Limits;
use model::{ClientErrorPolicy, Jitter, Multiplier, RetryPolicy, Spacing};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use storage::writer::WriterQuotas;

/// Steps of a run, unless asked for otherwise.
pub const STEPS: u32 = 500;

/// Things that can happen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surprise {
    /// A client sends messages.
    Send,
    /// A client repeats a request that it has no answer to.
    SendAgain,
    /// An endpoint is created.
    CreateEndpoint,
    /// An endpoint is changed.
    ChangeEndpoint,
    /// An endpoint is disabled or enabled by hand.
    Toggle,
    /// An endpoint or an application is paused or goes on.
    Pause,
    /// An endpoint gets a backup or loses it, or is switched by hand.
    Failover,
    /// An endpoint is deleted.
    DeleteEndpoint,
    /// An application is deleted, another one created.
    DeleteApplication,
    /// The payload of a message is expunged.
    Expunge,
    /// A scheduled message is called off.
    CallOff,
    /// One delivery is asked for again.
    Resend,
    /// A job over many deliveries begins.
    StartJob,
    /// A job is cancelled.
    CancelJob,
    /// A receiver changes.
    Network,
    /// Every receiver of one application falls silent at once.
    FallSilent,
    /// The next attempts find no connection, lookup or descriptor.
    Lack,
    /// Some milliseconds pass.
    Pass,
    /// Nothing runs for minutes or hours.
    Stall,
    /// The wall clock is set an hour forward or back.
    WallJump,
    /// The process dies.
    Crash,
    /// The process is told to stop, and another one starts.
    Stop,
    /// The next commit fails, and the process dies of it.
    FailApply,
    /// The next reads fail.
    FailReads,
    /// The shard looks after idle actors.
    Housekeeping,
    /// Retention begins a round.
    Retention,
}

/// Every kind with how often it happens when it does at all.
const WEIGHTS: [(Surprise, u32); 26] = [
    (Surprise::Send, 40),
    (Surprise::SendAgain, 4),
    (Surprise::CreateEndpoint, 2),
    (Surprise::ChangeEndpoint, 4),
    (Surprise::Toggle, 3),
    (Surprise::Pause, 4),
    (Surprise::Failover, 4),
    (Surprise::DeleteEndpoint, 1),
    (Surprise::DeleteApplication, 1),
    (Surprise::Expunge, 4),
    (Surprise::CallOff, 2),
    (Surprise::Resend, 6),
    (Surprise::StartJob, 3),
    (Surprise::CancelJob, 1),
    (Surprise::Network, 8),
    (Surprise::FallSilent, 1),
    (Surprise::Lack, 2),
    (Surprise::Pass, 30),
    (Surprise::Stall, 2),
    (Surprise::WallJump, 2),
    (Surprise::Crash, 4),
    (Surprise::Stop, 2),
    (Surprise::FailApply, 2),
    (Surprise::FailReads, 2),
    (Surprise::Housekeeping, 4),
    (Surprise::Retention, 4),
];

/// Days that dead letters are kept, where they are set. The seed says so, and no number that others are drawn after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetterDays {
    /// By every application.
    pub app: Option<u16>,
    /// By every endpoint.
    pub endpoint: Option<u16>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of all of it.
    pub seed: u64,
    /// Steps before everything is to settle.
    pub steps: u32,
    /// Bounds and defaults of the engine.
    pub config: EngineConfig,
    /// Deliveries that may wait in a shard's inbox.
    pub offered_max: usize,
    /// Offers that may wait in a mailbox.
    pub mailbox_max: usize,
    /// Settled deliveries that may wait for the writer.
    pub settled_high_water: usize,
    /// Applications to begin with.
    pub apps: u32,
    /// Endpoints to begin with, of each.
    pub endpoints: u32,
    /// Days that applications and endpoints keep their dead letters.
    pub letter_days: LetterDays,
    /// How many of a hundred messages are scheduled, and how many expire.
    pub timed_percent: (u32, u32),
    /// Frequency of things from outside although there is work, in percent.
    pub surprise_percent: u32,
    /// Things that may happen, with their frequency.
    pub weights: Vec<(Surprise, u32)>,
}

impl LetterDays {
    fn of(seed: u64) -> LetterDays {
        let (app, endpoint) = match seed % 8 {
            3 => (Some(1), None),
            5 => (Some(1), Some(2)),
            7 => (None, Some(1)),
            _ => (None, None),
        };
        LetterDays { app, endpoint }
    }

    /// True if somebody sets days.
    #[must_use]
    pub fn are_set(self) -> bool {
        self.app.or(self.endpoint).is_some()
    }
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Plan {
        let rng = &mut StdRng::seed_from_u64(seed);
        let always = [Surprise::Send, Surprise::Pass, Surprise::Network, Surprise::Housekeeping];
        let mut weights = WEIGHTS.to_vec();
        for (kind, weight) in &mut weights {
            if !always.contains(kind) && rng.random_ratio(2, 5) {
                *weight = 0;
            } else if rng.random_ratio(1, 8) {
                *weight *= 4;
            }
        }
        let config = config(rng);
        let letter_days = LetterDays::of(seed);
        if config.retention == Limits::NONE && !letter_days.are_set() {
            weights.retain(|(kind, _)| *kind != Surprise::Retention);
        }
        Plan {
            seed,
            steps: STEPS,
            config,
            offered_max: *pick(&[1, 4, 64], rng),
            mailbox_max: *pick(&[1, 2, 4, 64], rng),
            settled_high_water: *pick(&[1, 4, 64, 16_384], rng),
            apps: rng.random_range(1..=2),
            endpoints: *pick(&[1, 1, 2, 3, 6], rng),
            letter_days,
            timed_percent: *pick(&[(0, 0), (0, 0), (20, 0), (0, 20), (30, 30)], rng),
            surprise_percent: *pick(&[3, 10, 25], rng),
            weights,
        }
    }

    /// Chooses the next thing that happens from outside.
    pub fn choose(&self, rng: &mut StdRng) -> Surprise {
        let all: u32 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = rng.random_range(0..all.max(1));
        for (kind, weight) in &self.weights {
            if at < *weight {
                return *kind;
            }
            at -= weight;
        }
        Surprise::Pass
    }
}

fn config(rng: &mut StdRng) -> EngineConfig {
    // The server keeps dead letters and notes, so that in the end each delivery can be accounted for.
    let retention = match rng.random_range(0..5) {
        0 => Limits { events_ms: *pick(&[1_000, 60_000, 3_600_000], rng), ..Limits::NONE },
        1 => Limits { bytes: *pick(&[1, 2_000, 8_000], rng), ..Limits::NONE },
        _ => Limits::NONE,
    };
    EngineConfig {
        shards: *pick(&[1, 1, 2, 3], rng),
        retry_policy: policy(rng),
        on_client_error: *pick(&[ClientErrorPolicy::Retry, ClientErrorPolicy::DeadLetter], rng),
        attempt_timeout_ms: *pick(&[100, 1_000, 15_000], rng),
        max_in_flight_per_endpoint: *pick(&[1, 2, 8, 64], rng),
        max_in_flight_per_shard: *pick(&[1, 2, 4, 16, 4_096], rng),
        mailbox_capacity: *pick(&[1, 2, 4, 16, 1_024], rng),
        queue_memory_bytes_per_shard: *pick(&[500, 4_000, 1 << 20], rng),
        retries_in_memory: *pick(&[1, 2, 8, 256], rng),
        disable_after_failing_ms: *pick(&[0, 10_000, 3_600_000, 432_000_000], rng),
        retire_after_idle_ms: *pick(&[100, 30_000], rng),
        response_kept_bytes: 64,
        ingest_queue_capacity: *pick(&[1, 2, 8, 4_096], rng),
        commit_max_events: *pick(&[1, 4, 4_096], rng),
        idempotency_ms: *pick(&[60_000, 86_400_000], rng),
        quotas: WriterQuotas {
            dead_letters: *pick(&[1, 2, 5, 100_000], rng),
            idempotency_keys: *pick(&[2, 10, 1_000_000], rng),
            scheduled_messages: *pick(&[1, 4, 1_000_000], rng),
        },
        retention,
        ..EngineConfig::default()
    }
}

/// Any acceptable retry policy.
pub(crate) fn policy(rng: &mut StdRng) -> RetryPolicy {
    let spacing = match rng.random_range(0..4) {
        0 => return RetryPolicy::standard(),
        1 => Spacing::Fixed { delay_ms: *pick(&[1, 100, 5_000], rng) },
        2 => Spacing::Exponential {
            initial_ms: *pick(&[10, 1_000], rng),
            multiplier: Multiplier { hundredths: *pick(&[100, 150, 200, 1_000], rng) },
        },
        _ => Spacing::Linear { step_ms: *pick(&[10, 3_000], rng) },
    };
    RetryPolicy {
        spacing,
        max_attempts: rng.random_range(1..=6),
        max_delay_ms: *pick(&[1_000, 3_600_000], rng),
        jitter: *pick(&[Jitter::None, Jitter::Proportional, Jitter::Equal, Jitter::Full, Jitter::Additive], rng),
    }
}
