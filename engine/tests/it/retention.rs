//! Retention while messages flow: removed events are gone, interrupted deliveries are told, and nothing else notices.

use crate::world::World;
use engine::EngineConfig;
use engine::retention::Limits;
use model::{DeadLetterReason, Seq};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Events for so long, the rest for ever.
fn events_for(ms: u64) -> Limits {
    Limits { events_ms: ms, ..EngineConfig::default().retention }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_removed_event_becomes_a_dead_letter() {
    let world = World::retaining(events_for(600)).await;
    world.receiver.answer(500);
    let endpoint = world.endpoint(&[60_000]).await;
    let seqs = world.push(3).await;
    world.receiver.wait_for(SOON, |seen| seen.len() == 3).await;
    world.until(SOON, || world.begin() == Seq(4)).await;
    for seq in seqs {
        world.until(SOON, || world.dead_letter(endpoint, seq) == Some(DeadLetterReason::Expired)).await;
        assert!(!world.waits(endpoint, seq));
        world.until(SOON, || world.attempts(endpoint, seq).is_empty()).await;
    }
    world.until(SOON, || !world.has_outstanding(endpoint)).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_behind_the_beginning_goes_on_there_and_says_what_it_missed() {
    let mut world = World::retaining(events_for(700)).await;
    world.receiver.hold(true);
    let endpoint = world.endpoint(&[]).await;
    world.push(3_000).await;
    world.until(SOON, || world.begin() == Seq(3_001)).await;
    world.receiver.hold(false);
    world.until(SOON, || world.expired(endpoint).is_some() && !world.has_outstanding(endpoint)).await;
    let expired = world.expired(endpoint).unwrap();
    assert_eq!(expired.last, Seq(3_000));
    assert_eq!(world.receiver.seen().len() as u64 + expired.positions, 3_000, "each was delivered or is noted");
    // The log is empty; its positions go on all the same, also after a restart.
    assert_eq!(world.push(1).await, [Seq(3_001)]);
    world.until(SOON, || world.begin() == Seq(3_002)).await;
    world.stop().await;
    world.restart().await;
    assert_eq!(world.push(1).await, [Seq(3_002)]);
    world.receiver.wait_for(SOON, |seen| seen.len() as u64 + expired.positions == 3_002).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_over_an_emptied_log_ends_what_was_owed() {
    let mut world = World::retaining(events_for(700)).await;
    world.receiver.hold(true);
    let endpoint = world.endpoint(&[]).await;
    world.push(1_000).await;
    world.until(SOON, || world.begin() == Seq(1_001)).await;
    world.stop().await;
    world.restart().await;
    world.until(SOON, || world.expired(endpoint).is_some() && !world.has_outstanding(endpoint)).await;
    let expired = world.expired(endpoint).unwrap();
    let letters = (1..=1_000).filter(|seq| world.dead_letter(endpoint, Seq(*seq)).is_some()).count() as u64;
    assert_eq!(letters + expired.positions, 1_000, "none was delivered");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_bytes_take_the_oldest_events_and_leave_the_newest() {
    let world = World::retaining(Limits { bytes: 64 << 10, ..EngineConfig::default().retention }).await;
    let endpoint = world.endpoint(&[]).await;
    let seqs = world.push(5_000).await;
    world.receiver.wait_for(SOON, |seen| seen.len() + world.missed(endpoint) as usize == seqs.len()).await;
    world.until(SOON, || world.retained_bytes() <= 64 << 10).await;
    assert!(world.begin() > Seq(1) && world.begin() <= seqs[seqs.len() - 1], "from {}", world.begin());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_deleted_application() {
    let world = World::retaining(events_for(0)).await;
    let endpoint = world.endpoint(&[]).await;
    let failing = world.endpoint(&[60_000]).await;
    world.push(500).await;
    world.receiver.wait_for(SOON, |seen| seen.values().sum::<usize>() == 1_000).await;
    world.receiver.answer(500);
    world.push(100).await;
    world.until(SOON, || world.has_outstanding(failing) && world.has_outstanding(endpoint)).await;
    assert!(world.rows() > 0 && world.retained_bytes() > 0);
    world.delete_application().await;
    world.until(SOON, || world.rows() == 0).await;
    assert_eq!(world.retained_bytes(), 0);
    world.stop().await;
}
