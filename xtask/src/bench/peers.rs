//! Other gateways, each as its own documents say to start it in front of an OpenAI-compatible server.
//!
//! In: the stage. Out: one process that answers. Fails: when it cannot be obtained or does not start; then the
//! benchmark goes on without it. Obtained once, into the cache: from PyPI and npm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::party::{Started, UPSTREAM_MODEL, free_port, wait, write};
use super::stage::Stage;
use crate::packages::{self, Need};
use crate::scratch::Scratch;
use crate::site::{self, Site};
use crate::{say, shell};

/// Python takes its time to import everything.
const START: Duration = Duration::from_mins(2);

struct Package {
    name: &'static str,
    version: &'static str,
    /// As the package manager wants it.
    wanted: &'static str,
    /// Below the folder that it is installed in.
    program: &'static str,
}

const SGLANG: Package = Package { name: "sglang-router", version: "0.3.2", wanted: "sglang-router==0.3.2", program: "bin/python3" };
const LITELLM: Package = Package { name: "litellm", version: "1.101.6", wanted: "litellm[proxy]==1.101.6", program: "bin/litellm" };
const PORTKEY: Package = Package {
    name: "portkey",
    version: "1.15.2",
    wanted: "@portkey-ai/gateway@1.15.2",
    program: "node_modules/@portkey-ai/gateway/build/start-server.js",
};

pub(super) fn sglang(stage: &Stage) -> Result<Started> {
    let program = from_pypi(&stage.site, &SGLANG)?;
    let (folder, target) = (Scratch::new("sglang")?, free_port()?);
    let (upstream, port) = (format!("http://{}", stage.upstream), target.port().to_string());
    let words =
        ["-m", "sglang_router.launch_router", "--worker-urls", &upstream, "--host", "127.0.0.1", "--port", &port, "--log-level", "warn"];
    let begun = Instant::now();
    let leash = stage.start(&program, &words, &[], folder.path())?;
    wait(&leash, target, "/health", START)?;
    let ready = begun.elapsed();
    Ok(Started { leash, folder, ready, target, version: SGLANG.version.to_owned(), headers: Vec::new(), model: UPSTREAM_MODEL.to_owned() })
}

pub(super) fn litellm(stage: &Stage) -> Result<Started> {
    let program = from_pypi(&stage.site, &LITELLM)?;
    let (folder, target) = (Scratch::new("litellm")?, free_port()?);
    let config = json!({
        "model_list": [{
            "model_name": "bench",
            "litellm_params": { "model": format!("openai/{UPSTREAM_MODEL}"), "api_base": format!("http://{}/v1", stage.upstream), "api_key": "none" },
        }],
        "litellm_settings": { "telemetry": false },
    });
    let config = write(folder.path(), "litellm.yaml", &config.to_string())?;
    let port = target.port().to_string();
    let words = ["--config", &config, "--host", "127.0.0.1", "--port", &port, "--num_workers", "1"];
    let begun = Instant::now();
    // Prices come with the package; it must not ask the network for them.
    let leash = stage.start(&program, &words, &[("LITELLM_LOCAL_MODEL_COST_MAP", Path::new("True"))], folder.path())?;
    wait(&leash, target, "/health/liveliness", START)?;
    let ready = begun.elapsed();
    Ok(Started { leash, folder, ready, target, version: LITELLM.version.to_owned(), headers: Vec::new(), model: "bench".to_owned() })
}

pub(super) fn portkey(stage: &Stage) -> Result<Started> {
    let script = from_npm(&stage.site, &PORTKEY)?;
    let node = site::on_path("node").context("no `node` on the PATH")?;
    let (folder, target) = (Scratch::new("portkey")?, free_port()?);
    let port = format!("--port={}", target.port());
    let script = script.display().to_string();
    let begun = Instant::now();
    let leash = stage.start(&node, &[&script, &port, "--headless"], &[], folder.path())?;
    wait(&leash, target, "/", START)?;
    let ready = begun.elapsed();
    let headers = vec![
        "x-portkey-provider: openai".to_owned(),
        format!("x-portkey-custom-host: http://{}/v1", stage.upstream),
        "Authorization: Bearer none".to_owned(),
    ];
    Ok(Started { leash, folder, ready, target, version: PORTKEY.version.to_owned(), headers, model: UPSTREAM_MODEL.to_owned() })
}

fn from_pypi(site: &Site, package: &Package) -> Result<PathBuf> {
    let folder = site.cache.join("peers").join(format!("{}-{}", package.name, package.version));
    let program = folder.join(package.program);
    let done = folder.join("installed");
    if !done.exists() {
        packages::ensure(&[Need { program: "python3", proof: &["-c", "import venv, ensurepip"], package: "python3-venv" }])?;
        say::note(&format!("obtaining {} {} from PyPI (once)", package.name, package.version));
        let mut progress = say::Progress::new();
        shell::watched(Command::new("python3").args(["-m", "venv"]).arg(&folder), |line| progress.tell(line))?;
        let mut pip = Command::new(folder.join("bin/python3"));
        pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--only-binary", ":all:", package.wanted]);
        shell::watched(&mut pip, |line| progress.tell(line))?;
        fs::write(&done, package.version)?;
    }
    installed(program)
}

fn from_npm(site: &Site, package: &Package) -> Result<PathBuf> {
    let folder = site.cache.join("peers").join(format!("{}-{}", package.name, package.version));
    let program = folder.join(package.program);
    let done = folder.join("installed");
    if !done.exists() {
        if site::on_path("npm").is_none() {
            bail!("no `npm` on the PATH");
        }
        say::note(&format!("obtaining {} {} from npm (once)", package.name, package.version));
        fs::create_dir_all(&folder)?;
        let mut progress = say::Progress::new();
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(package.wanted);
        shell::watched(&mut npm, |line| progress.tell(line))?;
        fs::write(&done, package.version)?;
    }
    installed(program)
}

fn installed(program: PathBuf) -> Result<PathBuf> {
    if !program.exists() {
        bail!("the package brought no {}", program.display());
    }
    Ok(program)
}
