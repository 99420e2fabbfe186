//! `pinion demo`: the real engine behind its real HTTP API, a tenant that pushes, customers that fail, and a ledger.
//!
//! ```text
//! tenant ──HTTP──▶ API ▶ engine ──HTTP──▶ receiver (nine endpoints and a backup, see `scene`)
//!    └────────────────── ledger ◀────────────┘      every acceptance against every receipt
//! ```
//! It takes about 20 seconds and exits with 0 only if the ledger balances. It calls nothing of the engine directly and
//! checks signatures by code of its own.

mod display;
mod ledger;
mod order;
mod receiver;
mod scene;
mod signature;
mod tenant;

use crate::api_client::Api;
use crate::cli::DemoArgs;
use crate::config::{Config, Loaded};
use crate::run::Signals;
use crate::serve::{self, Running};
use anyhow::{Context as _, bail};
use display::{Display, Row, Snapshot};
use ledger::Account;
use receiver::Book;
use scene::{ROLES, Role};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tenant::Stats;

/// Longest time that the whole demonstration may take.
const HARD_DEADLINE: Duration = Duration::from_secs(60);

/// The part of it that is left for the end, when not everything has settled in time.
const RESERVE: Duration = Duration::from_secs(15);

/// Time that the API may take to show the answers of the receiver.
const SETTLE_DEADLINE: Duration = Duration::from_secs(5);

/// Time between two looks at the progress.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Time that the end of the process waits for threads that still read from disk.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// Runs the demonstration; `Ok` when the ledger balances.
///
/// # Errors
/// When something could not run, or the ledger does not balance: the message names the fault.
pub(crate) fn run(arguments: DemoArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("api").enable_all().build()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            played = tokio::time::timeout(HARD_DEADLINE, play(arguments)) => {
                played.context("the demonstration did not end within 60 seconds").flatten()
            }
            name = signals.next() => bail!("interrupted by {name}"),
        }
    });
    runtime.shutdown_timeout(RUNTIME_END);
    result
}

async fn play(arguments: DemoArgs) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("pinion-demo-").tempdir()?;
    let running = serve::start(&Arc::new(configuration(folder.path())), |_| None).await?;
    println!("engine and API on {}, metrics on {}, store in {}", running.api, running.metrics, folder.path().display());
    let key = std::fs::read_to_string(folder.path().join("root.key")).context("the generated root key")?;
    let api = Api::new(&format!("http://{}", running.api), key.trim());
    let book = Book::new();
    let result = perform(&running, &api, &book, arguments).await;
    running.stop().await;
    result
}

/// Ports of its own, a store of its own, loopback allowed.
fn configuration(data_dir: &Path) -> Loaded {
    let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config =
        Config { listen: free_port, metrics_listen: free_port, data_dir: data_dir.to_owned(), ..Config::default() };
    config.engine.allow_targets = vec![ipnet::Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8).into()];
    Loaded { config, sources: BTreeMap::new() }
}

