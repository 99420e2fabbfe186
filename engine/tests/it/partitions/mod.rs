//! Four partitions in one process, with lanes on the same shard threads.
//!
//! Each is stopped, started and failed alone, and the others go on acknowledging and delivering.

mod store;

use crate::world::{APP, Counting, app, message, row, secret};
use engine::seal::MasterKey;
use engine::{ChangeError, EngineConfig, IngestOutcome, Node, OpenError, Partition, PartitionId};
use model::{EndpointRef, Jitter, RetryPolicy, Spacing};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::StoreError;
use storage::tables::{application, counter, endpoint};
use storage::writer::Failure;
use store::Bed;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

const SOON: Duration = Duration::from_secs(60);

/// Endpoints of each partition: enough to have some on each shard thread.
const ENDPOINTS: usize = 4;

/// Messages that each of the others must acknowledge and deliver once one has ended.
const MORE: usize = 30;

/// One partition with a tenant that pushes all the time, and its receiver.
struct Tenant {
    id: PartitionId,
    bed: Bed,
    /// None while it is stopped, so that its store can be opened again.
    partition: Option<Partition>,
    receiver: Counting,
    /// Message ids that were acknowledged.
    acked: Arc<Mutex<BTreeSet<String>>>,
    pusher: JoinHandle<()>,
}

impl Tenant {
    async fn start(node: &Node, id: u16, bed: Bed) -> Tenant {
        let (id, receiver) = (PartitionId(id), Counting::start().await);
        let partition = Partition::open(node, id, bed.store()).unwrap();
        let (url, sealer) = (format!("http://{}/", receiver.address), partition.clone());
        let created = partition.change(move |txn| {
            let app_id = counter::next_app_id(txn)?;
            application::put(txn, &app(app_id))?;
            for _ in 0..ENDPOINTS {
                let id = counter::next_endpoint_id(txn)?;
                let target = EndpointRef { app: app_id, endpoint: id };
                endpoint::put(txn, &row(id, url.clone(), Some(retry_soon()), secret(&sealer, target)))?;
            }
            Ok(())
        });
        created.await.map_err(|error: ChangeError<StoreError>| error.to_string()).unwrap();
        let acked = Arc::default();
        let pusher = tokio::spawn(push(partition.clone(), Arc::clone(&acked)));
        Tenant { id, bed, partition: Some(partition), receiver, acked, pusher }
    }

    /// Stops the partition, whose pusher ends when it is refused.
    async fn stop(&mut self) {
        let partition = self.partition.take().unwrap();
        partition.stop().await;
        (&mut self.pusher).await.unwrap();
        assert!(!partition.ready());
    }

    /// Starts it again on what [`Bed`] has now.
    async fn open(&mut self, node: &Node) {
        let partition = Partition::open(node, self.id, self.bed.store()).unwrap();
        self.pusher = tokio::spawn(push(partition.clone(), self.acked.clone()));
        self.partition = Some(partition);
    }

    /// The failure that ended it.
    async fn failed(&self) -> Failure {
        tokio::time::timeout(SOON, self.partition.as_ref().unwrap().failed()).await.unwrap()
    }

    fn acked(&self) -> usize {
        self.acked.lock().unwrap().len()
    }

    fn requests(&self) -> usize {
        self.receiver.seen().values().sum()
    }

    /// Acknowledges and delivers more than it has.
    async fn goes_on(&self) {
        let acked = self.acked() + MORE;
        let seen = self.receiver.seen().len() + MORE;
        self.receiver.wait_for(SOON, |all| all.len() >= seen && self.acked() >= acked).await;
    }

    /// All that was acknowledged is delivered.
    async fn delivers_all(&self) {
        let acked = self.acked.lock().unwrap().clone();
        self.receiver.wait_for(SOON, |seen| acked.iter().all(|id| seen.contains_key(id))).await;
    }
}

/// A busy machine fails attempts too: these are made again while a test still waits.
fn retry_soon() -> RetryPolicy {
    RetryPolicy {
        spacing: Spacing::Schedule { delays_ms: vec![100; 30] },
        max_attempts: 31,
        max_delay_ms: 60_000,
        jitter: Jitter::None,
    }
}

