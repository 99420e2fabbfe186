//! Jobs: work over many deliveries that outlives its request. Clients call them background tasks.

use crate::dto::status::{BackgroundTaskStatus, MessageStatus, StatusCodeClass, puts_in_line, task_name};
use crate::dto::timestamp::Timestamp;
use control::checks::Checks;
use control::command::job::{Manner, StartAt};
use model::{DeadLetterReason, Failure, Job, JobFilter, Skip, SkipReason, Skipped, Span, UnixMs};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;

/// A span of time to recover or replay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RecoverIn {
    /// From when on messages were taken.
    pub(crate) since: Timestamp,
    /// Until when. Default: when the task begins.
    pub(crate) until: Option<Timestamp>,
    /// Only messages of these types, exact names or `prefix.*`.
    event_types: Option<Vec<String>>,
    /// Only messages with this channel.
    channel: Option<String>,
    /// Only messages with one of these channels.
    channels: Option<Vec<String>>,
    /// Only messages with this tag.
    tag: Option<String>,
    /// Only messages with one of these tags.
    tags: Option<Vec<String>>,
    /// Only deliveries that show this status among the messages of their endpoint.
    status: Option<MessageStatus>,
    /// Only deliveries whose last attempt was answered with a status of this class; 0 for one without an answer.
    status_code_class: Option<StatusCodeClass>,
    /// Deliveries put in line per second, at most. Default: as many as there are.
    #[schema(minimum = 1, maximum = 10000)]
    rate_per_second: Option<u32>,
    /// True: the task counts what it would do, and changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// The task begins then, at most 30 days ahead, and does what it would do if it were asked for then. Default: at once.
    start_at: Option<Timestamp>,
}

impl RecoverIn {
    /// The span of time, for a job that is asked for at `now`.
    pub(crate) fn span(&self, now: UnixMs) -> Span {
        let ends_at = self.start_at.map_or(now, |at| at.0.max(now));
        Span { since: self.since.0, until: self.until.map_or(ends_at, |until| until.0) }
    }

    /// How the job goes about it, for one that is asked for at `now`.
    pub(crate) fn into_manner(self, checks: &mut Checks, now: UnixMs) -> Manner {
        let filter = JobFilter {
            event_types: self.event_types.unwrap_or_default(),
            channels: one_or_many(checks, ("channel", self.channel), ("channels", self.channels)),
            tags: one_or_many(checks, ("tag", self.tag), ("tags", self.tags)),
            status: self.status.map(|MessageStatus(status)| status),
            status_class: self.status_code_class.map(|StatusCodeClass(class)| class),
            ..JobFilter::default()
        };
        let start = start(self.start_at, now);
        Manner { filter: Some(filter), rate_per_s: self.rate_per_second, dry_run: self.dry_run, start }
    }
}

/// The dead letters of an application, or of one endpoint, that a task is about. Those that pass every field.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DeadLettersIn {
    /// Id or uid of the one endpoint that is meant. Default: all.
    pub(crate) endpoint_id: Option<String>,
    /// Only those given up for one of these reasons.
    #[schema(value_type = Option<Vec<String>>)]
    reasons: Option<Vec<Reason>>,
    /// Only messages of these types, exact names or `prefix.*`.
    event_types: Option<Vec<String>>,
    /// Only messages with one of these channels.
    channels: Option<Vec<String>>,
    /// Only messages with one of these tags.
    tags: Option<Vec<String>>,
    /// Only those given up from then on.
    since: Option<Timestamp>,
    /// Only those given up until then.
    until: Option<Timestamp>,
    /// Only those whose last attempt was answered with a status of this class; 0 for one without an answer.
    status_code_class: Option<StatusCodeClass>,
    /// Deliveries put in line (or dead letters removed) per second, at most. Default: as many as there are.
    #[schema(minimum = 1, maximum = 10000)]
    rate_per_second: Option<u32>,
    /// True: the task counts what it would do, and changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// The task begins then, at most 30 days ahead, and does what it would do if it were asked for then. Default: at once.
    start_at: Option<Timestamp>,
}

