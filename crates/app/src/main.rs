//! The `penstock` program.

use std::ffi::OsString;
use std::process::ExitCode;

/// A tenth less CPU for a call than with the system's, whose top of the heap goes to and fro under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    // A keeper must be one before there is any other thread.
    if args.get(1).is_some_and(|word| word == "keep") {
        return app::cli::keep(args.split_off(2));
    }
    app::cli::main(args)
}
