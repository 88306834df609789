//! What no single key can see: which values do not go together.
//!
//! In: a config whose parts are of the right kind. Out: problems, each at the place of its key.

use std::collections::BTreeSet;

use access::login;
use base::ByteSize;
use spec::route::Map;
use spec::{Deployment, Invalid, Name, check};

use super::problem::Problem;
use super::settings::Config;
use super::tree::{Node, Step};
use super::types::Mode;

/// Everything that does not go together.
pub(super) fn check(config: &Config, root: &Node) -> Vec<Problem> {
    let mut found = Findings { root, problems: Vec::new() };
    listener(config, &mut found);
    tls(config, &mut found);
    limits(config, &mut found);
    older_names(config, &mut found);
    remote(config, &mut found);
    deployments(config, &mut found);
    routes(config, &mut found);
    webhooks(config, &mut found);
    auth(config, &mut found);
    otlp(config, &mut found);
    usage(config, &mut found);
    responses(config, &mut found);
    depots(config, &mut found);
    times(config, &mut found);
    if found.problems.is_empty() {
        names(config, &mut found);
    }
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

    /// What is wrong with an entry of a list by itself.
    fn add_all(&mut self, checked: Result<(), Invalid>, here: &[Step], name: &str) {
        for problem in checked.err().map(|invalid| invalid.0).unwrap_or_default() {
            let field = problem.field.split(['.', '[']).map(|step| match step.strip_suffix(']').and_then(|index| index.parse().ok()) {
                Some(index) => Step::Index(index),
                None => Step::Key(step.to_owned()),
            });
            let at = self.root.origin(&here.iter().cloned().chain(field).collect::<Vec<_>>());
            self.problems.push(Problem::new(at, format!("{name}.{}: {}", problem.field, problem.what), problem.hint));
        }
    }
}

fn listener(config: &Config, found: &mut Findings<'_>) {
    if config.auth.mode == Mode::Open && !config.listen.is_loopback() {
        let what = format!("{} can be reached from other machines, and with auth.mode `open` nobody is asked for a token", config.listen.0);
        found.add("listen", what, "use auth.mode: token, or listen on 127.0.0.1");
    }
}

fn tls(config: &Config, found: &mut Findings<'_>) {
    let tls = &config.tls;
    match (&tls.cert, &tls.key) {
        (Some(_), None) => found.add("tls.cert", "a certificate is of no use without its key", "name the key's file in tls.key"),
        (None, Some(_)) => found.add("tls.key", "a key is of no use without its certificate", "name the certificate's file in tls.cert"),
        (None, None) if tls.client_ca.is_some() => {
            found.add("tls.client_ca", "clients show certificates only where TLS is spoken", "add tls.cert and tls.key, or remove it");
        }
        _ => {}
    }
}

