//! What no single key can see: which values do not go together.
//!
//! In: a config whose parts are of the right kind. Out: problems, each at the place of its key.

use std::collections::BTreeSet;

use super::problem::Problem;
use super::settings::Config;
use super::tree::{Node, Step};
use super::types::Mode;

/// Everything that does not go together.
pub(super) fn check(config: &Config, root: &Node) -> Vec<Problem> {
    let mut found = Findings { root, problems: Vec::new() };
    listener(config, &mut found);
    older_names(config, &mut found);
    remote(config, &mut found);
    deployments(config, &mut found);
    if config.max_body_bytes.0 == 0 {
        found.add("max_body_bytes", "0 would refuse every call", "leave it out for 32 MiB");
    }
    found.problems
}

struct Findings<'a> {
    root: &'a Node,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    fn add(&mut self, key: &str, what: impl std::fmt::Display, hint: &str) {
        let steps: Vec<Step> = key.split('.').map(|step| Step::Key(step.to_owned())).collect();
        self.problems.push(Problem::new(self.root.origin(&steps), format!("{key}: {what}"), hint));
    }
}

fn listener(config: &Config, found: &mut Findings<'_>) {
    if config.auth.mode == Mode::Open && !config.listen.is_loopback() {
        let what = format!("{} can be reached from other machines, and with auth.mode `open` nobody is asked for a token", config.listen.0);
        found.add("listen", what, "use auth.mode: token, or listen on 127.0.0.1");
    }
}

fn older_names(config: &Config, found: &mut Findings<'_>) {
    if config.memory.budget.is_some() && config.vram_budget_mb.is_some() {
        found.add("vram_budget_mb", "memory.budget says the same", "keep one of the two");
    }
    if config.engines.llama_server.path.is_some() && config.llama_bin.is_some() {
        found.add("llama_bin", "engines.llama-server.path says the same", "keep one of the two");
    }
    if config.budget().is_some_and(|budget| budget <= config.margin()) {
        let key = if config.memory.budget.is_some() { "memory.budget" } else { "vram_budget_mb" };
        found.add(key, "nothing is left of the budget when the margin is kept free", "raise the budget, or lower the margin");
    }
}

fn remote(config: &Config, found: &mut Findings<'_>) {
    match &config.llama_url {
        Some(url) if !(url.starts_with("http://") || url.starts_with("https://")) => {
            found.add("llama_url", format!("`{url}` is not a URL"), "write http://HOST:PORT");
        }
        None if config.llama_api_key.is_some() => {
            found.add("llama_api_key", "there is no llama_url that it could be for", "add llama_url, or remove the key");
        }
        _ => {}
    }
}

fn deployments(config: &Config, found: &mut Findings<'_>) {
    let mut names = BTreeSet::new();
    for (index, deployment) in config.deployments.iter().enumerate() {
        let here = vec![Step::Key("deployments".to_owned()), Step::Index(index)];
        if !names.insert(&deployment.name) {
            let what = format!("deployments[{index}]: there is another deployment `{}`", deployment.name);
            found.problems.push(Problem::new(found.root.origin(&here), what, "give each a name of its own"));
        }
        let Err(invalid) = deployment.check() else { continue };
        for problem in invalid.0 {
            let field = problem.field.split('.').map(|step| Step::Key(step.to_owned()));
            let at = found.root.origin(&here.iter().cloned().chain(field).collect::<Vec<_>>());
            let what = format!("deployments[{index}].{}: {}", problem.field, problem.what);
            found.problems.push(Problem::new(at, what, problem.hint));
        }
    }
}
