//! The load harness: drives Pinion over real sockets and keeps a ledger of sent against received.
//!
//! ```text
//!            drive ──HTTP──▶ pinion (system) ──HTTP──▶ receive
//!              └────────────────▶ ledger ◀───────────────┘        scenario ▶ measure ▶ report
//! ```
//! It knows none of Pinion's crates, only its HTTP API and Standard Webhooks. Exit code 0 only
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
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

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

/// Runs the scenario; true when every ledger balances.
fn run(cli: &cli::Cli) -> anyhow::Result<bool> {
    let begin = Instant::now();
    let findings = scenario::run(cli)?;
    report::print(&findings);
    println!("\nThis took {:.0} s.", begin.elapsed().as_secs_f64());
    if let Some(path) = &cli.options.json {
        report::write_json(path, &findings)?;
    }
    if let Some(path) = &cli.options.plot {
        write_plots(path, &findings.outcomes)?;
    }
    if let cli::Scenario::Growth(cli::Growth { plots: Some(folder), .. }) = &cli.scenario {
        findings.curves.iter().try_for_each(|curve| report::write_growth_svg(folder, curve))?;
    }
    Ok(findings.is_balanced())
}

/// The file named for a single scenario; one beside it for each of several, of its last round.
fn write_plots(path: &Path, outcomes: &[report::Outcome]) -> std::io::Result<()> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    for outcome in report::by_scenario(outcomes).iter().filter_map(|rounds| rounds.last()) {
        let each = path.with_file_name(format!("{stem}-{}.svg", outcome.scenario));
        report::write_svg(if outcomes.len() == 1 { path } else { &each }, outcome)?;
    }
    Ok(())
}