/// Less than this is less than clients bring who mean no harm.
fn limits(config: &Config, found: &mut Findings<'_>) {
    const LEAST_HEADERS: u32 = 64;
    const LEAST_BYTES: ByteSize = ByteSize(16 << 10);
    const MOST_BYTES: ByteSize = ByteSize::mib(1);
    let limits = &config.limits;
    let none = [
        ("limits.connections", limits.connections),
        ("limits.connections_per_address", limits.connections_per_address),
        ("limits.streams", limits.streams),
    ];
    for (key, _) in none.into_iter().filter(|(_, number)| *number == 0) {
        found.add(key, "0 would let nobody in", "leave it out for the usual number");
    }
    if limits.headers < LEAST_HEADERS {
        found.add("limits.headers", format!("{} are fewer than clients send", limits.headers), "write 64 or more; leave it out for 100");
    }
    if limits.header_bytes < LEAST_BYTES || limits.header_bytes > MOST_BYTES {
        let what = format!("{} is no size for the headers of a request", limits.header_bytes);
        found.add("limits.header_bytes", what, "write 16KiB to 1MiB; leave it out for 64 KiB");
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
    if config.llama_ctx.is_some_and(|tokens| (1..Deployment::LEAST_CONTEXT).contains(&tokens)) {
        let what = format!("less than {} tokens", Deployment::LEAST_CONTEXT);
        found.add("llama_ctx", what, "leave it out, or write 0, for the model's own context");
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

fn depots(config: &Config, found: &mut Findings<'_>) {
    let (blobs, pull) = (&config.blobs, &config.pull);
    let kinds = ["s3://", "s3a://", "gs://", "az://", "azure://", "abfs://", "abfss://", "file:"];
    if let Some(url) = blobs.url.as_ref().filter(|url| !kinds.iter().any(|kind| url.starts_with(kind))) {
        found.add("blobs.url", format!("`{url}` is no object store"), "write s3://BUCKET/PREFIX, gs://…, az://… or file:PATH");
    }
    for bucket in &pull.buckets {
        let named = ["s3://", "gs://", "az://"].iter().find_map(|kind| bucket.strip_prefix(kind));
        if named.is_none_or(|name| name.is_empty() || name.starts_with('/') || name.contains(['?', '#', '%', '@']) || name.contains("..")) {
            found.add("pull.buckets", format!("`{bucket}` names no bucket"), "write s3://BUCKET, s3://BUCKET/PREFIX, gs://… or az://…");
        }
    }
    for (key, list) in [
        ("blobs.options", &blobs.options),
        ("blobs.secrets", &blobs.secrets),
        ("pull.options", &pull.options),
        ("pull.secrets", &pull.secrets),
    ] {
        if let Some(bad) = list.iter().find(|one| one.split_once('=').is_none_or(|(key, value)| key.is_empty() || value.is_empty())) {
            found.add(key, format!("`{bad}` is not KEY=VALUE"), "write region=eu-central-1, for example");
        }
    }
    let secret = |one: &&String| {
        ["secret", "token", "password", "access_key", "account_key", "sas"].iter().any(|word| one.to_ascii_lowercase().contains(word))
    };
    for (group, options) in [("blobs", &blobs.options), ("pull", &pull.options)] {
        if let Some(bad) = options.iter().find(|one| secret(one) && !one.to_ascii_lowercase().contains("file")) {
            let key = bad.split('=').next().unwrap_or_default();
            let hint = format!("put it into an environment variable, and name that in {group}.secrets");
            found.add(&format!("{group}.options"), format!("`{key}` is a secret"), &hint);
        }
    }
    for (key, url) in [("pull.hub", &pull.hub), ("pull.ollama", &pull.ollama)] {
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            found.add(key, format!("`{url}` is no URL"), "write https://HOST");
        }
    }
    if blobs.unfinished.is_zero() {
        found.add("blobs.unfinished", "it would give every file up between two of its pieces", "leave it out for 7d");
    }
    if pull.stall.is_zero() {
        found.add("pull.stall", "it would give every line up at once", "leave it out for 30s");
    }
}

fn otlp(config: &Config, found: &mut Findings<'_>) {
    let otlp = &config.otlp;
    match &otlp.endpoint {
        Some(url) if !(url.starts_with("http://") || url.starts_with("https://")) => {
            found.add("otlp.endpoint", format!("`{url}` is not a URL"), "write http://HOST:4318; spans go to /v1/traces below it");
        }
        _ => {}
    }
    if !(0.0..=1.0).contains(&otlp.sample_ratio) {
        found.add("otlp.sample_ratio", format!("{} is no share", otlp.sample_ratio), "write a number from 0 (none) to 1 (all)");
    }
    let faulty = |headers: &base::Secret| headers.expose().split(',').any(|pair| !pair.contains('='));
    if otlp.headers.as_ref().is_some_and(faulty) {
        found.add("otlp.headers", "a header without a value", "write NAME=VALUE, with commas between");
    }
}

fn usage(config: &Config, found: &mut Findings<'_>) {
    let usage = &config.usage;
    if usage.journal_quota < store::JournalConfig::LEAST_QUOTA {
        let what = format!("{} does not hold the files that a journal needs", usage.journal_quota);
        found.add("usage.journal_quota", what, "write 64KiB or more; leave it out for 1 GiB");
    }
    if usage.keep_sums < usage.keep_calls {
        found.add(
            "usage.keep_sums",
            "sums would go before the calls that they are made of",
            "keep them at least as long as usage.keep_calls",
        );
    }
}

fn responses(config: &Config, found: &mut Findings<'_>) {
    const LEAST_MEMORY: ByteSize = ByteSize::mib(1);
    let responses = &config.responses;
    if responses.keep_most == 0 {
        let hint = "write 1 or more; clients that want nothing kept send `store: false`";
        found.add("responses.keep_most", "0 would keep none, so that nobody could go on with one", hint);
    }
    if responses.in_memory < LEAST_MEMORY {
        let what = format!("{} does not hold the responses that are being made", responses.in_memory);
        found.add("responses.in_memory", what, "write 1MiB or more; leave it out for 64 MiB");
    }
}

/// Times that are none though something has to happen within them, or longer than anybody lives.
fn times(config: &Config, found: &mut Findings<'_>) {
    let problems = [
        check::time("orphan_ttl", config.orphan_ttl, Some("would end every engine before it is claimed")),
        check::time("shutdown_timeout", config.shutdown_timeout, None),
        check::time("drain_timeout", config.drain_timeout, None),
        check::time("max_wait", config.max_wait, None),
        check::time("keep_alive_comment", config.keep_alive_comment, Some("would send nothing but comments")),
        check::time("cold_comment", config.cold_comment, None),
        check::time("limits.header_timeout", config.limits.header_timeout, Some("would let every client go")),
        check::time("limits.body_timeout", config.limits.body_timeout, Some("would let every client go")),
        check::time("client_write_timeout", config.client_write_timeout, Some("would let every client go")),
        config.infer_timeout.and_then(|time| check::time("infer_timeout", time, None)),
        config.llama_timeout.and_then(|time| check::time("llama_timeout", time, None)),
        config.llama_connect_timeout.and_then(|time| check::time("llama_connect_timeout", time, None)),
        check::time("auth.session_idle", config.auth.session_idle, Some("would log everybody out at once")),
        check::time("auth.session_longest", config.auth.session_longest, Some("would log everybody out at once")),
        check::time("auth.login_token", config.auth.login_token, Some("would open nothing")),
        check::age("usage.keep_calls", config.usage.keep_calls, Some("would keep nothing of any call")),
        check::age("usage.keep_sums", config.usage.keep_sums, Some("would keep nothing of any call")),
        check::age("responses.keep_for", config.responses.keep_for, Some("would keep no response")),
    ];
    for problem in problems.into_iter().flatten() {
        found.add(&problem.field, problem.what, &problem.hint);
    }
}

fn deployments(config: &Config, found: &mut Findings<'_>) {
    let mut names = BTreeSet::new();
    for (index, deployment) in config.deployments.iter().enumerate() {
        let here = place("deployments", index);
        if !names.insert(&deployment.name) {
            let what = format!("deployments[{index}]: there is another deployment `{}`", deployment.name);
            found.problems.push(Problem::new(found.root.origin(&here), what, "give each a name of its own"));
        }
        found.add_all(deployment.check(), &here, &format!("deployments[{index}]"));
    }
}

fn routes(config: &Config, found: &mut Findings<'_>) {
    let mut names: BTreeSet<_> = config.deployments.iter().map(|deployment| &deployment.name).collect();
    for (index, route) in config.routes.iter().enumerate() {
        let here = place("routes", index);
        if !names.insert(&route.name) {
            let what = format!("routes[{index}]: there is a deployment or another route `{}`", route.name);
            found.problems.push(Problem::new(found.root.origin(&here), what, "give each a name of its own"));
        }
        found.add_all(route.check(), &here, &format!("routes[{index}]"));
    }
}

/// What leads in a circle, or to a route where a deployment has to stand. A name that nothing here has may be that of a file of `models_dir`, or
/// of what was made through the API: the server looks for it when it starts.
fn names(config: &Config, found: &mut Findings<'_>) {
    let (deployments, routes) = (&config.deployments, &config.routes);
    let here: BTreeSet<&Name> = deployments.iter().map(|one| &one.name).chain(routes.iter().map(|one| &one.name)).collect();
    let targets = routes.iter().flat_map(|route| route.targets.iter().map(|target| &target.deployment).chain(&route.fallback));
    let named = targets.chain(deployments.iter().flat_map(|deployment| &deployment.fallback));
    let elsewhere: Vec<Deployment> = named.filter(|name| !here.contains(name)).map(|name| Deployment::named(name.clone())).collect();
    let map = Map::new(deployments.iter().chain(&elsewhere), routes);
    for (index, route) in routes.iter().enumerate() {
        found.add_all(map.check_route(route), &place("routes", index), &format!("routes[{index}]"));
    }
    for (index, deployment) in deployments.iter().enumerate() {
        found.add_all(map.check_deployment(deployment), &place("deployments", index), &format!("deployments[{index}]"));
    }
}

fn place(list: &str, index: usize) -> Vec<Step> {
    vec![Step::Key(list.to_owned()), Step::Index(index)]
}

fn auth(config: &Config, found: &mut Findings<'_>) {
    let mut names = BTreeSet::new();
    for (index, provider) in config.auth.providers.iter().enumerate() {
        let here = ["auth", "providers"].map(|key| Step::Key(key.to_owned())).into_iter().chain([Step::Index(index)]).collect::<Vec<_>>();
        if !names.insert(&provider.name) {
            let what = format!("auth.providers[{index}]: there is another provider `{}`", provider.name);
            found.problems.push(Problem::new(found.root.origin(&here), what, "give each a name of its own"));
        }
        found.add_all(provider.check(), &here, &format!("auth.providers[{index}]"));
    }
    if let Some(url) = &config.auth.public_url
        && !login::is_public_url(url)
    {
        let what = format!("`{url}` is not where a browser could go");
        found.add("auth.public_url", what, "write https://HOST without a path; plain http is for loopback only");
    }
    if config.auth.public_url.is_none() && !config.auth.providers.is_empty() && !config.listen.is_loopback() {
        let hint = "write where browsers reach this server, such as https://penstock.example.org";
        found.add("auth.public_url", "providers send browsers back, and do not know where to", hint);
    }
    if config.auth.session_longest < config.auth.session_idle {
        found.add("auth.session_longest", "browsers would be logged out before they are idle", "raise it, or lower auth.session_idle");
    }
}

fn webhooks(config: &Config, found: &mut Findings<'_>) {
    let mut names = BTreeSet::new();
    for (index, webhook) in config.webhooks.iter().enumerate() {
        let here = place("webhooks", index);
        if !names.insert(&webhook.name) {
            let what = format!("webhooks[{index}]: there is another webhook `{}`", webhook.name);
            found.problems.push(Problem::new(found.root.origin(&here), what, "give each a name of its own"));
        }
        found.add_all(webhook.check(), &here, &format!("webhooks[{index}]"));
    }
}
