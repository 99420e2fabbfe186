//! Jobs: `number`, in the order of creation.

use super::key::key;
use super::value::{Field, Malformed, Reader, fields, value, variants};
use model::{
    DeliveryStatus, Failure, FailureReason, Job, JobFilter, JobKind, JobStatus, LetterPlace, Skip, SkipReason, Skipped,
    Span,
};

key!(Job: (number: u32));
value!(Job: Job, version 3);

fields!(Job {
    number,
    target,
    kind,
    status,
    position,
    last,
    affected,
    created_at,
    updated_at,
    looked_at,
    skipped,
    filter since 2,
    rate_per_s since 2,
    dry_run since 2,
    resume_at since 2,
    letter since 2,
    skips since 2,
    start_at since 3,
    failed since 3,
    failures since 3,
    error since 3,
});

fields!(JobFilter { event_types, channels, tags, reasons, given_up, status, status_class, event_id since 3 });
fields!(LetterPlace { at, endpoint, seq });
fields!(Skip { endpoint, seq, reason });
fields!(Failure { endpoint, seq, reason });
variants!(FailureReason { 0 = MessageDamaged, 1 = DeliveryDamaged });
variants!(DeliveryStatus { 0 = Success, 1 = Pending, 2 = Fail, 3 = Sending, 4 = Canceled });
variants!(SkipReason {
    0 = Delivered,
    1 = OnItsWay,
    2 = GivenUp,
    3 = NotMatched,
    4 = NeverForIt,
    5 = HistoryGone,
    6 = MessageGone,
    7 = PayloadGone,
    8 = EndpointDisabled,
    9 = NotNamed,
    10 = PastExpiry,
    11 = CalledOff,
});

fields!(Span { since, until });

variants!(JobKind {
    0 = Recover(span),
    1 = ReplayMissing(span),
    2 = Replay(span),
    3 = RedriveDeadLetters,
    4 = PurgeDeadLetters,
    5 = PurgeEndpoint,
    6 = PurgeApplication,
    7 = Erase,
});
variants!(JobStatus { 0 = Running, 1 = Finished, 2 = Failed, 3 = Cancelled, 4 = Pending });

/// The reasons in the order in which a row counts them. Persisted: a new one goes to the end.
const SKIP_REASONS: [SkipReason; 12] = [
    SkipReason::Delivered,
    SkipReason::OnItsWay,
    SkipReason::GivenUp,
    SkipReason::NotMatched,
    SkipReason::NeverForIt,
    SkipReason::HistoryGone,
    SkipReason::MessageGone,
    SkipReason::PayloadGone,
    SkipReason::EndpointDisabled,
    SkipReason::NotNamed,
    SkipReason::PastExpiry,
    SkipReason::CalledOff,
];

/// A list of counts by reason; reasons at the end that count nothing are left out.
impl Field for Skipped {
    fn put(&self, out: &mut Vec<u8>) {
        let mut counts = SKIP_REASONS.map(|reason| self.of(reason)).to_vec();
        counts.truncate(counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        counts.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Skipped, Malformed> {
        let counts = Vec::<u64>::take(from)?;
        if counts.len() > SKIP_REASONS.len() {
            return Err(Malformed("an unknown reason"));
        }
        let mut skipped = Skipped::default();
        SKIP_REASONS.into_iter().zip(counts).for_each(|(reason, count)| skipped.add(reason, count));
        Ok(skipped)
    }

    #[cfg(test)]
    fn any(source: &mut super::value::testing::Source) -> Skipped {
        let mut skipped = Skipped::default();
        for _ in 0..source.below(4) {
            skipped.add(SKIP_REASONS[source.below(SKIP_REASONS.len())], source.number());
        }
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place() {
        assert_eq!(SKIP_REASONS, SkipReason::ALL);
    }
}
