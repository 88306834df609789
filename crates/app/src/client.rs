//! The client verbs of the command line.
//!
//! Life of a verb: its words are read by clap into a [`Command`]; [`Server`] knows where the server
//! is and which token to show; the verb asks over HTTP like any other client; what comes back goes
//! through [`out`] as a table for people, or as JSON or YAML for programs. What goes wrong is a
//! [`Failure`] with an exit status that scripts can use: 1 failed, 2 misused, 3 not found, 4 not
//! allowed, 5 no server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

mod allocation;
mod allowance;
mod card;
mod credentials;
mod deploy;
mod doctor;
mod follow;
mod login;
mod model;
mod project;
mod pull;
mod push;
mod rollout;
mod route;
mod run;
mod secret;
mod token;
mod top;
mod webhook;

mod act;
mod explain;
mod look;

mod own;
mod talk;

mod usage;
mod user;

mod chat;

mod http;
mod trust;

mod failure;
mod out;

pub use failure::Failure;
use http::Server;

/// What every client verb understands.
#[derive(Debug, Clone, Args)]
pub struct Globals {
    /// Where the server is; by default the one of this machine, else the one that was logged in to last, else http://127.0.0.1:8080
    #[arg(long, global = true, env = "PENSTOCK_URL", hide_env_values = true, value_name = "URL", help_heading = "Server")]
    pub server: Option<String>,
    /// The token to show; by default that of `penstock login`, else the server of this machine is shown its admin token
    #[arg(long, global = true, env = "PENSTOCK_TOKEN", hide_env_values = true, help_heading = "Server")]
    pub token: Option<String>,
    /// A file of authorities, as PEM, that are believed beside those of this machine, where the server speaks TLS
    #[arg(long, global = true, env = "PENSTOCK_CACERT", hide_env_values = true, value_name = "FILE", help_heading = "Server")]
    pub cacert: Option<PathBuf>,
    /// How to print: table, json or yaml; usage also as csv
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table, hide_possible_values = true, value_name = "FORM", help_heading = "Server")]
    pub output: Output,
    /// Where the server of this machine keeps its data: its address, its token
    #[arg(skip)]
    pub data_dir: Option<PathBuf>,
    /// Where logins are stored
    #[arg(skip)]
    pub config_dir: Option<PathBuf>,
    /// Why the config of this machine does not say where its server is
    #[arg(skip)]
    pub fault: Option<String>,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// As the API gives it.
    Json,
    /// The same as YAML.
    Yaml,
    /// With commas between, for spreadsheets; only what is a table of numbers.
    Csv,
}