async fn perform(running: &Running, api: &Api, book: &Book, arguments: DemoArgs) -> anyhow::Result<()> {
    let receiver = receiver::start(book.clone()).await?;
    receiver.set_keys(tenant::set_the_scene(api, receiver.address).await?);
    println!(
        "{} endpoints on {}; pushing {} events, single and in batches\n",
        ROLES.len(),
        receiver.address,
        arguments.events
    );

    let started = Instant::now();
    receiver.begin(started);
    let mut pushing = tokio::spawn(tenant::push(api.clone(), book.clone(), arguments.events, started));
    let mut display = Display::new(arguments.events.into());
    let mut watch = Watch { api, book, events: arguments.events.into(), started, given_up: vec![0; ROLES.len()] };
    let mut is_pushed = false;
    let settled = async {
        loop {
            let snapshot = watch.look().await?;
            display.show(&snapshot);
            if is_pushed && snapshot.rows.iter().all(|row| row.settled >= row.expected) {
                return anyhow::Ok(());
            }
            tokio::select! {
                pushed = &mut pushing, if !is_pushed => {
                    pushed??;
                    is_pushed = true;
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    };
    let ended = tokio::select! {
        ended = tokio::time::timeout(HARD_DEADLINE.saturating_sub(RESERVE), settled) => ended,
        reason = running.failed() => bail!("the store failed: {reason}"),
    };
    display.end();
    // A delivery that has not settled by now is shown as lost; the ledger is shown in any case.
    if let Ok(result) = ended {
        result?;
    }
    let elapsed = started.elapsed();
    let stats = settled_stats(api).await?;
    judge(api, book, &stats, elapsed).await
}

/// Waits until the API too shows everything as settled, and returns its counts: an answer reaches the engine a moment
/// after it was given. At the deadline it returns all the same, and the judgement complains about open deliveries.
async fn settled_stats(api: &Api) -> anyhow::Result<Vec<Stats>> {
    let until = Instant::now() + SETTLE_DEADLINE;
    let mut all = Vec::with_capacity(ROLES.len());
    for role in &ROLES {
        let mut stats = tenant::stats(api, role).await?;
        while stats.open > 0 && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            stats = tenant::stats(api, role).await?;
        }
        all.push(stats);
    }
    Ok(all)
}

/// Looks at the ledger, and at the API for the count that only it knows.
struct Watch<'a> {
    api: &'a Api,
    book: &'a Book,
    events: u64,
    started: Instant,
    /// Dead letters of each role when the API was last asked.
    given_up: Vec<u64>,
}

impl Watch<'_> {
    async fn look(&mut self) -> anyhow::Result<Snapshot> {
        let elapsed = self.started.elapsed();
        self.put_back_the_recovered(elapsed).await?;
        for (role, given_up) in ROLES.iter().zip(&mut self.given_up).filter(|(role, _)| role.is_dead()) {
            *given_up = tenant::given_up(self.api, role).await?;
        }
        let book = self.book.open();
        let rows = ROLES.iter().enumerate().map(|(index, role)| Row {
            expected: book.expected(role),
            settled: book.delivered(index) + self.given_up[index],
            failures: book.progress(index).failures,
        });
        Ok(Snapshot { elapsed, accepted: book.accepted(), events: self.events, rows: rows.collect() })
    }

    /// The tenant's operator sees that an endpoint is alive again, and ends its backup's turn by hand.
    async fn put_back_the_recovered(&self, elapsed: Duration) -> anyhow::Result<()> {
        for (index, role) in ROLES.iter().enumerate().filter(|(_, role)| role.has_recovered(elapsed)) {
            let is_back = self.book.open().is_back(index);
            if !is_back && tenant::put_back(self.api, role).await? {
                self.book.open().put_back(index, receiver::now_ms());
            }
        }
        Ok(())
    }
}

/// Takes the dead letters from the API, prints the summary and checks that the ledger balances, with the API's own
/// numbers too.
async fn judge(api: &Api, book: &Book, stats: &[Stats], elapsed: Duration) -> anyhow::Result<()> {
    for index in 0..ROLES.len() {
        tenant::note_dead_letters(api, book, index).await?;
    }
    let (accounts, accepted, busy) = {
        let book = book.open();
        (book.accounts(), book.accepted(), book.busy())
    };
    print!("{}", display::summary(accepted, busy, &accounts, elapsed));
    let mut complaints = Vec::new();
    for ((role, account), stats) in ROLES.iter().zip(&accounts).zip(stats) {
        complaints.extend(account.complaints(role));
        complaints.extend(disagreements(api, role, account, *stats).await?);
    }
    let duplicated: u64 = accounts.iter().map(|account| account.duplicated).sum();
    if duplicated > 0 {
        println!(
            "\n{duplicated} deliveries arrived twice, which the promise (at least once) allows; webhook-id tells them"
        );
    }
    if !complaints.is_empty() {
        bail!("the ledger does not balance:\n  {}", complaints.join("\n  "));
    }
    print!("{}", display::verdict(accepted, &accounts));
    Ok(())
}

/// Facts of which the API says something else than the ledger.
async fn disagreements(api: &Api, role: &Role, account: &Account, stats: Stats) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    if (stats.success, stats.open, stats.fail) != (account.delivered, 0, account.dead_lettered) {
        found.push(format!(
            "{}: the API counts {} delivered, {} open, {} given up",
            role.name, stats.success, stats.open, stats.fail
        ));
    }
    if role.backup.is_some() {
        let switches = tenant::switches(api, role).await?;
        let expected = [("backup", "auto"), ("primary", "hand")].map(|(to, by)| (to.to_owned(), by.to_owned()));
        if switches != expected {
            found.push(format!("{}: not one switch by itself and one back by hand, but {switches:?}", role.name));
        }
    }
    Ok(found)
}