impl DeadLettersIn {
    /// How the job goes about it, for one that is asked for at `now`.
    pub(crate) fn into_manner(self, now: UnixMs) -> Manner {
        let is_timed = self.since.is_some() || self.until.is_some();
        let span = Span {
            since: self.since.map_or(UnixMs::ZERO, |at| at.0),
            until: self.until.map_or(UnixMs(u64::MAX), |at| at.0),
        };
        let filter = JobFilter {
            event_types: self.event_types.unwrap_or_default(),
            channels: self.channels.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
            reasons: self.reasons.unwrap_or_default().into_iter().map(|Reason(reason)| reason).collect(),
            given_up: is_timed.then_some(span),
            status_class: self.status_code_class.map(|StatusCodeClass(class)| class),
            ..JobFilter::default()
        };
        let start = start(self.start_at, now);
        Manner { filter: Some(filter), rate_per_s: self.rate_per_second, dry_run: self.dry_run, start }
    }
}

/// The messages whose content is to be erased: by exactly one of `tag` and `eventId`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EraseIn {
    /// Messages with this tag.
    tag: Option<String>,
    /// The message with this id of your own.
    event_id: Option<String>,
    /// True: the task counts what it would erase, and erases nothing.
    #[serde(default)]
    dry_run: bool,
    /// The task begins then, at most 30 days ahead, with the messages that are there then. Default: at once.
    start_at: Option<Timestamp>,
}

impl EraseIn {
    /// How the job goes about it, for one that is asked for at `now`.
    pub(crate) fn into_manner(self, now: UnixMs) -> Manner {
        let filter =
            JobFilter { tags: self.tag.into_iter().collect(), event_id: self.event_id, ..JobFilter::default() };
        let start = start(self.start_at, now);
        Manner { filter: Some(filter), rate_per_s: None, dry_run: self.dry_run, start }
    }
}

/// When a task is to begin.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StartIn {
    /// The task begins then, at most 30 days ahead, and does what it would do if it were asked for then. Default: at once.
    start_at: Option<Timestamp>,
}

impl StartIn {
    /// How the job goes about it, for one that is asked for at `now`.
    pub(crate) fn into_manner(self, now: UnixMs) -> Manner {
        Manner { start: start(self.start_at, now), ..Manner::default() }
    }
}

fn start(start_at: Option<Timestamp>, asked_at: UnixMs) -> Option<StartAt> {
    start_at.map(|at| StartAt { at: at.0, asked_at })
}

/// The reason of a dead letter, by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason(pub(crate) DeadLetterReason);

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let found = DeadLetterReason::ALL.into_iter().find(|reason| reason.as_str() == text);
        found.map(Reason).ok_or_else(|| {
            let words = DeadLetterReason::ALL.map(DeadLetterReason::as_str).join(", ");
            D::Error::custom(format!("must be one of {words}"))
        })
    }
}

/// One value under a name of its own, or a list of them.
fn one_or_many(
    checks: &mut Checks,
    (one_name, one): (&str, Option<String>),
    (many_name, many): (&str, Option<Vec<String>>),
) -> Vec<String> {
    if one.is_some() && many.is_some() {
        checks.wrong(&[one_name], format!("cannot be given beside {many_name}"), "value_error.conflict");
    }
    many.unwrap_or_else(|| one.into_iter().collect())
}

/// A job, with its progress.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackgroundTaskOut {
    pub(crate) id: String,
    pub(crate) status: BackgroundTaskStatus,
    /// The nearest of the words that clients know.
    pub(crate) task: &'static str,
    /// The kind of job: `recover`, `replay_missing`, `replay`, `redrive_dead_letters`, `purge_dead_letters`, `erase`,
    /// `purge_endpoint` or `purge_application`.
    kind: &'static str,
    updated_at: Timestamp,
    data: JobProgress,
}

/// The progress of a job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobProgress {
    /// Messages up to this place in the log were looked at.
    position: u64,
    /// The last place that will be looked at.
    last: u64,
    /// Deliveries put back in line, or removed; of `erase`, messages.
    affected: u64,
    /// Deliveries looked at: those in `affected`, in `skipped` and in `failed`.
    looked_at: u64,
    /// Deliveries put back in line; 0 for a task that removes, and for a dry run.
    queued: u64,
    skipped: SkippedOut,
    /// The first deliveries that it left as they are, 20 at most.
    skips: Vec<SkipOut>,
    /// Deliveries that it could not decide about and passed over: something that it needs of them is damaged.
    failed: u64,
    /// The first of those, 20 at most.
    failures: Vec<FailureOut>,
    /// Why the task ended as `failed`.
    error: Option<String>,
    /// It changes nothing: `affected` is what it would do.
    dry_run: bool,
    rate_per_second: Option<u32>,
    created_at: Timestamp,
    /// The time at which it was to begin, if it was not at once.
    start_at: Option<Timestamp>,
}

