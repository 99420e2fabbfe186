//! The command line: `pinion serve`, `pinion demo`, `pinion key`.
//!
//! Deliberately only its shape; what the commands do is in the module of each.

use crate::config::Settings;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A webhook delivery engine: takes events, makes them durable, delivers each to every subscribed endpoint.
#[derive(Debug, Parser)]
#[command(name = "pinion", version, max_term_width = 120)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the engine with its HTTP API until SIGTERM or SIGINT.
    #[command(after_help = "Every setting is a flag, a PINION_* variable and a key of pinion.toml, in this order of \
                            precedence.\n`pinion serve --print-config` shows all values and where they come from.")]
    Serve(Box<ServeArgs>),
    /// Shows a real engine under real traffic with failing endpoints, about 20 seconds, and checks that nothing is lost.
    Demo(DemoArgs),
    /// Creates, lists and revokes API keys in a data directory that no server has open.
    Key(KeyArgs),
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

/// `pinion key`.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The data directory.
    #[arg(long, global = true, env = "PINION_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The configuration file that names the data directory. Default: ./pinion.toml, if it exists.
    #[arg(long, global = true, env = "PINION_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Creates a key and prints it: the only time it can be seen.
    Create {
        /// For people, unique.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// The application that it is limited to, by id or uid. Default: all of them.
        #[arg(long, value_name = "ID_OR_UID")]
        app: Option<String>,
    },
    /// Lists keys: id, name, application, time of creation.
    List,
    /// Revokes a key.
    Revoke {
        /// Its id, as `list` shows it, or its name.
        #[arg(value_name = "ID_OR_NAME")]
        key: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
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
