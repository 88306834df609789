//! nginx as a plain reverse proxy: what a gateway that does nothing costs.
//!
//! In: the stage. Out: one worker with kept connections on both sides and no log. Fails: when it can neither be
//! found nor obtained. It is unpacked into the cache, not installed: an installed one would start by
//! itself and listen on port 80.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::party::{Started, UPSTREAM_MODEL, free_port, wait, write};
use super::stage::Stage;
use crate::scratch::Scratch;
use crate::site::{self, Site};
use crate::{say, shell};

const START: Duration = Duration::from_secs(10);
/// Where Debian puts it, which is not on everybody's PATH.
const DEBIAN: &str = "usr/sbin/nginx";

pub(super) fn start(stage: &Stage) -> Result<Started> {
    let program = obtain(&stage.site)?;
    let version = shell::text(Command::new(&program).arg("-v"))?;
    let version = version.trim().rsplit('/').next().unwrap_or_default().to_owned();
    let folder = Scratch::new("nginx")?;
    let target = free_port()?;
    let config = write(folder.path(), "nginx.conf", &config(folder.path(), &target.to_string(), &stage.upstream.to_string()))?;
    let begun = Instant::now();
    let leash = stage.start(&program, &["-c", &config, "-e", "stderr"], &[], folder.path())?;
    wait(&leash, target, "/health", START)?;
    let ready = begun.elapsed();
    Ok(Started { leash, folder, ready, target, version, headers: Vec::new(), model: UPSTREAM_MODEL.to_owned() })
}

fn config(folder: &Path, listen: &str, upstream: &str) -> String {
    // As root the worker would change to a user who cannot look into our folder.
    let user = if site::is_root() { "user root;" } else { "" };
    let folder = folder.display();
    format!(
        "{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
error_log stderr warn;
pid {folder}/nginx.pid;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_max_body_size 64m;
    client_body_buffer_size 32m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    upstream model {{ server {upstream}; keepalive 8192; keepalive_requests 1000000000; }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

fn obtain(site: &Site) -> Result<PathBuf> {
    let installed = site::on_path("nginx").or_else(|| Some(Path::new("/").join(DEBIAN)).filter(|path| site::is_executable(path)));
    if let Some(found) = installed {
        return Ok(found);
    }
    let folder = site.cache.join("tools/nginx");
    let binary = folder.join(DEBIAN);
    if !site::is_executable(&binary) {
        unpack(&folder)?;
    }
    if !site::is_executable(&binary) {
        bail!("the package brought no {}", binary.display());
    }
    Ok(binary)
}

fn unpack(folder: &Path) -> Result<()> {
    if site::on_path("apt-get").is_none() {
        bail!("no nginx on the PATH; install it with your system's package manager");
    }
    say::note("obtaining nginx (once)");
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let download = || shell::text(Command::new("apt-get").args(["download", "nginx"]).current_dir(folder));
    if download().is_err() {
        shell::text(Command::new("apt-get").arg("update")).context("apt-get knows no nginx; run `sudo apt-get update`")?;
        download()?;
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            shell::text(Command::new("dpkg-deb").arg("-x").arg(&path).arg(folder))?;
        }
    }
    Ok(())
}
