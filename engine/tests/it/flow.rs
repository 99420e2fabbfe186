//! The whole flow in one process: a message goes in, a signed request comes out, and the stored rows say so.

use crate::world::World;
use model::{DeadLetterReason, Seq};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_arrives_once_and_leaves_nothing_outstanding() {
    let world = World::start().await;
    let endpoint = world.endpoint(&[]).await;
    let seqs = world.push(2_000).await;
    world.receiver.wait_for(SOON, |seen| seen.len() >= seqs.len()).await;
    world.until(SOON, || !world.has_outstanding(endpoint)).await;
    let seen = world.receiver.seen();
    assert_eq!(seen.len(), seqs.len(), "one request for each");
    assert_eq!(seen.values().filter(|times| **times != 1).count(), 0, "each once");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_delivers_what_was_not_and_repeats_nothing_that_was() {
    let mut world = World::start().await;
    let endpoint = world.endpoint(&[]).await;
    world.push(500).await;
    world.receiver.wait_for(SOON, |seen| seen.len() == 500).await;
    world.until(SOON, || !world.has_outstanding(endpoint)).await;
    world.receiver.answer(503);
    world.push(500).await;
    world.receiver.wait_for(SOON, |seen| seen.len() > 500).await;
    world.stop().await;
    world.receiver.answer(200);
    world.restart().await;
    world.receiver.wait_for(SOON, |seen| seen.len() == 1_000).await;
    let repeated = world.receiver.seen().values().filter(|times| **times > 1).count();
    assert!(repeated <= 64 + 16, "{repeated} were tried before the stop and again after it");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_far_beyond_the_mailbox_is_read_from_disk() {
    let world = World::start().await;
    world.receiver.hold(true);
    let endpoint = world.endpoint(&[]).await;
    world.push(6_000).await;
    world.receiver.hold(false);
    world.receiver.wait_for(SOON, |seen| seen.len() == 6_000).await;
    world.until(SOON, || !world.has_outstanding(endpoint)).await;
    assert!(world.receiver.seen().values().all(|times| *times == 1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_disables_gives_up_and_is_redriven_by_hand() {
    let world = World::start().await;
    world.receiver.answer(410);
    let endpoint = world.endpoint(&[]).await;
    let seqs = world.push(1).await;
    world.until(SOON, || world.dead_letter(endpoint, seqs[0]) == Some(DeadLetterReason::Gone)).await;
    world.until(SOON, || world.is_disabled(endpoint)).await;
    let later = world.push(1).await;
    world.receiver.answer(200);
    world.enable(endpoint).await;
    world.requeue(endpoint, seqs[0]).await;
    let last = world.push(1).await;
    world.receiver.wait_for(SOON, |seen| seen.len() == 2).await;
    assert_eq!(world.receiver.seen().get(&world.message_id(later[0])), None, "sent while it was disabled");
    assert_eq!(world.receiver.seen().get(&world.message_id(last[0])), Some(&1));
    world.until(SOON, || world.dead_letter(endpoint, seqs[0]).is_none()).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_first_try_is_retried_by_the_schedule() {
    let world = World::start().await;
    world.receiver.answer(500);
    let endpoint = world.endpoint(&[100]).await;
    let seqs = world.push(1).await;
    world.receiver.wait_for(SOON, |seen| !seen.is_empty()).await;
    world.receiver.answer(200);
    world.receiver.wait_for(SOON, |seen| seen.values().sum::<usize>() == 2).await;
    world.until(SOON, || !world.has_outstanding(endpoint)).await;
    assert_eq!(world.dead_letter(endpoint, Seq(seqs[0].0)), None);
    assert_eq!(world.attempts(endpoint, seqs[0]), [500, 200]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_s_pace_is_kept_by_its_endpoints_also_when_it_changes_while_they_work() {
    let world = World::start().await;
    world.endpoint(&[]).await;
    world.push(1).await;
    world.receiver.wait_for(SOON, |seen| seen.len() == 1).await;
    world.pace(20).await;
    // Told through the shard's inbox, before whatever is offered after it.
    let started = Instant::now();
    world.push(30).await;
    world.receiver.wait_for(SOON, |seen| seen.len() == 31).await;
    // 3 may go at once, 27 wait for their turn at 20 a second.
    assert!(started.elapsed() >= Duration::from_millis(1_300), "{:?}", started.elapsed());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_is_paced_as_a_whole_over_endpoints_of_two_shards() {
    const PER_S: u32 = 20;
    let world = World::start().await;
    world.pace(PER_S).await;
    let mut shards = std::collections::BTreeSet::new();
    for _ in 0..3 {
        shards.insert(engine::router::shard_of(world.endpoint(&[]).await, 2));
    }
    assert_eq!(shards.len(), 2, "its endpoints live on both");
    let started = Instant::now();
    world.push(20).await;
    // 3 may go at once, 57 wait for their turn at 20 a second.
    world.receiver.wait_for(SOON, |seen| seen.values().sum::<usize>() == 60).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(2_800), "three times the rate: {took:?}");
    assert!(took < Duration::from_millis(6_000), "much of the rate went unused: {took:?}");
    world.stop().await;
}