/// A delivery that a task left as it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SkipOut {
    /// The place of the message in the log.
    position: u64,
    /// The number of the endpoint within its ids; 0 of `erase`.
    endpoint: u32,
    /// `delivered`, `on_its_way`, `given_up` and so on, as in `skipped`.
    reason: &'static str,
}

impl From<&Skip> for SkipOut {
    fn from(skip: &Skip) -> SkipOut {
        SkipOut { position: skip.seq.0, endpoint: skip.endpoint.0, reason: skip.reason.as_str() }
    }
}

/// A delivery that a task could not decide about.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FailureOut {
    /// The place of the message in the log.
    position: u64,
    /// The number of the endpoint within its ids; 0 of `erase`.
    endpoint: u32,
    /// `message_damaged`, or `delivery_damaged` for what is kept of the delivery itself.
    reason: &'static str,
}

impl From<&Failure> for FailureOut {
    fn from(failure: &Failure) -> FailureOut {
        let (position, endpoint) = (failure.seq.0, failure.endpoint.0);
        FailureOut { position, endpoint, reason: failure.reason.as_str() }
    }
}

/// Deliveries that a task left as they are, by reason.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SkippedOut {
    total: u64,
    /// They were delivered.
    delivered: u64,
    /// They wait for their first attempt or for another one.
    on_its_way: u64,
    /// They were tried and given up: `recover` sends them.
    given_up: u64,
    /// The endpoint's filter does not let the message pass now.
    not_matched: u64,
    /// The message was not for the endpoint when it was taken.
    never_for_it: u64,
    /// The attempts are past their retention: whether it was delivered is not known any more.
    history_gone: u64,
    /// The message is past its retention.
    message_gone: u64,
    /// The payload was removed on request.
    payload_gone: u64,
    /// The endpoint was disabled while the task ran.
    endpoint_disabled: u64,
    /// The filter of the task does not name them.
    not_named: u64,
    /// The message is past its own expiry.
    past_expiry: u64,
    /// The message was scheduled, and called off.
    called_off: u64,
}

impl From<&Skipped> for SkippedOut {
    fn from(skipped: &Skipped) -> SkippedOut {
        SkippedOut {
            total: skipped.total(),
            delivered: skipped.of(SkipReason::Delivered),
            on_its_way: skipped.of(SkipReason::OnItsWay),
            given_up: skipped.of(SkipReason::GivenUp),
            not_matched: skipped.of(SkipReason::NotMatched),
            never_for_it: skipped.of(SkipReason::NeverForIt),
            history_gone: skipped.of(SkipReason::HistoryGone),
            message_gone: skipped.of(SkipReason::MessageGone),
            payload_gone: skipped.of(SkipReason::PayloadGone),
            endpoint_disabled: skipped.of(SkipReason::EndpointDisabled),
            not_named: skipped.of(SkipReason::NotNamed),
            past_expiry: skipped.of(SkipReason::PastExpiry),
            called_off: skipped.of(SkipReason::CalledOff),
        }
    }
}

impl From<&Job> for BackgroundTaskOut {
    fn from(job: &Job) -> BackgroundTaskOut {
        BackgroundTaskOut {
            id: job.public_id(),
            status: job.status.into(),
            task: task_name(job.kind),
            kind: job.kind.as_str(),
            updated_at: Timestamp(job.updated_at),
            data: JobProgress {
                position: job.position.0,
                last: job.last.0,
                affected: job.affected,
                looked_at: job.looked_at,
                queued: if puts_in_line(job.kind) && !job.dry_run { job.affected } else { 0 },
                skipped: (&job.skipped).into(),
                skips: job.skips.iter().map(SkipOut::from).collect(),
                failed: job.failed,
                failures: job.failures.iter().map(FailureOut::from).collect(),
                error: job.error.clone(),
                dry_run: job.dry_run,
                rate_per_second: job.rate_per_s,
                created_at: Timestamp(job.created_at),
                start_at: job.start_at.map(Timestamp),
            },
        }
    }
}
