//! The `pinion` binary, in the order of a start: command line, configuration, logging, data directory, listeners, the
//! engine.
//!
//! Deliberately thin: what is decided here is which parts run, and in which order they start and stop.
//!
//! Exit codes: 0 done, 1 failed, 2 the command line or the configuration was refused.

mod cli;
mod config;
mod logging;

mod data_dir;
mod keys;
mod secret_file;

mod listen;
mod metrics_listen;

mod key_command;

use crate::cli::{Cli, Command, KeyArgs, ServeArgs};
use crate::config::{ConfigError, Loaded, Settings};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// The command line or the configuration was refused; what clap uses too.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    // A command was parsed, so there is one.
    let matches = matches.subcommand().map_or_else(ArgMatches::default, |(_, matches)| matches.clone());
    match cli.command {
        Command::Serve(arguments) => serve(*arguments, &matches),
        Command::Demo(_) => ExitCode::FAILURE,
        Command::Key(arguments) => key(arguments, &matches),
    }
}

fn serve(arguments: ServeArgs, matches: &ArgMatches) -> ExitCode {
    let loaded = match config::load(arguments.config.as_deref(), arguments.settings, matches) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error),
    };
    if arguments.print_config {
        let in_environment = |variable: &str| std::env::var_os(variable).is_some();
        return show(&config::print(&loaded, in_environment));
    }
    ExitCode::FAILURE
}

fn key(arguments: KeyArgs, matches: &ArgMatches) -> ExitCode {
    let settings = Settings { data_dir: arguments.data_dir, ..Settings::default() };
    let loaded: Result<Loaded, ConfigError> = config::load(arguments.config.as_deref(), settings, matches);
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error),
    };
    match key_command::run(&loaded, arguments.action) {
        Ok(text) => show(&text),
        Err(error) => failed(&error),
    }
}

/// Prints what was asked for.
fn show(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn refused(error: &dyn Display) -> ExitCode {
    eprintln!("pinion: {error}");
    ExitCode::from(EXIT_USAGE)
}

fn failed(error: &dyn Display) -> ExitCode {
    eprintln!("pinion: {error}");
    ExitCode::FAILURE
}