/// Pushes until the partition takes nothing more.
async fn push(partition: Partition, acked: Arc<Mutex<BTreeSet<String>>>) {
    // Slow enough for a busy machine to keep up with all four.
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let Ok(outcomes) = partition.ingest(APP, vec![message()]).await else { return };
        let ids = outcomes.into_iter().map(|outcome| match outcome {
            IngestOutcome::Accepted(event) => event.message_id(),
            other => panic!("{other:?}"),
        });
        acked.lock().unwrap().extend(ids);
    }
}

fn node() -> Node {
    let config = EngineConfig {
        shards: 2,
        allow_targets: vec!["127.0.0.0/8".parse().unwrap()],
        drain_timeout_ms: 300,
        retention_period_ms: 50,
        ..EngineConfig::default()
    };
    Node::start(config, MasterKey::new([3; 32])).unwrap()
}

async fn all_go_on(tenants: &[Tenant], but: usize) {
    for (index, tenant) in tenants.iter().enumerate().filter(|(index, _)| *index != but) {
        assert!(tenant.partition.as_ref().unwrap().ready(), "{index}");
        tenant.goes_on().await;
    }
}

async fn four(node: &Node, bed: impl Fn() -> Bed) -> Vec<Tenant> {
    let mut tenants = Vec::new();
    for id in 0..4 {
        tenants.push(Tenant::start(node, id, bed()).await);
    }
    tenants
}

async fn each_stops_starts_and_fails_alone(bed: impl Fn() -> Bed) {
    let node = node();
    let mut tenants = four(&node, bed).await;
    each_stops_and_starts_alone(&node, &mut tenants).await;
    each_fails_alone(&node, &mut tenants).await;
    end(&node, &mut tenants).await;
}

/// One after the other is stopped, with attempts in flight, and started again.
async fn each_stops_and_starts_alone(node: &Node, tenants: &mut [Tenant]) {
    for one in 0..tenants.len() {
        tenants[one].receiver.hold(true);
        tenants[one].stop().await;
        tenants[one].receiver.hold(false);
        all_go_on(tenants, one).await;
        tenants[one].bed.reopen();
        tenants[one].open(node).await;
        tenants[one].goes_on().await;
    }
}

/// One after the other fails: it ends, sends nothing more, and goes on where it was once it is opened again.
async fn each_fails_alone(node: &Node, tenants: &mut [Tenant]) {
    for one in 0..tenants.len() {
        tenants[one].bed.fail();
        let failure = tenants[one].failed().await;
        assert!(matches!(&failure, Failure::Failed(reason) if reason.contains("injected")), "{failure:?}");
        assert!(matches!(Partition::open(node, tenants[one].id, tenants[one].bed.store()), Err(OpenError::InUse(_))));
        tenants[one].stop().await;
        sends_nothing(tenants, one).await;
        tenants[one].bed.reopen();
        tenants[one].open(node).await;
        tenants[one].goes_on().await;
    }
}

/// One that ended sends nothing while the others go on.
async fn sends_nothing(tenants: &[Tenant], one: usize) {
    // Requests that lay in its sockets when it ended still arrive.
    all_go_on(tenants, one).await;
    let requests = tenants[one].requests();
    all_go_on(tenants, one).await;
    assert_eq!(tenants[one].requests(), requests);
}

async fn end(node: &Node, tenants: &mut [Tenant]) {
    for tenant in &mut *tenants {
        tenant.pusher.abort();
        tenant.delivers_all().await;
        tenant.partition.as_ref().unwrap().stop().await;
    }
    node.stop().await;
    assert!(matches!(Partition::open(node, PartitionId(9), Bed::model().store()), Err(OpenError::Stopping)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_on_the_model_store_stop_start_and_fail_alone() {
    each_stops_starts_and_fails_alone(Bed::model).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_on_the_embedded_store_stop_start_and_fail_alone() {
    each_stops_starts_and_fails_alone(Bed::disk).await;
}

/// The new owner is a partition of the same process here. The old one finds out at its next commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_fenced_off_ends_and_writes_nothing_more() {
    let node = node();
    let mut tenants = four(&node, Bed::model).await;
    all_go_on(&tenants, usize::MAX).await;
    let fenced = &mut tenants[2];
    fenced.bed.take_over();
    assert_eq!(fenced.failed().await, Failure::Fenced);
    fenced.stop().await;
    sends_nothing(&tenants, 2).await;
    tenants[2].open(&node).await;
    tenants[2].goes_on().await;
    end(&node, &mut tenants).await;
}