/// A client verb.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Talk to a model; loads it if need be
    #[command(
        after_help = "Examples:\n  penstock run tiny\n  penstock run tiny \"What is the capital of France?\"\n  penstock run ./models/tiny.gguf < question.txt\n\nWithout a server, a .gguf file gets one for as long as the talk lasts."
    )]
    Run(run::Run),
    /// List what is served
    #[command(visible_alias = "ls")]
    List {
        /// Only what belongs to this project
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
    /// List running instances
    Ps,
    /// Watch who holds how much of the machines' memory, and what runs there
    Top(top::Top),
    /// Set memory aside for work that is not Penstock's, and give it back
    #[command(subcommand)]
    Allocation(allocation::Allocation),
    /// Show all that is known of one deployment
    Show {
        /// The deployment
        name: String,
    },
    /// Say step by step why a deployment is as it is
    Explain {
        /// The deployment
        name: String,
    },
    /// Say whether a model would fit, where, and who would leave for it
    #[command(
        after_help = "Nothing is loaded or changed by asking.\n\nExamples:\n  penstock fit ./models/large.gguf --context 32768\n  penstock fit tiny --parallel 8"
    )]
    Fit(explain::Fit),
    /// Put a model into service, or change how it is served
    #[command(
        override_usage = "penstock deploy [OPTIONS] NAME\n       penstock deploy [OPTIONS] -f FILE [NAME]",
        after_help = "On a deployment that is there, only what is said changes; with -f it becomes what the file says.\n\nExamples:\n  penstock deploy tiny --model ./models/tiny.gguf --wait\n  penstock deploy tiny --parallel 4\n  penstock deploy gpt --url http://127.0.0.1:9000/v1 --api-key-env UPSTREAM_KEY\n  penstock deploy -f deployment.yaml"
    )]
    Deploy(Box<deploy::Deploy>),
    /// Follow, pause and undo the change of a deployment from one revision to the next
    #[command(subcommand)]
    Rollout(rollout::Rollout),
    /// Set how many instances there are
    #[command(
        after_help = "Examples:\n  penstock scale tiny --replicas 2\n  penstock scale tiny --min 1 --max 4\n  penstock scale tiny --replicas 0      unloads it; the next call loads it again"
    )]
    Scale(rollout::Scale),
    /// Load a deployment now
    Load {
        /// The deployment
        name: String,
    },
    /// Unload a deployment; the next call loads it again
    Stop {
        /// The deployment
        name: String,
    },
    /// Take a deployment out of service and forget it
    Rm {
        /// The deployment
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Wait until a deployment is ready
    Wait {
        /// The deployment
        name: String,
        /// Give up after this time
        #[arg(short, long, value_name = "TIME", default_value = "5m", value_parser = duration)]
        timeout: std::time::Duration,
    },
    /// Show the log of an engine
    Logs(follow::Logs),
    /// Show what happened
    Events(follow::Events),
    /// Sum up what was used, and what it cost
    #[command(
        after_help = "Examples:\n  penstock usage\n  penstock usage --by day,model --from 30d\n  penstock usage --by token --from 2026-01-01 --to 2026-02-01 -o csv > january.csv"
    )]
    Usage(usage::Words),
    /// Look at the models of the registry, say something of them, and move their tags
    #[command(subcommand)]
    Model(model::Model),
    /// Give files of the server's machine a name in the registry
    #[command(
        after_help = "Examples:\n  penstock import ./models/tiny.gguf tiny\n  penstock import ./models/big-00001-of-00003.gguf big:v2 --copy --licence Apache-2.0\n  penstock import ./encoder encoder --move"
    )]
    Import(Box<model::Import>),
    /// Fetch a model from a hub, a registry, a URL or an object store
    #[command(
        after_help = "The server fetches it, and this shows how far it is. Ctrl-C stops it; what has come is kept, and the same command goes on behind it.\n\nExamples:\n  penstock pull hf:Qwen/Qwen3-8B-GGUF:Q4_K_M\n  penstock pull ollama:llama3.2 llama\n  penstock pull https://models.example/tiny.gguf#sha256=… tiny:v1\n  penstock pull s3://models/tiny.gguf --detach\n  penstock pull tiny      looks whether there is something newer"
    )]
    Pull(Box<pull::Pull>),
    /// Send files of this machine to the registry of a server
    #[command(
        after_help = "What breaks off goes on where it stopped when it is said again, and what is there already is not sent.\n\nExamples:\n  penstock push ./tiny.gguf tiny:v1 --server https://models.example\n  penstock push ./encoder encoder --description \"Finds what is meant\""
    )]
    Push(Box<push::Push>),
    /// Share the calls of one model name among deployments
    #[command(subcommand)]
    Route(route::Route),
    /// Look at who is told of what happens, and try a receiver again
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// Keep keys of others, list them, remove them, and seal them by another master key
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Log in with an identity provider, and store what the other verbs need
    #[command(
        after_help = "The person logs in on another page, with a browser anywhere.\n\nExamples:\n  penstock login --server https://penstock.example.org\n  penstock login --provider corp\n  penstock login --with-token < token.txt"
    )]
    Login(login::Login),
    /// Forget a login, and take its token back
    Logout,
    /// Say who the server takes you for
    Whoami,
    /// Make, list and revoke tokens
    #[command(subcommand)]
    Token(token::Token),
    /// Make, list, disable and remove users and service accounts, and give them roles
    #[command(subcommand)]
    User(user::User),
    /// Make, list and remove roles: names for what users and tokens may do
    #[command(subcommand)]
    Role(user::Role),
    /// Make, list, change and remove projects: what tokens may use together
    #[command(subcommand)]
    Project(project::Project),
    /// Check this machine and the server
    Doctor,
    /// Print a completion script: source <(penstock completion bash)
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Does what the verb says.
pub fn run(command: Command, globals: &Globals) -> ExitCode {
    let done = match command {
        _ if globals.output == Output::Csv && !matches!(command, Command::Usage(_)) => Err(out::no_csv()),
        Command::Completion { shell } => completion(shell),
        Command::Doctor => doctor::doctor(globals),
        Command::Run(words) => run::run(&words, globals),
        Command::Login(words) => login::login(globals, &words),
        Command::Logout => login::logout(globals),
        other => Server::of(globals).and_then(|server| {
            let name = other.deployment().map(str::to_owned);
            let done = ask(other, &server, globals.output);
            done.map_err(|failure| match &name {
                Some(name) => look::near(&server, name, failure),
                None => failure,
            })
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_output() => ExitCode::SUCCESS, // as `head` expects
        Err(failure) => {
            out::complain(&failure);
            failure.status()
        }
    }
}

impl Command {
    /// The deployment that must be there.
    fn deployment(&self) -> Option<&str> {
        match self {
            Self::Show { name }
            | Self::Explain { name }
            | Self::Load { name }
            | Self::Stop { name }
            | Self::Rm { name, .. }
            | Self::Wait { name, .. } => Some(name),
            Self::Logs(words) => Some(&words.name),
            Self::Rollout(verb) => Some(verb.deployment()),
            Self::Scale(words) => Some(&words.name),
            _ => None,
        }
    }
}

fn ask(command: Command, server: &Server, output: Output) -> Result<(), Failure> {
    match command {
        Command::List { project } => look::list(server, project.as_deref(), output),
        Command::Ps => look::instances(server, output),
        Command::Top(words) => top::top(server, &words, output),
        Command::Allocation(verb) => allocation::allocation(server, verb, output),
        Command::Show { name } => look::show(server, &name, output),
        Command::Explain { name } => explain::explain(server, &name, output),
        Command::Fit(words) => explain::fit(server, &words, output),
        Command::Deploy(words) => deploy::deploy(server, &words, output),
        Command::Rollout(verb) => rollout::rollout(server, &verb, output),
        Command::Scale(words) => rollout::scale(server, &words, output),
        Command::Load { name } => act::load(server, &name, output),
        Command::Stop { name } => act::stop(server, &name, output),
        Command::Rm { name, yes } => act::remove(server, &name, yes, output),
        Command::Wait { name, timeout } => act::wait(server, &name, timeout, output),
        Command::Logs(words) => follow::logs(server, &words),
        Command::Events(words) => follow::events(server, &words, output),
        Command::Usage(words) => usage::usage(server, &words, output),
        Command::Model(verb) => model::model(server, verb, output),
        Command::Import(words) => model::import(server, &words, output),
        Command::Pull(words) => pull::pull(server, &words, output),
        Command::Push(words) => push::push(server, &words, output),
        Command::Route(verb) => route::route(server, verb, output),
        Command::Webhook(verb) => webhook::webhook(server, &verb, output),
        Command::Secret(verb) => secret::secret(server, &verb, output),
        Command::Token(verb) => token::token(server, verb, output),
        Command::Whoami => login::whoami(server, output),
        Command::User(verb) => user::user(server, verb, output),
        Command::Role(verb) => user::role(server, verb, output),
        Command::Project(verb) => project::project(server, verb, output),
        Command::Run(_) | Command::Doctor | Command::Login(_) | Command::Logout | Command::Completion { .. } => Ok(()), // done above, without a server
    }
}

fn completion(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::cli::command(), "penstock", &mut script);
    out::print(&String::from_utf8_lossy(&script))
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    base::clock::human::parse(text).ok_or_else(|| "write 500ms, 30s, 5m or 1h".to_owned())
}

#[cfg(test)]
mod tests;
