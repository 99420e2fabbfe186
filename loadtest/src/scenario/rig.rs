//! The parts of every scenario with an engine: the engine, a receiver, a ledger, and a driver of the load.

use crate::cli::Options;
use crate::drive::payload::Template;
use crate::drive::{Due, Pace, Push, Pushing, Streams};
use crate::ledger::{Ledger, Promise, Totals};
use crate::measure::{Clock, Interval, Recorder, Sample, Sampler, Usage};
use crate::receive::{Intake, Keys, Manner, Manners, Receiver, Scheme};
use crate::report::Outcome;
use crate::system::{EndpointSpec, Pinion, Provisioner, app_uid};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The parts to set up.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) streams: Streams,
    /// Applications with endpoints that get nothing, beside those.
    pub(super) idle: Option<Streams>,
    /// The number of endpoints that can change their manner: the first ones.
    pub(super) changeable: u32,
    /// Settings of healthy endpoints.
    pub(super) settings: Value,
    /// Settings of endpoints that misbehave.
    pub(super) bad_settings: Value,
    /// True when each application has a backup for its endpoints.
    pub(super) has_backup: bool,
    /// How deliveries are signed.
    pub(super) scheme: Scheme,
    /// The order of arrivals that the engine promises with these settings.
    pub(super) promise: Promise,
    /// Events of one request; `None`: single events.
    pub(super) batch: Option<u32>,
    /// True when connections may break and deliveries arrive twice, as the process is being killed.
    pub(super) is_killed: bool,
}

/// A running setup.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) pinion: Pinion,
    pub(super) ledger: Arc<Ledger>,
    options: Options,
    receiver: Receiver,
    streams: Arc<Streams>,
    recorder: Arc<Recorder>,
    clock: Clock,
    sampler: Sampler,
    progress: ProgressBar,
    run: String,
    batch: Option<u32>,
    is_killed: bool,
    /// Toggles the manner of the changeable endpoints so often.
    pub(super) flap_ms: Option<u64>,
    mishaps: (u64, u64),
}

impl Setup {
    /// Healthy endpoints, single events.
    pub(super) fn healthy(streams: Streams) -> Setup {
        let (settings, bad_settings) = (json!({}), json!({}));
        Setup {
            streams,
            idle: None,
            changeable: 0,
            settings,
            bad_settings,
            has_backup: false,
            scheme: Scheme::Standard,
            promise: Promise::None,
            batch: None,
            is_killed: false,
        }
    }
}

