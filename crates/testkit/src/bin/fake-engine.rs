//! Stands in the place of llama-server; see [`testkit::engine_fake`].

use std::process::ExitCode;

fn main() -> ExitCode {
    testkit::engine_fake::main(std::env::args_os().skip(1), std::env::vars_os())
}
