//! Bugs planted in the shells and in the disk: the oracle sees each of them, by the promise that it breaks.

use sim::{Plan, Plant};

/// Seeds tried before a planted bug counts as unseen: one that needs a full mailbox shows in about one of a hundred.
const SEEDS: u64 = 600;

/// Times that a planted bug is looked for.
const ENOUGH: usize = 5;

/// The violations that the first seeds find of a planted bug.
fn seen(plant: Plant) -> Vec<String> {
    let failed = (0..SEEDS).filter_map(|seed| sim::run(Plan::of(seed), Some(plant), false).err());
    failed.map(|failure| failure.violation.0).take(ENOUGH).collect()
}

fn check(plant: Plant, words: &[&str]) {
    let seen = seen(plant);
    assert!(!seen.is_empty(), "nobody saw {plant:?}");
    let named = seen.iter().filter(|violation| words.iter().any(|word| violation.contains(word))).count();
    assert!(named > 0, "{plant:?} was seen, but not for what it is: {seen:#?}");
}

#[test]
fn a_lost_settlement_is_seen() {
    check(Plant::LostSettlement, &["it is not on disk", "is lost", "never ended", "are counted"]);
    check(Plant::LostRetryRow, &["never ended", "is lost", "discarded", "waits for ever", "is not in line"]);
}

#[test]
fn an_early_acknowledgement_is_seen() {
    check(Plant::EarlyAck, &["acknowledged before it was durable"]);
    check(Plant::AckAfterFailure, &["acknowledged before it was durable"]);
}

#[test]
fn a_double_delivery_is_seen() {
    check(Plant::DoubleDelivery, &["after its settlement is durable", "delivered again", "more often"]);
    check(Plant::TwiceInFlight, &["in flight twice"]);
}

#[test]
fn a_leaked_slot_or_place_is_seen() {
    check(
        Plant::LeakedSlot,
        &["in flight", "lost a slot", "never settles", "nothing will", "it is not on disk", "bytes queued"],
    );
    check(Plant::LeakedPlace, &["places as taken"]);
    check(Plant::WrongTenant, &["'s, and"]);
}

#[test]
fn an_attempt_of_an_expunged_event_is_seen() {
    check(Plant::LostExpunge, &["is sent and was expunged"]);
}

#[test]
fn a_schedule_or_an_expiry_that_is_not_kept_is_seen() {
    check(Plant::LostSchedule, &["was due and is not in line"]);
    check(Plant::EarlySchedule, &["before its scheduled time"]);
    check(Plant::LateAttempt, &["after its message has expired"]);
}

#[test]
fn a_lost_timer_is_seen() {
    check(Plant::LostTimer, &["nothing will", "never settles", "bytes queued"]);
}

#[test]
fn a_skipped_event_is_seen() {
    check(Plant::SkippedInCatchUp, &["is lost", "never ended", "is forgotten"]);
    check(Plant::LostOffer, &["is lost", "never ended", "still owes", "is forgotten"]);
}

#[test]
fn a_content_filter_that_is_not_kept_to_is_seen() {
    check(Plant::UnaskedFilter, &["the endpoint never wanted it"]);
    check(Plant::FilterUpsideDown, &["the endpoint never wanted it", "is lost", "never ended", "is forgotten"]);
}

#[test]
fn a_lost_requeue_is_seen() {
    check(Plant::LostRequeue, &["waits for ever", "still owes", "a restart made"]);
}

#[test]
fn a_job_that_looks_past_its_filter_or_its_rate_is_seen() {
    check(Plant::IgnoredFilter, &["says that it put"]);
    check(Plant::IgnoredRate, &["faster than"]);
}

#[test]
fn a_job_that_does_not_keep_to_its_time_is_seen() {
    check(Plant::EarlyJob, &["before its time"]);
    check(Plant::ForgottenJob, &["is pending for ever"]);
}

#[test]
fn a_message_that_an_erasure_spares_is_seen() {
    check(Plant::SparedMessage, &["was to erase"]);
}

#[test]
fn a_pace_for_each_shard_is_seen() {
    check(Plant::PaceOfEachShard, &["its pace is", "in flight at once"]);
}

#[test]
fn a_forgotten_run_of_failed_deliveries_is_seen() {
    check(Plant::LostRun, &["it is not disabled at"]);
}

#[test]
fn an_example_that_is_judged_is_seen() {
    check(Plant::JudgedExample, &["disabled by the answer to an example", "because an example was given up"]);
}

#[test]
fn an_inversion_is_seen() {
    check(Plant::Inversion, &["starts out of order"]);
    check(Plant::UrgentSchedule, &["which has its place"]);
    check(Plant::ForgottenKey, &["which has its place"]);
}

#[test]
fn a_pause_that_is_forgotten_when_a_delivery_is_given_up_is_seen() {
    check(Plant::ForgottenPause, &["was given up and its endpoint is not paused"]);
}

#[test]
fn an_attempt_too_early_or_as_another_is_seen() {
    check(Plant::EarlyRetry, &["before it is due"]);
    check(Plant::WrongId, &["changed its id"]);
}

#[test]
fn a_standing_that_is_not_what_happens_is_seen() {
    check(Plant::ForgottenOrder, &["was ordered"]);
    // Before a restart it shows; at one, everything is offered again.
    check(Plant::LostRouted, &["shows as queued", "after its settlement is durable", "a restart made"]);
    check(Plant::LostCount, &["do not add up"]);
}

#[test]
fn a_pause_that_does_not_hold_or_does_not_end_is_seen() {
    check(Plant::SendsWhilePaused, &["while it is paused"]);
    check(Plant::LostResume, &["is not idle", "still owes", "never ended", "waits for ever", "is forgotten"]);
}

#[test]
fn an_attempt_before_the_receiver_has_proved_anything_is_seen() {
    check(Plant::SendsUnverified, &["paused or unverified"]);
}

#[test]
fn an_attempt_to_the_wrong_side_is_seen() {
    check(Plant::WrongSide, &["which is not of the side"]);
}

#[test]
fn a_dead_letter_that_goes_before_its_days_or_not_after_them_is_seen() {
    check(Plant::LostDays, &["was kept in a round"]);
    check(Plant::EarlySweep, &["was lost and only"]);
}

#[test]
fn a_lost_audit_record_is_seen() {
    check(Plant::LostAudit, &["is not in the audit log"]);
}
