//! The reference page of the config, made from the settings themselves.
//!
//! In: nothing. Out: Markdown, and the facts it is made of. A test compares the page with
//! `docs/reference/config.md`, and the deployments' table with what serde knows.

use std::fmt::Write as _;

use serde_json::Value;

use super::keys::{self, Key, Kind};
use super::settings::Config;

/// The keys of a deployment, which are declared in another room, in words.
pub(super) const DEPLOYMENT: &[(&str, &str, &str)] = &[
    ("name", "text", "The public model name that clients send. Needed."),
    (
        "model",
        "text",
        "`file:PATH`, a registry name with `:tag` or `@digest`, or what is fetched: `hf:`, `ollama:`, `https:`, `s3:` (see [sources](sources.md)). Needed by engines that run here, but for `echo`.",
    ),
    (
        "engine",
        "text",
        "`llama-server`, `openai` (a server that runs elsewhere) or `echo` (for trying the plumbing). `openai` when `url` is set, else `llama-server`.",
    ),
    ("runtime", "text", "`process` or `external`; by default where the engine usually runs."),
    ("pipeline", "text", "`opensourcellm` or `remote`; by default the one that fits the runtime."),
    ("context", "number", "Context of one call, in tokens; the model's own when not given."),
    ("parallel", "number", "Calls that one instance serves at once; 1 for an engine of ours, 256 for a remote one."),
    ("threads", "number", "CPU threads of one instance."),
    ("gpu_layers", "number", "Layers to put on the GPU; all when a GPU is there."),
    (
        "cache_type",
        "text",
        "How keys and values of the context are stored: `f32`, `f16` (the default), `bf16`, `q8_0`, `q5_1`, `q5_0`, `q4_1`, `q4_0` or `iq4_nl`; see [memory](memory.md).",
    ),
    ("embeddings", "true or false", "Whether it also serves `/v1/embeddings`."),
    (
        "replicas",
        "group",
        "`min` (0: load on the first call), `max` (1) and `keep_alive` (5m; `forever` keeps it loaded). `sleep_after`: an instance that nobody calls for so long sleeps, where its engine can: it keeps its process and gives back most of its memory until the next call. `target`: what one instance is meant to bear, so that more come, up to `max`, when it is more: `concurrency` (calls that run or wait), `queue` (callers in line), `kv_use` (percent of the KV cache that running calls have filled, where the engine tells: `llama-server`), `first_token` (how long callers usually wait for it); each of several counts, the largest wish decides. `down_after` (5m): what is no longer needed stays for so long. `schedule`: other bounds at certain times in UTC, each as `days` (`mon` to `sun`; all when not given), `from`, `to` (`08:00`), `min` and `max`.",
    ),
    ("pinned", "true or false", "Keeps it loaded whatever `keep_alive` says, and never unloads it for another."),
    ("max_queue", "number", "Callers that may wait in line (512); one more is answered 429."),
    ("max_concurrent", "number", "Calls that all instances together serve at once; what their slots allow when not given."),
    (
        "when_full",
        "text",
        "What happens to a call that finds every slot taken: `queue` (it waits in line; the default), `reject` (429 at once) or `fallback` (it goes to the fallback at once).",
    ),
    (
        "fallback",
        "list",
        "Deployments or routes that are asked, in this order, when this one is down, full, over its `limits` or `budget`, or fails a call before its first byte.",
    ),
    (
        "affinity",
        "text",
        "What keeps related calls on one of several instances: `none`, `session` (the header `x-session-id`, else `prompt_cache_key` or `user` of the body) or `prefix` (the session, else the beginning of the prompt; the default).",
    ),
    ("max_ejected", "number", "At most so many percent of the instances are passed over for failing or being slow (50); 0 for none."),
    (
        "retries",
        "group",
        "How often a call is tried before anything of an answer has come: `attempts`, the first one included (3); 1 for no retry.",
    ),
    (
        "rollout",
        "group",
        "How instances make way when the wish changes: `strategy` (`rolling`, the default; `recreate`: the old ones finish their calls and end while callers wait, then the new ones start; `canary`), `max_surge` (1) and `max_unavailable` (0) instances while it lasts, `progress_deadline` (10m) after which it goes back by itself, `revision_history` (10), `follow` (true: a moved tag of its model makes a new revision), and `canary` with `weights` ([5, 25, 50] percent), `hold` (5m) for each, `max_error_rate` (0.05 beyond that of the old revision) and `max_latency_ratio` (2).",
    ),
    (
        "timeouts",
        "group",
        "`connect` (5s), `first_token` (5m), `idle` between pieces (1m), `total` (1h), `wait` in line (30s; 0 for no waiting), `start` without a sign of progress (5m), `drain` for the calls of an instance that is to leave, to make room or for a newer revision (as long as `total`, so that none is cut).",
    ),
    (
        "prices",
        "group",
        "What a call costs, in US dollars: `input_per_million`, `cached_input_per_million` (as other input when not given) and `output_per_million` for a million tokens, `per_request` for the call itself.",
    ),
    (
        "limits",
        "group",
        "How much all of its callers together may use at a time: `requests_per_minute`, `tokens_per_minute`, `concurrency`.",
    ),
    (
        "budget",
        "group",
        "How much they may use up: `tokens_per_hour`, `tokens_per_day`, `tokens_per_month`, `usd_per_hour`, `usd_per_day`, `usd_per_month`; hours, days and months of the calendar in UTC.",
    ),
    ("url", "text", "Base URL of a remote engine, with its `/v1`."),
    (
        "http_version",
        "number",
        "HTTP that a remote engine is spoken to by: 1, or 2 (h2c where its URL is plain `http`). When it is not given: what an `https` server prefers, else 1.",
    ),
    ("api_key_env", "text", "Name of the environment variable that holds the remote engine's key."),
    (
        "api_key_secret",
        "text",
        "Name of the secret that holds it, as `penstock secret set` keeps it; see [how to keep secrets](../how-to/keep-secrets.md).",
    ),
    ("api_key_file", "path", "File that holds it; in the config only, not through the API."),
    ("project", "text", "The project that it belongs to: roles within that reach it, and it counts for the project's quota."),
    ("upstream_model", "text", "The model name to send to the remote engine."),
    (
        "args",
        "list",
        "More arguments for the engine. Through the API for who may `update server`, and flags that are known to reach no file and no network.",
    ),
    (
        "env",
        "group",
        "More environment for the engine, but nothing that begins with `LD_` or `LLAMA_`. Through the API for who may `update server`, who also see the values, and no name of a file or folder.",
    ),
    ("labels", "group", "Free labels."),
];

