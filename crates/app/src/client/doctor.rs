//! `penstock doctor`: is this machine fit, and does the server answer?
//!
//! In: this machine, its config and the server. Out: one line for each check: ok, warn or fail, and
//! what to do. Fails: when a check does.

use base::{ByteSize, Fault as _};
use serde_json::{Value, json};
use spec::{EngineKind, Program};

use super::http::Server;
use super::look::items;
use super::out::{answer, text};
use super::{Failure, Globals};
use crate::config::{Environment, Flags, Settings};

struct Check {
    what: &'static str,
    verdict: &'static str,
    found: String,
    to_do: String,
}

pub(crate) fn doctor(globals: &Globals) -> Result<(), Failure> {
    let (settings, config) = config();
    let mut checks = vec![config, engine(&settings), memory(), data_dir(globals, settings.config.blobs.reserve)];
    checks.extend(server(globals));
    let failed = checks.iter().filter(|check| check.verdict == "fail").count();
    let rows: Vec<Value> =
        checks.iter().map(|c| json!({ "check": c.what, "verdict": c.verdict, "found": c.found, "to_do": c.to_do })).collect();
    answer(globals.output, &json!({ "items": rows }), |all| items(all).map(row).collect())?;
    match failed {
        0 => Ok(()),
        1 => Err(Failure::Failed { what: "a check failed".to_owned(), hint: String::new() }),
        many => Err(Failure::Failed { what: format!("{many} checks failed"), hint: String::new() }),
    }
}

/// One line, and what to do below it.
pub(super) fn row(check: &Value) -> String {
    let row = format!("{:<5} {:<15} {}", text(&check["verdict"]), text(&check["check"]), text(&check["found"]));
    let row = row.trim_end();
    match text(&check["to_do"]).as_str() {
        "" => format!("{row}\n"),
        to_do => format!("{row}\n{:22}-> {to_do}\n", ""),
    }
}

fn ok(what: &'static str, found: String) -> Check {
    Check { what, verdict: "ok", found, to_do: String::new() }
}

fn config() -> (Settings, Check) {
    let (what, environment) = ("config", Environment::of_process());
    match Settings::load(&Flags::default(), &environment) {
        Ok(settings) => {
            let file = settings.file.as_ref().map_or_else(|| "no file, defaults only".to_owned(), |file| file.display().to_string());
            (settings, ok(what, file))
        }
        Err(problems) => {
            let to_do = "mend it; `penstock config reference` lists all keys".to_owned();
            let check = Check { what, verdict: "fail", found: problems.to_string(), to_do };
            (Settings::new(crate::config::Config::default(), environment), check)
        }
    }
}

fn engine(settings: &Settings) -> Check {
    let what = "llama-server";
    let programs = crate::serve::programs(settings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let found = match runtime {
        Ok(runtime) => runtime.block_on(programs.find(EngineKind::LlamaServer)),
        Err(error) => return Check { what, verdict: "fail", found: error.to_string(), to_do: "free some file descriptors".to_owned() },
    };
    match found {
        Ok(binary) => match binary.program {
            Program::Path(path) => ok(what, format!("{}, {}", binary.version, path.display())),
            _ => ok(what, format!("{}, in this program", binary.version)),
        },
        // Remote engines and echo work without it.
        Err(error) => Check { what, verdict: "warn", found: base::chain(&error), to_do: error.hint().unwrap_or_default() },
    }
}

fn memory() -> Check {
    const LITTLE: ByteSize = ByteSize::mib(1024);
    let (total, available) = runtime::host::memory();
    let found = format!("{available} free of {total}, {} cores", runtime::host::cores());
    if available < LITTLE {
        return Check { what: "memory", verdict: "warn", found, to_do: "only small models will fit".to_owned() };
    }
    ok("memory", found)
}

fn data_dir(globals: &Globals, reserve: ByteSize) -> Check {
    let what = "data directory";
    let Some(dir) = &globals.data_dir else { return ok(what, "none is needed".to_owned()) };
    let existing = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    if existing.is_dir() && nix::unistd::access(existing, nix::unistd::AccessFlags::W_OK).is_ok() {
        let Ok(free) = blobs::free(existing) else { return ok(what, dir.display().to_string()) };
        let (verdict, to_do) = room(free, reserve);
        return Check { what, verdict, found: format!("{}, {free} free", dir.display()), to_do: to_do.to_owned() };
    }
    let found = format!("{} cannot be written", existing.display());
    Check { what, verdict: "fail", found, to_do: "choose another with data_dir or --data-dir".to_owned() }
}

/// Whether what is free of the disk is enough, and what to do.
pub(super) fn room(free: ByteSize, reserve: ByteSize) -> (&'static str, &'static str) {
    /// As much as the log of the database grows at once.
    const NEXT_TO_NOTHING: ByteSize = ByteSize::mib(16);
    match free {
        free if free < NEXT_TO_NOTHING => ("fail", "free some space on this disk: without it every change is refused"),
        free if free < reserve => ("warn", "free some space on this disk, or lower blobs.reserve: no model can be sent or fetched"),
        _ => ("ok", ""),
    }
}

fn server(globals: &Globals) -> Vec<Check> {
    let fail =
        |what, failure: &Failure| Check { what, verdict: "fail", found: failure.to_string(), to_do: failure.hint().unwrap_or_default() };
    let server = match Server::of(globals) {
        Ok(server) => server,
        Err(failure) => return vec![fail("server", &failure)],
    };
    match server.alive() {
        Err(failure @ (Failure::NoServer { .. } | Failure::Stranger { .. })) => {
            return vec![Check { verdict: "warn", ..fail("server", &failure) }];
        }
        Err(failure) => return vec![fail("server", &failure)],
        Ok(()) => {}
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
            let receivers = server.get("/api/v1/webhooks").unwrap_or_default(); // an older server has none
            checks.extend(items(&receivers).map(webhook));
        }
        Err(failure) => checks.push(fail("token", &failure)),
    }
    checks
}

/// How a receiver of events does.
fn webhook(one: &Value) -> Check {
    let (what, name) = ("webhook", text(&one["name"]));
    let behind = format!("{name}: {} sent, {} behind, {} dropped", text(&one["sent"]), text(&one["lag"]), text(&one["dropped"]));
    match one["state"].as_str() {
        Some("disabled") => {
            let to_do = format!("mend the receiver, then `penstock webhook resume {name}`; or take it out of the config");
            Check { what, verdict: "warn", found: format!("{behind}; {}", text(&one["disabled"])), to_do }
        }
        Some("failing") => {
            let found = format!("{behind}; {}", text(&one["last_failure"]["what"]));
            Check { what, verdict: "warn", found, to_do: format!("check that {} answers with 200", text(&one["origin"])) }
        }
        _ => ok(what, behind),
    }
}