impl Rig {
    /// Starts everything and creates applications and endpoints.
    ///
    /// # Errors
    /// When something does not start.
    pub(super) fn start(options: &Options, setup: Setup) -> anyhow::Result<Rig> {
        let pinion = Pinion::start(options)?;
        let (clock, streams) = (Clock::start(), Arc::new(setup.streams));
        let promise = if options.ordered { Promise::Numbers } else { setup.promise };
        let ledger = Arc::new(Ledger::new(Arc::clone(&streams), promise));
        let lanes = options.receiver_threads as usize + 1;
        let recorder = Arc::new(Recorder::new(lanes));
        let intake = Intake {
            clock,
            streams: Arc::clone(&streams),
            ledger: Arc::clone(&ledger),
            recorder: Arc::clone(&recorder),
            manners: Manners::healthy(setup.changeable as usize),
            keys: Keys::new(setup.scheme),
            verify_every: options.verify_every,
            arrivals: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        };
        // Endpoints that misbehave are at a port of their own, as they would be at a host of their own.
        let second = SocketAddr::new(options.receiver_listen.ip(), 0);
        let listen = [options.receiver_listen, second];
        let receiver = Receiver::start(&listen, options.receiver, options.receiver_threads, Arc::new(intake))?;
        let mut settings = setup.settings;
        if options.ordered {
            settings["maxInFlight"] = json!(1);
        }
        let receivers = [receiver.addresses()[0], receiver.addresses()[1]];
        let (bad_settings, has_backup) = (setup.bad_settings, setup.has_backup);
        let spec = EndpointSpec { receivers, settings, bad_settings, has_backup };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = format!("loadtest-{}", now.as_millis());
        let progress = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?);
        for (streams, run) in
            [(Some(Arc::clone(&streams)), run.clone()), (setup.idle.map(Arc::new), format!("{run}-idle"))]
        {
            let Some(streams) = streams else { continue };
            progress.set_message(format!("creating {} endpoints", streams.endpoints()));
            progress.tick();
            Provisioner::new(pinion.access(), streams, spec.clone(), run).create_all()?;
        }
        let sampler = Sampler::new(clock, Arc::clone(&ledger), Arc::clone(&recorder));
        Ok(Rig {
            pinion,
            ledger,
            options: options.clone(),
            receiver,
            streams,
            recorder,
            clock,
            sampler,
            progress,
            run,
            batch: setup.batch,
            is_killed: setup.is_killed,
            flap_ms: None,
            mishaps: (0, 0),
        })
    }

    /// Changes the manner of all endpoints that can change it.
    pub(super) fn set_manner(&self, manner: Manner) {
        self.receiver.intake().manners.set_all(manner);
    }

    /// Begins to push.
    ///
    /// # Errors
    /// When there are no threads.
    pub(super) fn push(&self, pace: Pace) -> anyhow::Result<Pushing> {
        self.push_due(pace, None)
    }

    /// Begins to push events that are scheduled.
    ///
    /// # Errors
    /// When there are no threads.
    pub(super) fn push_due(&self, pace: Pace, due: Option<Due>) -> anyhow::Result<Pushing> {
        let (payload_len, has_key) = (self.options.payload_bytes as usize, self.streams.keys() > 0);
        let push = Push {
            clock: self.clock,
            ledger: Arc::clone(&self.ledger),
            recorder: Arc::clone(&self.recorder),
            lane: self.options.receiver_threads as usize,
            streams: Arc::clone(&self.streams),
            access: self.pinion.access().clone(),
            run: self.run.clone(),
            template: Template::new(payload_len, has_key, due),
            batch: self.batch,
            connections: if self.options.ordered { 1 } else { self.options.connections },
            may_break: self.is_killed,
        };
        Pushing::start(Arc::new(push), pace)
    }

    /// The times of events that are pushed next: the first is due in `lead`, each of the others `every` later.
    pub(super) fn due(&self, lead: Duration, every: Duration) -> Due {
        Due::new(self.clock, lead, every, self.ledger.next_number())
    }

    /// The uid of an application.
    pub(super) fn app(&self, stream: u32) -> String {
        app_uid(&self.run, stream)
    }

    /// Pushes for the time of a warm-up and for `seconds`; returns the sums of the latter.
    ///
    /// # Errors
    /// When pushing failed.
    pub(super) fn drive(&mut self, what: &str, pace: Pace, seconds: f64) -> anyhow::Result<Interval> {
        let pushing = self.push(pace)?;
        let warmup = self.options.warmup;
        self.watch(&format!("{what}, warming up"), |elapsed, _, _| {
            elapsed.as_secs_f64() >= warmup || pushing.is_over()
        });
        let interval = self.watch(what, |elapsed, _, _| elapsed.as_secs_f64() >= seconds || pushing.is_over());
        self.end(pushing)?;
        Ok(interval)
    }

    /// Ends pushing.
    ///
    /// # Errors
    /// When it failed.
    pub(super) fn end(&mut self, pushing: Pushing) -> anyhow::Result<()> {
        let (busy, broken) = pushing.stop().with_context(|| format!("pushing failed{}", self.pinion.end_of_log()))?;
        self.mishaps = (self.mishaps.0 + busy, self.mishaps.1 + broken);
        Ok(())
    }

    /// Watches until `is_over`, asked four times a second.
    pub(super) fn watch(
        &mut self,
        what: &str,
        mut is_over: impl FnMut(Duration, &Sample, &Totals) -> bool,
    ) -> Interval {
        let (progress, flap_ms) = (self.progress.clone(), self.flap_ms);
        let manners = &self.receiver.intake().manners;
        self.sampler.watch(self.pinion.pid(), |elapsed, sample, totals| {
            if let Some(period_ms) = flap_ms {
                let is_down = (elapsed.as_millis() as u64 / period_ms.max(1)).is_multiple_of(2);
                manners.set_all(if is_down { Manner::Down } else { Manner::Healthy });
            }
            progress.tick();
            progress.set_message(format!(
                "{what}: {:.0} s, {} accepted, {} delivered, {:.0}/s, p99 {:.1} ms, {:.0} MiB",
                elapsed.as_secs_f64(),
                totals.acked,
                totals.received,
                sample.delivered_per_s,
                sample.p99_ms,
                sample.resident_mib
            ));
            is_over(elapsed, sample, totals)
        })
    }

    /// Waits until nothing is missing, or nothing has arrived for `patience_s` (at least the time in the options).
    pub(super) fn settle(&mut self, patience_s: f64) -> Interval {
        let patience = Duration::from_secs_f64(self.options.settle_seconds.max(patience_s).clamp(0.0, 86_400.0));
        let ledger = Arc::clone(&self.ledger);
        let mut last = (Duration::ZERO, 0);
        self.watch("settling", |elapsed, _, totals| {
            if totals.received != last.1 {
                last = (elapsed, totals.received);
            }
            let may_be_all = totals.healthy >= totals.healthy_owed;
            elapsed - last.0 > patience || may_be_all && ledger.missing() == 0
        })
    }

    /// Resident memory of the engine now, in MiB; not a number when it is not known.
    pub(super) fn resident_mib(&self) -> f64 {
        let usage = self.pinion.pid().and_then(Usage::of);
        usage.map_or(f64::NAN, |usage| usage.resident_bytes as f64 / 1048576.0)
    }

    /// Closes the book and completes the outcome.
    pub(super) fn finish(self, mut outcome: Outcome) -> Outcome {
        if let Some(usage) = self.pinion.pid().and_then(Usage::of) {
            let mib = |bytes: u64| bytes as f64 / 1048576.0;
            outcome.fact("resident_mib", "resident memory of the engine, at the end", mib(usage.resident_bytes), "MiB");
            let most_mib = mib(usage.resident_max_bytes);
            outcome.fact("resident_max_mib", "resident memory of the engine, max", most_mib, "MiB");
        }
        let connections = self.receiver.intake().connections.load(Relaxed) as f64;
        outcome.fact("connections", "connections opened by the engine, whole run", connections, "");
        if self.mishaps.0 > 0 {
            outcome.fact("busy", "requests refused as busy and sent again", self.mishaps.0 as f64, "");
        }
        if self.mishaps.1 > 0 {
            outcome.fact("broken", "requests whose connection broke", self.mishaps.1 as f64, "");
        }
        self.progress.finish_and_clear();
        // Nothing may arrive any more while the book is closed.
        drop(self.pinion);
        drop(self.receiver);
        outcome.account = self.ledger.account();
        outcome.complaints = outcome.account.complaints(self.is_killed);
        outcome.samples = self.sampler.into_samples();
        outcome
    }
}
