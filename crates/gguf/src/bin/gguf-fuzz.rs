//! Throws damaged files at the GGUF reader for a while: `gguf-fuzz --seconds 60 --seed 1 [FILE...]`.
//!
//! In: how long, a seed, files to damage beside the built-in ones. Out: what was tried, in one
//! line. Fails: with exit status 1 when a file broke a rule; that file is
//! written to the temporary folder. From: [`gguf::fuzz`].

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use gguf::fuzz::{self, Failure, Until};

const USAGE: &str = "usage: gguf-fuzz [--seconds N] [--seed N] [FILE...]";
const SECONDS: u64 = 10;

struct Ask {
    seconds: u64,
    seed: u64,
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let Some(ask) = read_arguments(std::env::args().skip(1)) else {
        say(USAGE);
        return ExitCode::from(2);
    };
    let mut files = fuzz::samples();
    for path in &ask.files {
        match header_of(path) {
            Ok(file) => files.push(file),
            Err(error) => {
                say(&format!("{}: {error}", path.display()));
                return ExitCode::from(2);
            }
        }
    }
    let report = fuzz::run_on(&files, ask.seed, Until::Elapsed(Duration::from_secs(ask.seconds)));
    say(&format!(
        "executions {}, accepted {}, refused {}, seed {}, files {}",
        report.executions,
        report.accepted,
        report.refused,
        ask.seed,
        files.len()
    ));
    match report.failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            say(&describe(&failure));
            ExitCode::FAILURE
        }
    }
}

/// `None` when it cannot be understood. Without files named, the model of the repository is taken
/// too, if it is there.
fn read_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Ask> {
    let mut ask = Ask { seconds: SECONDS, seed: 0, files: Vec::new() };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => ask.seconds = arguments.next()?.parse().ok()?,
            "--seed" => ask.seed = arguments.next()?.parse().ok()?,
            flag if flag.starts_with('-') => return None,
            path => ask.files.push(path.into()),
        }
    }
    let model = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny.gguf"));
    if ask.files.is_empty() && model.exists() {
        ask.files.push(model);
    }
    Some(ask)
}

/// The header of a valid file, and how long the whole is.
fn header_of(path: &PathBuf) -> Result<(Vec<u8>, u64), gguf::Error> {
    use std::io::Read as _;
    let refused = |source| gguf::Error::Open { path: path.clone(), source };
    let file = gguf::File::read(path)?;
    let mut bytes = Vec::new();
    let open = std::fs::File::open(path).map_err(refused)?;
    open.take(file.data_start()).read_to_end(&mut bytes).map_err(refused)?;
    Ok((bytes, file.file_len()))
}

fn describe(failure: &Failure) -> String {
    let path = std::env::temp_dir().join("gguf-fuzz-failure.gguf");
    let kept = match std::fs::write(&path, &failure.bytes) {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("not kept: {error}"),
    };
    format!("broke {:?} with a claimed length of {}: {kept}", failure.rule, failure.file_len)
}

fn say(line: &str) {
    // Nobody is left to tell when standard output is closed.
    let _ = writeln!(std::io::stdout(), "{line}");
}
