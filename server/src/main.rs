//! The `pinion` binary, in the order of a start: command line, configuration, logging, data directory, listeners, the
//! engine.
//!
//! Exit codes: 0 done, 1 failed, 2 the command line or the configuration was refused.

mod cli;
mod config;
mod logging;

mod ca_files;
mod data_dir;
mod keys;
mod secret_file;

mod listen;
mod metric_help;
mod metrics_listen;
mod process;

mod descriptors;
mod open_files;
mod run;
mod serve;

mod api_client;
mod api_threads;
mod audit_command;
mod backup_command;
mod demo;
mod environment_command;
mod key_command;
mod repair_command;
mod restore_command;
mod retry_preview;
mod time_text;

use crate::backup_command::Order;
use crate::cli::{
    AuditAction, AuditVerifyArgs, BackupAction, BackupArgs, Cli, Command, DemoArgs, ExportArgs, ImportArgs, KeyArgs,
    RepairArgs, RestoreArgs, ServeArgs, ServerArgs,
};
use crate::config::{LogFormat, Settings};
use clap::{ArgMatches, FromArgMatches as _};
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// Much of our memory is taken on one thread and given back on another: a request becomes a commit, then an attempt.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line or the configuration was refused; clap uses the same code.
const EXIT_USAGE: u8 = 2;

/// Endpoints that fail are part of the demonstration: no news.
const DEMO_LOG_LEVEL: &str = "error";

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    // A command was parsed, so there is one.
    let matches = matches.subcommand().map_or_else(ArgMatches::default, |(_, matches)| matches.clone());
    match cli.command {
        Command::Serve(arguments) => serve(*arguments, &matches),
        Command::Demo(arguments) => demo(arguments),
        Command::Key(arguments) => key(arguments, &matches),
        Command::Export(arguments) => export(&arguments, &matches),
        Command::Import(arguments) => import(&arguments, &matches),
        Command::Audit(AuditAction::Verify(arguments)) => audit_verify(arguments, &matches),
        Command::Backup(arguments) => backup(arguments, &matches),
        Command::Restore(arguments) => restore(arguments, &matches),
        Command::Repair(arguments) => repair(arguments, &matches),
        Command::RetryPreview(arguments) => match retry_preview::run(&arguments) {
            Ok(text) => show(&text),
            Err(error) => refused(&error),
        },
    }
}

fn serve(arguments: ServeArgs, matches: &ArgMatches) -> ExitCode {
    let mut loaded = match config::load(arguments.config.as_deref(), arguments.settings, matches) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error),
    };
    if arguments.print_config {
        let in_environment = |variable: &str| std::env::var_os(variable).is_some();
        return show(&config::print(&loaded, in_environment));
    }
    if let Err(error) = logging::start(loaded.config.log_format, &loaded.config.log_level) {
        return failed(&error);
    }
    warn_of_unknown_variables();
    if let Some(limit) = open_files::raise_limit()
        && let Err(error) = descriptors::fit(&mut loaded, limit)
    {
        return refused(&error);
    }
    let data_dir = loaded.config.data_dir.clone();
    match run::until_stopped(loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.way_on(&data_dir) {
            Some(way_on) => failed(&format!("{error}; {way_on}")),
            None => failed(&error),
        },
    }
}

fn demo(arguments: DemoArgs) -> ExitCode {
    let started = logging::start(LogFormat::Auto, DEMO_LOG_LEVEL).and_then(|()| demo::run(arguments));
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error:#}")),
    }
}

/// A misspelt variable is said, not refused: orchestrators set variables after the names of services.
fn warn_of_unknown_variables() {
    let command = cli::command();
    let arguments = command.get_subcommands().flat_map(clap::Command::get_arguments);
    let known: Vec<_> = arguments.filter_map(clap::Arg::get_env).collect();
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_of_commands = text == keys::API_KEY_VARIABLE;
        let ours = text.starts_with("PINION_") && !keys::VARIABLES.contains(&text.as_ref()) && !is_of_commands;
        if ours && !known.contains(&name.as_os_str()) {
            tracing::warn!(variable = %text, "this environment variable is no setting and was ignored");
        }
    }
}

