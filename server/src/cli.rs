//! The command line: `pinion serve`, `demo`, `key`, `export`, `import`, `audit`, `backup`, `restore`, `repair` and
//! `retry-preview`.
//!
//! Only its shape is here. Each command has a module of its own.

use crate::audit_command::{Noted, PublicKey};
use crate::config::{self, Settings};
use crate::key_command::url::ApiUrl;
use crate::time_text::time_of;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use model::{KeyScope, UnixMs};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A webhook delivery engine: takes events, makes them durable, delivers each to every subscribed endpoint.
#[derive(Debug, Parser)]
#[command(name = "pinion", version, max_term_width = 120)]
pub(crate) struct Cli {
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the engine with its HTTP API until SIGTERM or SIGINT.
    #[command(after_help = "Every setting is a flag, a PINION_* variable and a key of pinion.toml, in this order of \
                            precedence.\n`pinion serve --print-config` shows all values and where they come from.")]
    Serve(Box<ServeArgs>),
    /// Shows a real engine under real traffic with failing endpoints, about 20 seconds, and checks that nothing is lost.
    Demo(DemoArgs),
    /// Creates, lists, rotates and revokes API keys, through the running server or, while it is down, in its data directory.
    #[command(
        after_help = "Without --url the data directory is used directly when no server has it open, and otherwise \
                            the server at the `listen` address of the configuration, with the root key of PINION_ROOT_KEY, \
                            --root-key-file or DATA/root.key."
    )]
    Key(KeyArgs),
    /// Takes the configuration out of a running server: event types, applications with their policies, endpoints.
    #[command(
        after_help = "Needs a key that reaches everything: in PINION_KEY, or the root key of PINION_ROOT_KEY, --root-key-file \
                            or DATA/root.key. Secrets are left out, or sealed for the key of --secrets-key."
    )]
    Export(ExportArgs),
    /// Puts an exported configuration in place on a running server. Deletes nothing; the same again changes nothing.
    #[command(
        after_help = "Needs a key as `pinion export` does. An endpoint without its secret gets a new one, and the command says \
                            so. Ends with 1 when something was refused; the rest is in place then."
    )]
    Import(ImportArgs),
    /// Checks the audit log: that no record was changed, removed or moved.
    #[command(subcommand)]
    Audit(AuditAction),
    /// Backs a running server up, to a folder or as a tar stream, while it goes on.
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = "The key for everything is read from PINION_KEY; without it the root key is used: PINION_ROOT_KEY, \
                            --root-key-file or DATA/root.key.\nA second backup to the same folder writes only what is \
                            new. The master key is not in a backup, and without it the endpoints' secrets do not open: \
                            keep master.key elsewhere."
    )]
    Backup(BackupArgs),
    /// Makes a data directory from a backup, and says to which commit. Whatever was written after the backup is lost.
    #[command(
        after_help = "The data directory must be new or empty, but for master.key and root.key. Interrupted, it is simply \
                            run again. A tar stream needs the room of the backup besides that of the store."
    )]
    Restore(RestoreArgs),
    /// Saves what a damaged data directory still holds, and says what is lost. No server may run on it.
    #[command(
        after_help = "Reads the damaged store without changing it, writes what can be read into a new one beside it, and \
                            puts that in its place; the damaged one is kept in DIR/damaged-TIME/, with the report. Needs as \
                            much room on the disk again. Interrupted, it is simply run again."
    )]
    Repair(RepairArgs),
    /// Shows when a retry policy makes its attempts and when it gives up. Needs no server.
    #[command(
        after_help = "Without --policy and --type it shows the default policy. Attempts are taken to last no time: really they \
                            come later by their own durations, by a Retry-After, and by whatever holds the endpoint back."
    )]
    RetryPreview(RetryPreviewArgs),
}

/// `pinion serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration file. Default: ./pinion.toml, if it exists.
    #[arg(long, env = "PINION_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints the resulting configuration, with where each value comes from, and ends.
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Every setting.
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// `pinion demo`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Events to push.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(100..=10_000), value_name = "N")]
    pub(crate) events: u32,
}