/// The keys of a route, in words.
pub(super) const ROUTE: &[(&str, &str, &str)] = &[
    ("name", "text", "The public model name that clients send; no deployment has it. Needed."),
    (
        "targets",
        "list",
        "The deployments that share its calls, each as `deployment` and `weight` (1): its share beside the others; 0 takes it out without forgetting it. Needed.",
    ),
    (
        "fallback",
        "list",
        "Deployments or routes that are asked, in this order, when no target can serve; when there is none, those of the targets.",
    ),
    (
        "affinity",
        "text",
        "What keeps related calls on one target: `none` (the default, so that the weights hold), `session` or `prefix`, as for a deployment.",
    ),
];

/// The keys of a receiver of events, in words.
pub(super) const WEBHOOK: &[(&str, &str, &str)] = &[
    ("name", "text", "What it is called; its place in the story goes by it. Needed."),
    ("url", "text", "Where events are posted to. Redirects are not followed. Needed."),
    (
        "secret_env",
        "text",
        "The environment variable with its secret: `whsec_` and base64 of 24 to 64 bytes; several, with spaces between, sign each event. This or `secret_file` is needed.",
    ),
    ("secret_file", "path", "The file with its secret."),
    (
        "kinds",
        "list",
        "Only these events, such as `rollout_rolled_back`, or `instance_phase:failed` for the instances that come to that phase; all but `audit` when not given. The kinds stand in [how to be told](../how-to/be-told.md).",
    ),
    ("timeout", "duration", "How long it may take to answer (10s)."),
    ("queue", "number", "So many events may wait for it (10000); beyond that the oldest are dropped, and counted."),
    (
        "retry",
        "group",
        "How it is tried again: `first` (1s) at most for the first wait, twice as long each time up to `most` (5m); an event older than `give_up` (72h) that was not taken is dropped, and counted.",
    ),
];

/// The keys of an identity provider, in words.
pub(super) const PROVIDER: &[(&str, &str, &str)] = &[
    ("name", "text", "What it is called here: in URLs, and as the origin of its users. Needed."),
    ("label", "text", "The words on its button of the login page; the name when not given."),
    ("issuer", "text", "Its issuer, as its discovery document has it; `https`, or `http` on loopback. Needed."),
    ("client_id", "text", "What Penstock is called there. Needed."),
    ("client_secret_env", "text", "The environment variable with Penstock's secret there; none for a public client."),
    ("client_secret_file", "path", "The file with it."),
    ("scopes", "list", "What is asked for beside `openid` (`profile`, `email`)."),
    (
        "groups_claim",
        "text",
        "The claim with a person's groups (`groups`); dots lead into objects, as in `realm_access.roles`. What the ID token does not say is asked of the provider's userinfo.",
    ),
    (
        "name_claim",
        "text",
        "The claim that people are called by here; `preferred_username`, else `email`, else the subject when not given.",
    ),
    (
        "groups",
        "group",
        "What members of each group may do: `roles` everywhere, and `projects` with roles within them: `{ops: {roles: [operator]}, red: {projects: {red: [developer]}}}`. It is looked at with every login: who has left a group has lost what it gave.",
    ),
    (
        "everybody",
        "group",
        "What everybody may do whom the provider knows: `roles` and `projects` as for a group. Who gets nothing by it or by a group is not let in.",
    ),
    (
        "allowed_audiences",
        "list",
        "Access tokens of this provider that are JWTs for one of these audiences are taken from programs like a token of our own; none when not given.",
    ),
];

