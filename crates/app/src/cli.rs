//! The command line: which verb, with which words.
//!
//! In: arguments. Out: a status: 0 when it went well, 1 when it did not, 2 when what was asked for
//! makes no sense. Fails: with one line of what, and one of what to do.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use base::Fault as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use runtime::keeper::{self, Executable};

use crate::config::{self, Environment, Flags, Problems, Settings, reference};
use crate::error::Error;
use crate::{client, echo, serve};

mod flags;

use flags::ServeFlags;

/// Puts AI models into service and serves them: one binary, one address, every OpenAI client.
#[derive(Debug, Parser)]
#[command(name = "penstock", bin_name = "penstock", version, arg_required_else_help = true, max_term_width = 100, after_help = STATUSES)]
struct Cli {
    #[command(flatten)]
    globals: client::Globals,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server
    Serve {
        #[command(flatten)]
        flags: ServeFlags,
        /// End with standard input, and remove the data directory: for a server of `penstock run`.
        #[arg(long, hide = true)]
        temporary: bool,
    },
    /// Look at the config
    #[command(subcommand)]
    Config(ConfigVerb),
    #[command(flatten)]
    Client(client::Command),
    /// An engine that answers with what it is asked; Penstock starts it itself
    #[command(hide = true)]
    Echo {
        /// Where to listen.
        #[arg(long)]
        socket: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Say whether a server would start with the config, and all that is wrong with it
    Check(ServeFlags),
    /// Print the reference of all keys, flags and variables, as Markdown
    Reference,
}

/// What scripts can go by.
const STATUSES: &str = "\
Exit statuses: 0 done, 1 failed, 2 misused, 3 not found, 4 not allowed, 5 no server answers.
`penstock VERB --help` says more about a verb.";

/// A problem with the config or with the words of the command line.
const MISUSE: u8 = 2;

/// Does what the arguments say.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody reads an output that is closed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match cli.verb {
        Verb::Serve { flags, temporary: false } => told(serve(&flags.0)),
        Verb::Serve { flags, temporary: true } => told(serve_for_a_while(&flags.0)),
        Verb::Config(ConfigVerb::Check(flags)) => told(check(&flags.0)),
        Verb::Config(ConfigVerb::Reference) => say(&reference::page()),
        Verb::Client(command) => client::run(command, &with_this_machine(cli.globals)),
        Verb::Echo { socket } => told(run_echo(&socket)),
    }
}

/// The command line's description, for shell completion.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The body of `penstock keep`; must be called while this process has one thread.
pub fn keep(args: Vec<OsString>) -> ExitCode {
    keeper::main(args, &carried)
}

fn carried() -> io::Result<Executable> {
    let Some(carried) = bundle::llama_server() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "this build carries no engine"));
    };
    match carried.open(&Environment::of_process().cache_dir().join("carried")).map_err(io::Error::other)? {
        bundle::Executable::Memory(fd) => Ok(Executable::Memory(fd)),
        bundle::Executable::File(path) => Ok(Executable::File(path)),
    }
}

/// What a client verb goes by, with the server that would be started from here.
fn with_this_machine(globals: client::Globals) -> client::Globals {
    let environment = Environment::of_process();
    let (data_dir, fault) = match Settings::load(&Flags::default(), &environment) {
        Ok(settings) => (settings.data_dir(), None),
        Err(problems) => (environment.data_dir(), Some(problems.to_string())),
    };
    client::Globals { data_dir: Some(data_dir), config_dir: environment.config_dir(), fault, ..globals }
}

fn serve(flags: &Flags) -> Result<(), Error> {
    let settings = Settings::load(flags, &Environment::of_process())?;
    serve_with(settings, flags, None)
}

fn serve_for_a_while(flags: &Flags) -> Result<(), Error> {
    let settings = Settings::load(flags, &Environment::of_process())?.for_a_while();
    let folder = serve::Temporary::make(settings.data_dir())?;
    serve_with(settings, flags, Some(folder))
}

/// For work that blocks and may never come back.
const LAST: std::time::Duration = std::time::Duration::from_millis(500);

fn serve_with(settings: Settings, flags: &Flags, temporary: Option<serve::Temporary>) -> Result<(), Error> {
    serve::log::start(&settings.config.log);
    let threads = usize::try_from(runtime::host::cores()).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().map_err(Error::Signals)?;
    let outcome = runtime.block_on(serve::run(settings, flags, temporary));
    runtime.shutdown_timeout(LAST); // a log that nobody reads must not keep us here
    outcome
}

fn check(flags: &Flags) -> Result<(), Error> {
    let settings = Settings::load(flags, &Environment::of_process())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Signals)?;
    let faults = runtime.block_on(serve::faults(&settings));
    if !faults.is_empty() {
        return Err(faults.into_iter().collect::<Problems>().into());
    }
    let file = settings.file.map_or_else(|| "no file, defaults only".to_owned(), |file| file.display().to_string());
    say(&format!("the config can be used ({file}): {} deployments\n", settings.config.deployments.len()));
    Ok(())
}

fn run_echo(socket: &std::path::Path) -> Result<(), Error> {
    serve::log::start(&config::Log::default());
    let key = Environment::of_process().secret("ECHO_API_KEY");
    let failed = |source| Error::Write { path: socket.to_owned(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(echo::serve(socket, key)).map_err(failed)
}

fn say(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn told(outcome: Result<(), Error>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let hint = error.hint().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    let text = format!("error: {}\n{hint}", base::chain(&error));
    // Nobody reads a standard error that is closed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    ExitCode::from(if matches!(error, Error::Config(_)) { MISUSE } else { 1 })
}