/// `pinion retry-preview`: the fields of a `retryPolicy`, as the API takes them.
#[derive(Debug, Args)]
pub(crate) struct RetryPreviewArgs {
    /// A file with a retry policy in JSON, as the API takes it.
    #[arg(long, value_name = "FILE", conflicts_with = "kind")]
    pub(crate) policy: Option<PathBuf>,
    /// `schedule`, `exponential`, `linear` or `fixed`.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// For `schedule`: the gap before each retry, e.g. 5000,300000.
    #[arg(long, value_delimiter = ',', requires = "kind", value_name = "MS,…")]
    pub(crate) delays_ms: Vec<u64>,
    /// For `exponential`: the first gap.
    #[arg(long, requires = "kind", value_name = "MS")]
    pub(crate) initial_ms: Option<u64>,
    /// For `exponential`: by how much each gap is longer than the one before, 1 to 10.
    #[arg(long, requires = "kind", value_name = "FACTOR")]
    pub(crate) multiplier: Option<f64>,
    /// For `linear`: what each gap grows by.
    #[arg(long, requires = "kind", value_name = "MS")]
    pub(crate) step_ms: Option<u64>,
    /// For `fixed`: every gap.
    #[arg(long, requires = "kind", value_name = "MS")]
    pub(crate) delay_ms: Option<u64>,
    /// Attempts in all, the first included.
    #[arg(long, requires = "kind", value_name = "N")]
    pub(crate) max_attempts: Option<u32>,
    /// No gap is longer.
    #[arg(long, requires = "kind", value_name = "MS")]
    pub(crate) max_delay_ms: Option<u64>,
    /// `none`, `proportional`, `equal`, `full` or `additive`.
    #[arg(long, requires = "kind", value_name = "JITTER")]
    pub(crate) jitter: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The commands on the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditAction {
    /// Checks hashes and signatures, in a data directory that no server has open or in an export. Ends with 1 for a fault.
    Verify(AuditVerifyArgs),
}

/// `pinion audit verify`.
#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArgs {
    /// The data directory.
    #[arg(long, env = "PINION_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The configuration file that names the data directory. Default: ./pinion.toml, if it exists.
    #[arg(long, env = "PINION_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// An export instead, oldest first, of GET /api/v1/audit?order=ascending&format=ndjson; - for standard input.
    #[arg(long, requires = "public_key", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The key that signatures are checked with, as GET /api/v1/audit/head shows it. Default: that of the data directory's
    /// master key.
    #[arg(long, value_name = "BASE64")]
    pub(crate) public_key: Option<PublicKey>,
    /// A record that must be in the log, as a check or GET /api/v1/audit/head showed it earlier: so a log whose end was cut
    /// off is found too.
    #[arg(long, value_name = "SEQ:HASH")]
    pub(crate) expect: Option<Noted>,
}

/// Stands for standard input or output in place of a file.
pub(crate) const STANDARD_STREAM: &str = "-";

/// `pinion backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The folder, which is made if it is not there; - for a tar stream on standard output.
    #[arg(long, required = true, value_name = "DIR|-")]
    pub(crate) to: Option<PathBuf>,
    /// Keeps so many backups in the folder, this one included, and removes older ones with what only they need.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    pub(crate) keep: Option<u32>,
    /// Checks it as `pinion backup verify` does.
    #[arg(long)]
    pub(crate) verify: bool,
    /// The server.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The command.
    #[command(subcommand)]
    pub(crate) action: Option<BackupAction>,
}

/// The commands on backups that are there.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupAction {
    /// Restores a backup to a temporary store, opens it and reads every row. Ends with 1 for a fault. Needs no server.
    Verify {
        /// The folder of the backup.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Its number. Default: the newest.
        #[arg(long, value_name = "NUMBER")]
        backup: Option<u32>,
        /// A folder with room for the store. Default: the system's temporary one.
        #[arg(long, value_name = "DIR")]
        scratch: Option<PathBuf>,
    },
}

/// `pinion restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The folder of the backup; - for a tar stream on standard input.
    #[arg(long, value_name = "DIR|-")]
    pub(crate) from: PathBuf,
    /// The number of the backup in the folder. Default: the newest.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) backup: Option<u32>,
    /// The data directory.
    #[arg(long, env = "PINION_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// File with the master key that the backup was made with, to check it. Default: DATA/master.key, if it is there.
    #[arg(long, env = "PINION_MASTER_KEY_FILE", value_name = "FILE")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// The configuration file that names the data directory. Default: ./pinion.toml, if it exists.
    #[arg(long, env = "PINION_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `pinion repair`.
#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    /// The data directory.
    #[arg(long, env = "PINION_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The configuration file that names the data directory. Default: ./pinion.toml, if it exists.
    #[arg(long, env = "PINION_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `pinion key`.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The data directory.
    #[arg(long, global = true, env = "PINION_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The running server's API, e.g. http://127.0.0.1:8071; the store is left alone then.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<ApiUrl>,
    /// File with the root key, for a running server; or the key itself in PINION_ROOT_KEY. Default: DATA/root.key.
    #[arg(long, global = true, env = "PINION_ROOT_KEY_FILE", value_name = "FILE")]
    pub(crate) root_key_file: Option<PathBuf>,
    /// Address that the server listens on, for operators who configure with variables; people use --url.
    #[arg(long, global = true, env = "PINION_LISTEN", value_name = "ADDR", hide = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// The configuration file that names the data directory and the address. Default: ./pinion.toml, if it exists.
    #[arg(long, global = true, env = "PINION_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The command.
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

