//! The flags of `serve`: one for each key of the config, made from the list of keys.
//!
//! In: the list. Out: clap's arguments, and from what was typed the paths of the keys and their
//! values; what the values mean is found out with those of the file, so that all faults look alike.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::config::{self, Flags, Kind};

/// What was typed behind `serve`.
#[derive(Debug, Clone, Default)]
pub(super) struct ServeFlags(pub(super) Flags);

impl Args for ServeFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .short('c')
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("The config file; by default ./penstock.yaml, else the one of the user's config folder");
        config::keys().iter().filter_map(argument).fold(command.arg(config), Command::arg)
    }
    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(key: &config::Key) -> Option<Arg> {
    let flag = key.flag()?;
    let words = key.words.trim_end_matches('.').replace('`', "");
    let arg =
        Arg::new(key.path.clone()).long(flag).action(ArgAction::Set).help(words).help_heading("Settings (each is also a key of the file)");
    Some(match key.kind {
        Kind::Truth => arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false"),
        kind => arg.value_name(kind.as_str().to_ascii_uppercase()).allow_hyphen_values(kind == Kind::Number),
    })
}

impl FromArgMatches for ServeFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }
    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        let typed = |key: config::Key| Some((key.path.clone(), matches.get_one::<String>(&key.path)?.clone()));
        self.0.config = matches.get_one::<PathBuf>("config").cloned();
        self.0.values = config::keys().into_iter().filter(|key| key.flag().is_some()).filter_map(typed).collect();
        Ok(())
    }
}
