//! The load harness: drives Pinion over real sockets and keeps a ledger of sent against received.
//!
//! ```text
//!            drive ──HTTP──▶ pinion (system) ──HTTP──▶ receive
//!              └────────────────▶ ledger ◀───────────────┘        scenario ▶ measure ▶ report
//! ```
//! Deliberately a stranger: it knows none of Pinion's crates, only its HTTP API and Standard Webhooks. Exit code 0 only
//! when every ledger balances.

mod cli;
mod drive;
mod ledger;
mod measure;
mod receive;
mod report;
mod scenario;
mod system;
mod wire;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&cli::Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every ledger balances.
fn run(cli: &cli::Cli) -> anyhow::Result<bool> {
    let (outcomes, targets) = scenario::run(cli)?;
    match outcomes.as_slice() {
        [outcome] => report::print_one(outcome),
        _ => report::print_all(&outcomes, &targets),
    }
    if let Some(path) = &cli.options.json {
        report::write_json(path, &outcomes, &targets)?;
    }
    if let Some(path) = &cli.options.plot {
        for outcome in report::by_scenario(&outcomes).iter().filter_map(|rounds| rounds.last()) {
            let each = path.with_file_name(format!(
                "{}-{}.svg",
                path.file_stem().unwrap_or_default().to_string_lossy(),
                outcome.scenario
            ));
            report::write_svg(if outcomes.len() == 1 { path } else { &each }, outcome)?;
        }
    }
    Ok(outcomes.iter().all(|outcome| outcome.complaints.is_empty()))
}