/// A running server, and the key to it.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The running server's API, e.g. http://127.0.0.1:8071. Default: the `listen` address of the configuration.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<ApiUrl>,
    /// The data directory, for its root key.
    #[arg(long, env = "PINION_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// File with the root key; or a key in PINION_KEY. Default: DATA/root.key.
    #[arg(long, env = "PINION_ROOT_KEY_FILE", value_name = "FILE")]
    pub(crate) root_key_file: Option<PathBuf>,
    /// Address that the server listens on, for operators who configure with variables; people use --url.
    #[arg(long, env = "PINION_LISTEN", value_name = "ADDR", hide = true)]
    pub(crate) listen: Option<SocketAddr>,
    /// The configuration file that names the data directory and the address. Default: ./pinion.toml, if it exists.
    #[arg(long, env = "PINION_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `pinion export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The file to write; - for standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: String,
    /// Only this application, by id or uid; may be given more than once.
    #[arg(long, value_name = "ID_OR_UID")]
    pub(crate) app: Vec<String>,
    /// A file with a private key, made if it is not there: secrets are sealed for it. Keep it apart from the export.
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets_key: Option<PathBuf>,
    /// The server.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// `pinion import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file to read; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: String,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The file with the private key that the export was sealed for.
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets_key: Option<PathBuf>,
    /// The server.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// The commands on API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Creates a key and prints it: the only time it can be seen.
    Create(KeyCreateArgs),
    /// Lists keys, revoked and expired ones too.
    List,
    /// Makes a key that takes the place of another and prints it: the only time it can be seen. Both work for a while.
    Rotate {
        /// The id of the key to replace, as `list` shows it, or its name.
        #[arg(value_name = "ID_OR_NAME")]
        key: String,
        /// Seconds for which the replaced key goes on to work; 0 refuses it at once. Default: a day.
        #[arg(long, value_name = "S")]
        grace_period_seconds: Option<u64>,
        /// From then on the new key is refused. Default: it lives as long as the replaced one was made to.
        #[arg(long, value_name = "TIME", value_parser = time_of)]
        expires_at: Option<UnixMs>,
    },
    /// Revokes a key.
    Revoke {
        /// Its id, as `list` shows it, or its name.
        #[arg(value_name = "ID_OR_NAME")]
        key: String,
    },
}

/// `pinion key create`.
#[derive(Debug, Args)]
pub(crate) struct KeyCreateArgs {
    /// For people, unique.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// The application that it is limited to, by id or uid. Default: all of them.
    #[arg(long, alias = "app", value_name = "ID_OR_UID")]
    pub(crate) app_id: Option<String>,
    /// Its scopes: ingest, read, write, admin, portal.
    #[arg(long, alias = "scope", value_delimiter = ',', default_value = "admin", value_name = "SCOPE,…",
        value_parser = key_scope)]
    pub(crate) scopes: Vec<KeyScope>,
    /// From then on it is refused, e.g. 2027-01-31T00:00:00Z. Default: never.
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    pub(crate) expires_at: Option<UnixMs>,
    /// Requests in a minute, at most. Default: as many as come.
    #[arg(long, value_name = "N")]
    pub(crate) rate_limit: Option<u32>,
}

fn key_scope(word: &str) -> Result<KeyScope, String> {
    KeyScope::of_word(word).ok_or_else(|| format!("the scopes are {}", KeyScope::ALL.map(KeyScope::as_str).join(", ")))
}

/// The command line with each setting's default in its help. Settings have no defaults of their own, so that a file can
/// come between them and the defaults.
pub(crate) fn command() -> clap::Command {
    let defaults = config::defaults();
    Cli::command().mut_subcommand("serve", |serve| {
        serve.mut_args(|argument| {
            let default = defaults.iter().find(|(name, _)| argument.get_id() == name.as_str());
            match (argument.get_help(), default) {
                (Some(help), Some((_, default))) if !default.is_empty() => {
                    let help = format!("{help} [default: {default}]");
                    argument.help(help)
                }
                _ => argument,
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_help_shows_defaults() {
        let mut command = command();
        let help = command.find_subcommand_mut("serve").unwrap().render_help().to_string();
        for part in ["[default: 127.0.0.1:8071]", "[default: 5s,5m,30m,2h,5h,10h,10h]", "[default: 15s]"] {
            assert!(help.contains(part), "{part}: {help}");
        }
    }

    #[test]
    fn every_setting_has_the_environment_variable_of_its_name() {
        let command = <Settings as Args>::augment_args(clap::Command::new("test"));
        for argument in command.get_arguments() {
            let variable = format!("PINION_{}", argument.get_id().as_str().to_uppercase());
            assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(variable.as_str()));
            assert!(argument.get_help().is_some(), "{} has no help", argument.get_id());
        }
    }
}