/// The page.
pub fn page() -> String {
    let mut page = String::from(HEAD);
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    for key in keys::all() {
        line(&mut page, &key, &defaults);
    }
    page.push_str(DEPLOYMENTS);
    for (name, kind, words) in DEPLOYMENT {
        // A `String` cannot fail to take text.
        let _ = writeln!(page, "| `{name}` | {kind} | {words} |");
    }
    page.push_str(ROUTES);
    for (name, kind, words) in ROUTE {
        let _ = writeln!(page, "| `{name}` | {kind} | {words} |");
    }
    page.push_str(WEBHOOKS);
    for (name, kind, words) in WEBHOOK {
        let _ = writeln!(page, "| `{name}` | {kind} | {words} |");
    }
    page.push_str(PROVIDERS);
    for (name, kind, words) in PROVIDER {
        let _ = writeln!(page, "| `{name}` | {kind} | {words} |");
    }
    page
}

fn line(page: &mut String, key: &Key, defaults: &Value) {
    let pointer = format!("/{}", key.path.replace('.', "/"));
    let default = defaults.pointer(&pointer).map(|default| shown(key.kind, default)).unwrap_or_default();
    let flag = key.flag().map(|flag| format!("`--{flag}`")).unwrap_or_default();
    let _ = writeln!(page, "| `{}` | {} | {default} | {} | {flag} | `{}` |", key.path, key.kind.as_str(), key.words, key.variable());
}

fn shown(kind: Kind, default: &Value) -> String {
    let bytes = default.as_u64().filter(|bytes| kind == Kind::Size && *bytes > 0);
    match default {
        Value::Number(_) if bytes.is_some_and(|bytes| bytes < 1 << 20) => format!("`{}KiB`", bytes.unwrap_or_default() >> 10),
        Value::Number(_) if bytes.is_some() => format!("`{}MiB`", bytes.unwrap_or_default() >> 20),
        Value::Null => String::new(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Array(items) => format!("`{}`", items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")),
        other => format!("`{other}`"),
    }
}

const HEAD: &str = "\
# Config

`penstock serve` reads one file: that of `--config` (or `PENSTOCK_CONFIG`), else `./penstock.yaml`, else
`$XDG_CONFIG_HOME/penstock/penstock.yaml`. It is YAML, JSON or TOML, by its ending. Each key is also a flag and an
environment variable; a flag comes before a variable, a variable before the file, the file before the default. Keys that
nobody knows and values that cannot be used are refused at the start, all at once, each with its line.

Paths in the file count from the folder of the file, those of flags and variables from the working folder. Durations
are `500ms`, `30s`, `5m`, `1h`; sizes are `512MiB`, `8GiB` or a number of bytes. `SIGHUP` reads the deployments, routes and webhooks again; those
that have not changed here stay as the API has left them, and a file that is empty at that moment takes nothing away.

`penstock config check` says what would keep a server from starting with the config: what is wrong with the file, and certificates, secrets, folders
and names that are not there. It reads what the server has stored beside it, and writes nothing.

`PENSTOCK_ADMIN_TOKEN` sets the admin token that is otherwise made at the first start, also where that was lost; `PENSTOCK_LLAMA_SERVER` names the
llama-server to use when the config does not. Keys that begin with `llama_`, `vram_` and `cors_` are those of older control planes.

| key | takes | default | what it does | flag | variable |
|---|---|---|---|---|---|
";

const DEPLOYMENTS: &str = "
## A deployment

An entry of `deployments`, and the body of `POST /api/v1/deployments`.

| key | takes | what it does |
|---|---|---|
";

const ROUTES: &str = "
## A route

An entry of `routes`, and the body of `POST /api/v1/routes`. See [how to route calls](../how-to/route-calls.md).

| key | takes | what it does |
|---|---|---|
";

const WEBHOOKS: &str = "
## A webhook

An entry of `webhooks`. See [how to be told what happens](../how-to/be-told.md).

| key | takes | what it does |
|---|---|---|
";

const PROVIDERS: &str = "
## An identity provider

An entry of `auth.providers`. See [how to log in with your identity provider](../how-to/log-in.md).

| key | takes | what it does |
|---|---|---|
";
