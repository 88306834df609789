//! `penstock doctor`: is this machine fit, and does the server answer?
//!
//! In: this machine and the server. Out: one line for each check: ok, warn or fail, with what to do.
//! Fails: when a check does.

use base::Fault as _;
use runtime::programs::Programs;
use serde_json::{Value, json};
use spec::EngineKind;

use super::http::Server;
use super::look::items;
use super::out::{answer, table, text};
use super::{Failure, Globals};
use crate::config::Environment;

struct Check {
    what: &'static str,
    verdict: &'static str,
    found: String,
    to_do: String,
}

pub(crate) fn doctor(globals: &Globals) -> Result<(), Failure> {
    let mut checks = vec![engine(), memory(), data_dir(globals)];
    checks.extend(server(globals));
    let failed = checks.iter().filter(|check| check.verdict == "fail").count();
    let rows: Vec<Value> =
        checks.iter().map(|c| json!({ "check": c.what, "verdict": c.verdict, "found": c.found, "to_do": c.to_do })).collect();
    answer(globals.output, &json!({ "items": rows }), |all| {
        let rows = items(all).map(|c| [text(&c["verdict"]), text(&c["check"]), text(&c["found"]), text(&c["to_do"])]);
        table(["", "CHECK", "FOUND", "TO DO"], rows)
    })?;
    if failed > 0 {
        return Err(Failure::Failed { what: format!("{failed} checks failed"), hint: String::new() });
    }
    Ok(())
}

fn ok(what: &'static str, found: String) -> Check {
    Check { what, verdict: "ok", found, to_do: String::new() }
}

fn engine() -> Check {
    let what = "llama-server";
    let environment = Environment::of_process();
    let configured = environment.path("PENSTOCK_LLAMA_SERVER").map(|path| (EngineKind::LlamaServer, path)).into_iter().collect();
    let carried = bundle::llama_server().map(|carried| carried.digest().to_owned());
    let own = std::env::current_exe().unwrap_or_else(|_| "penstock".into());
    let programs = Programs::new(own, configured, carried, environment.program_path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let found = match runtime {
        Ok(runtime) => runtime.block_on(programs.find(EngineKind::LlamaServer)),
        Err(error) => return Check { what, verdict: "fail", found: error.to_string(), to_do: "free some file descriptors".to_owned() },
    };
    match found {
        Ok(binary) => ok(what, format!("{:?}, {}", binary.program, binary.version)),
        Err(error) => Check { what, verdict: "fail", found: base::chain(&error), to_do: error.hint().unwrap_or_default() },
    }
}

fn memory() -> Check {
    const LITTLE: base::ByteSize = base::ByteSize::mib(1024);
    let (total, available) = runtime::host::memory();
    let found = format!("{available} free of {total}, {} cores", runtime::host::cores());
    if available < LITTLE {
        return Check { what: "memory", verdict: "warn", found, to_do: "only small models will fit".to_owned() };
    }
    ok("memory", found)
}

fn data_dir(globals: &Globals) -> Check {
    let what = "data directory";
    let Some(dir) = &globals.data_dir else { return ok(what, "none is needed".to_owned()) };
    let existing = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    let writable = nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK).is_ok();
    if writable {
        return ok(what, dir.display().to_string());
    }
    Check {
        what,
        verdict: "fail",
        found: format!("{} cannot be written", existing.display()),
        to_do: "choose another with data_dir or --data-dir".to_owned(),
    }
}

fn server(globals: &Globals) -> Vec<Check> {
    let fail =
        |what, failure: &Failure| Check { what, verdict: "fail", found: failure.to_string(), to_do: failure.hint().unwrap_or_default() };
    let server = match Server::of(globals) {
        Ok(server) => server,
        Err(failure) => return vec![fail("server", &failure)],
    };
    if !server.answers() {
        let found = format!("none answers at {}", server.url());
        return vec![Check { what: "server", verdict: "warn", found, to_do: "start one with `penstock serve`".to_owned() }];
    }
    let mut checks = vec![ok("server", server.url().to_owned())];
    match server.get("/api/v1/deployments") {
        Ok(all) => {
            checks.push(ok("token", "accepted".to_owned()));
            let failed = items(&all).filter(|d| d["status"]["state"] == "failed");
            checks.extend(failed.map(|d| Check {
                what: "deployment",
                verdict: "warn",
                found: format!("{}: {}", text(&d["name"]), text(&d["status"]["reason"]["message"])),
                to_do: text(&d["status"]["reason"]["remedy"]),
            }));
        }
        Err(failure) => checks.push(fail("token", &failure)),
    }
    checks
}
