//! The output: bars on a terminal, a line now and then when piped, and the summary. It judges nothing.

use super::ledger::Account;
use super::scene::ROLES;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Time between two lines when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// The progress of everything.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// Since the first push.
    pub(super) elapsed: Duration,
    /// Events accepted.
    pub(super) accepted: u64,
    /// Events to push.
    pub(super) events: u64,
    /// One for each role.
    pub(super) rows: Vec<Row>,
}

/// The progress of one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Deliveries owed so far.
    pub(super) expected: u64,
    /// Delivered or given up.
    pub(super) settled: u64,
    /// Attempts that failed.
    pub(super) failures: u64,
}

/// The form in which progress is shown.
pub(super) enum Display {
    /// Bars that move.
    Bars {
        /// Keeps them together.
        all: MultiProgress,
        /// Pushing.
        push: ProgressBar,
        /// One for each role.
        rows: Vec<ProgressBar>,
    },
    /// Lines.
    Lines {
        /// When the last one was printed.
        last: Option<Instant>,
    },
}

// === impl Display ===

impl Display {
    /// Bars if standard output is a terminal, lines if not.
    pub(super) fn new(events: u64) -> Display {
        if !std::io::stdout().is_terminal() {
            return Display::Lines { last: None };
        }
        let all = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::stdout());
        let bar = |template: &str, name: String| {
            // The templates are constants; one that does not parse would only look plain.
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            all.add(ProgressBar::new(events).with_style(style).with_prefix(name))
        };
        let push = bar("{prefix:46} [{bar:30.green}] {pos}/{len}  {msg}", "events accepted".to_owned());
        let rows = ROLES.iter().map(|role| {
            let name = format!("  {} ({})", role.name, role.note);
            bar("{prefix:46} [{bar:30.cyan}] {pos}/{len}  {msg}", name)
        });
        let rows = rows.collect();
        Display::Bars { all, push, rows }
    }

    /// Shows how far things are.
    pub(super) fn show(&mut self, snapshot: &Snapshot) {
        match self {
            Display::Bars { push, rows, .. } => {
                push.set_position(snapshot.accepted);
                push.set_message(format!("{:.1} s", snapshot.elapsed.as_secs_f64()));
                for (bar, row) in rows.iter().zip(&snapshot.rows) {
                    bar.set_length(row.expected.max(1));
                    bar.set_position(row.settled);
                    if row.failures > 0 {
                        bar.set_message(format!("{} failed attempts", row.failures));
                    }
                }
            }
            Display::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
                    *last = Some(Instant::now());
                    println!("{}", snapshot.line());
                }
            }
        }
    }

    /// Leaves the last state on the screen.
    pub(super) fn end(self) {
        if let Display::Bars { all, push, rows } = self {
            push.abandon();
            rows.iter().for_each(ProgressBar::abandon);
            drop(all);
        }
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The total, and those that have something open.
    fn line(&self) -> String {
        let [settled, expected] =
            [|row: &Row| row.settled, |row: &Row| row.expected].map(|of| self.rows.iter().map(of).sum::<u64>());
        let mut line = format!(
            "{:5.1} s  accepted {}/{}  settled {settled}/{expected}",
            self.elapsed.as_secs_f64(),
            self.accepted,
            self.events
        );
        for (role, row) in ROLES.iter().zip(&self.rows).filter(|(_, row)| row.settled < row.expected) {
            line.push_str(&format!("  {} -{}", role.name, row.expected - row.settled));
        }
        line
    }
}

/// The table at the end.
pub(super) fn summary(accepted: u64, busy: u64, accounts: &[Account], elapsed: Duration) -> String {
    let mut out = format!(
        "\n{accepted} events accepted, all settled after {:.1} s; {busy} requests were told to come back later\n\n",
        elapsed.as_secs_f64()
    );
    let columns = ["owed", "delivered", "retried", "dead", "lost", "twice", "p50 ms", "p99 ms"];
    out.push_str(&line("endpoint", columns.map(str::to_owned)));
    let mut total = [0; 6];
    for account in accounts {
        let counts = [
            account.expected,
            account.delivered,
            account.retried,
            account.dead_lettered,
            account.lost,
            account.duplicated,
        ];
        total.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        let latency = [account.p50_ms, account.p99_ms].map(|ms| match account.delivered {
            0 => "-".to_owned(),
            _ => ms.to_string(),
        });
        let cells = counts.iter().map(u64::to_string).chain(latency);
        out.push_str(&line(&format!("{} ({})", account.name, account.note), cells));
    }
    out.push_str(&line("all", total.iter().map(u64::to_string)));
    out
}

/// The last words of a ledger that balances.
pub(super) fn verdict(accepted: u64, accounts: &[Account]) -> String {
    let mut out = String::from(
        "\nThe ledger balances: every accepted event was delivered to every endpoint that wants it, or is a dead letter\n\
         of the one that is dead. Every signature was verified. The slow, the flapping and the dead endpoint cost their\n\
         neighbours nothing: compare the latencies.\n",
    );
    for (role, account) in ROLES.iter().zip(accounts) {
        let Account { name, expected, delivered, retried, by_backup, after_return, .. } = account;
        if role.is_ordered {
            out.push_str(&format!(
                "- {name}: {delivered} events one after the other, in the order they were pushed; {retried} attempts failed,\n  \
                 and none passed them.\n"
            ));
        }
        if let Some(backup) = role.backup {
            out.push_str(&format!(
                "- {name}: {backup} took over {by_backup} deliveries when it had died; it was put back by hand and took\n  \
                 {after_return} from then on.\n"
            ));
        }
        if role.filter.is_some() {
            out.push_str(&format!(
                "- {name}: its filter of the payload lets {expected} of {accepted} events pass, and it got exactly those.\n"
            ));
        }
    }
    out
}

/// One line of the table.
fn line(name: &str, cells: impl IntoIterator<Item = String>) -> String {
    let mut line = format!("{name:<42}");
    for cell in cells {
        line.push_str(&format!("{cell:>10}"));
    }
    line.push('\n');
    line
}