fn key(arguments: KeyArgs, matches: &ArgMatches) -> ExitCode {
    let settings = Settings {
        data_dir: arguments.data_dir,
        listen: arguments.listen,
        root_key_file: arguments.root_key_file,
        ..Settings::default()
    };
    let loaded = match config::load(arguments.config.as_deref(), settings, matches) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error),
    };
    match key_command::run(&loaded, &|variable| std::env::var(variable).ok(), arguments.url, arguments.action) {
        Ok(text) => show(&text),
        Err(error) => failed(&error),
    }
}

fn backup(arguments: BackupArgs, matches: &ArgMatches) -> ExitCode {
    let BackupArgs { to, keep, verify, server, action } = arguments;
    let loaded = match with_server(&server, matches) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error),
    };
    let done = match (action, to) {
        (Some(BackupAction::Verify { dir, backup, scratch }), _) => {
            backup_command::verify(&loaded, &dir, backup, scratch.as_deref()).map(|report| (report, false))
        }
        (None, Some(to)) => {
            let to_stdout = to.as_os_str() == cli::STANDARD_STREAM;
            let order = Order { to, url: server.url, keep, verify };
            backup_command::run(&loaded, &variable, order).map(|report| (report, to_stdout))
        }
        // Clap asks for one of the two.
        (None, None) => return refused(&"name a folder by --to"),
    };
    match done {
        // Standard output has the backup.
        Ok((report, true)) => {
            eprint!("{report}");
            ExitCode::SUCCESS
        }
        Ok((report, false)) => show(&report),
        Err(error) => failed(&error),
    }
}

fn restore(arguments: RestoreArgs, matches: &ArgMatches) -> ExitCode {
    let RestoreArgs { from, backup, data_dir, master_key_file, config } = arguments;
    let settings = Settings { data_dir, master_key_file, ..Settings::default() };
    let loaded = match config::load(config.as_deref(), settings, matches) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error),
    };
    match restore_command::run(&loaded, &|variable| std::env::var(variable).ok(), &from, backup) {
        Ok(report) => show(&report),
        Err(error) => failed(&error),
    }
}

fn export(arguments: &ExportArgs, matches: &ArgMatches) -> ExitCode {
    match with_server(&arguments.server, matches) {
        Err(error) => refused(&error),
        Ok(loaded) => match environment_command::export(&loaded, &variable, arguments) {
            Ok(text) => show(&text),
            Err(error) => failed(&error),
        },
    }
}

fn import(arguments: &ImportArgs, matches: &ArgMatches) -> ExitCode {
    match with_server(&arguments.server, matches) {
        Err(error) => refused(&error),
        Ok(loaded) => match environment_command::import(&loaded, &variable, arguments) {
            Ok(text) => show(&text),
            Err(error) => failed(&error),
        },
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The configuration that tells where a server listens and where its root key is.
fn with_server(arguments: &ServerArgs, matches: &ArgMatches) -> Result<config::Loaded, config::ConfigError> {
    let settings = Settings {
        data_dir: arguments.data_dir.clone(),
        listen: arguments.listen,
        root_key_file: arguments.root_key_file.clone(),
        ..Settings::default()
    };
    config::load(arguments.config.as_deref(), settings, matches)
}

fn repair(arguments: RepairArgs, matches: &ArgMatches) -> ExitCode {
    let settings = Settings { data_dir: arguments.data_dir, ..Settings::default() };
    let loaded = match config::load(arguments.config.as_deref(), settings, matches) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error),
    };
    match repair_command::run(&loaded) {
        Ok(report) => show(&report),
        Err(error) => failed(&error),
    }
}

fn audit_verify(mut arguments: AuditVerifyArgs, matches: &ArgMatches) -> ExitCode {
    let settings = Settings { data_dir: arguments.data_dir.take(), ..Settings::default() };
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    let loaded = match config::load(arguments.config.as_deref(), settings, matches) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error),
    };
    let AuditVerifyArgs { file, public_key, expect, .. } = arguments;
    let environment = |variable: &str| std::env::var(variable).ok();
    match audit_command::verify(&loaded, file.as_deref(), public_key, expect, &environment) {
        Ok(report) => show(&report),
        Err(error) => failed(&error),
    }
}

/// Prints the answer of a command.
fn show(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has seen enough.
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
