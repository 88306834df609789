//! What is said about configs, good and bad, and that everything about them agrees.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use base::ByteSize;

use super::{AccessLog, Config, Environment, Flags, Settings, decode, keys, reference, settings};

fn environment(folder: &Path, variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    Environment { variables, folder: folder.to_owned(), own: "penstock".into() }
}

fn load(name: &str, text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), text).expect("a file");
    let values = flags.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
    let flags = Flags { config: Some(name.into()), values };
    // The file is named relative to the working folder of the test, so it is given whole.
    let flags = Flags { config: Some(folder.path().join(name)), ..flags };
    let said = |error: super::Problems| error.to_string().replace(&folder.path().display().to_string(), "DIR");
    Settings::load(&flags, &environment(folder.path(), variables)).map_err(said)
}

const YAML: &str = "
listen: 127.0.0.1:9000
data_dir: ./data
log: { level: debug }
memory: { budget: 2GiB }
shutdown_timeout: 5s
deployments:
  - name: tiny
    model: file:./tiny.gguf
    replicas: { min: 1, keep_alive: -1 }
    args: [--seed, 7]
";
const TOML: &str = "
listen = '127.0.0.1:9000'
data_dir = './data'
shutdown_timeout = '5s'
log.level = 'debug'
memory.budget = '2GiB'
[[deployments]]
name = 'tiny'
model = 'file:./tiny.gguf'
replicas = { min = 1, keep_alive = -1 }
args = ['--seed', 7]
";
const JSON: &str = r#"{"listen": "127.0.0.1:9000", "data_dir": "./data", "log": {"level": "debug"}, "memory": {"budget": "2GiB"},
	"shutdown_timeout": "5s", "deployments": [{"name": "tiny", "model": "file:./tiny.gguf",
	"replicas": {"min": 1, "keep_alive": -1}, "args": ["--seed", 7]}]}"#;

#[test]
fn yaml_toml_and_json_say_the_same() {
    for (name, text) in [("a.yaml", YAML), ("a.yml", YAML), ("a.toml", TOML), ("a.json", JSON)] {
        let settings = load(name, text, &[], &[]).expect(name);
        let config = &settings.config;
        assert_eq!(config.listen.0.port(), 9000, "{name}");
        assert_eq!(config.budget(), Some(ByteSize(2 << 30)), "{name}");
        assert_eq!(config.shutdown_timeout, Duration::from_secs(5), "{name}");
        assert_eq!(settings.data_dir(), settings.base_dir.join("data"), "{name}");
        assert_eq!(config.deployments[0].replicas.keep_alive, None, "{name}");
        assert_eq!(config.deployments[0].args, ["--seed", "7"], "{name}");
    }
}

#[test]
fn a_flag_comes_before_a_variable_and_a_variable_before_the_file() {
    let text = "max_wait: 1s\nmax_queue_depth: 1\nllama_ctx: 128\n";
    let variables = [("PENSTOCK_MAX_WAIT", "2s"), ("PENSTOCK_MAX_QUEUE_DEPTH", "2")];
    let config = load("a.yaml", text, &variables, &[("max_wait", "3s")]).expect("a config").config;
    assert_eq!((config.max_wait, config.max_queue_depth, config.llama_ctx), (Duration::from_secs(3), 2, Some(128)));
}

#[test]
fn variables_reach_groups_lists_and_deployments() {
    let variables = [
        ("PENSTOCK_AUTH__MODE", "open"),
        ("PENSTOCK_ENGINES__LLAMA_SERVER__PATH", "bin/llama"),
        ("PENSTOCK_CORS_ORIGINS", "https://a.example, https://b.example"),
        ("PENSTOCK_CORS_ENABLED", "true"),
        ("PENSTOCK_DEPLOYMENTS", "[{name: echo, engine: echo}]"),
    ];
    let settings = load("a.yaml", "# nothing\n", &variables, &[]).expect("a config");
    let config = &settings.config;
    assert_eq!(config.auth.mode, super::Mode::Open);
    assert_eq!(config.llama_server(), Some(&settings.environment.folder.join("bin/llama")));
    assert_eq!(config.cors_origins, ["https://a.example", "https://b.example"]);
    assert!(config.cors_enabled);
    assert_eq!(config.deployments[0].name.as_str(), "echo");
}

#[test]
fn every_fault_of_a_file_is_told_at_once_with_its_line_and_what_to_write() {
    let text = "listn: 127.0.0.1:1\nlisten: everywhere\nauth:\n  mode: opn\nshutdown_timeout: soon\nadopt: maybe\n\
        deployments:\n  - name: a b\n    model: file:x.gguf\n  - name: big\n    model: file:x.gguf\n    contxt: 10\n    parallel: many\n  \
        - model: file:x.gguf\n  - name: small\n    model: file:x.gguf\n    context: 1\n    replicas: { min: 3 }\n  \
        - name: small\n    engine: lama-server\n";
    insta::assert_snapshot!(load("a.yaml", text, &[], &[]).expect_err("faults"));
}

#[test]
fn a_fault_of_a_variable_or_a_flag_names_it() {
    let variables = [("PENSTOCK_LISTN", "x"), ("PENSTOCK_MAX_WAIT", "x"), ("PENSTOCK_TEST_X", "1"), ("PENSTOCK_ADMIN_TOKEN", "psk_1")];
    insta::assert_snapshot!(load("a.yaml", "", &variables, &[("llama_threads", "many")]).expect_err("faults"));
}

#[test]
fn a_file_that_breaks_its_format_is_refused_with_the_line() {
    let yaml = load("a.yaml", "a: 1\nb: [1\nc: 2\n", &[], &[]).expect_err("broken");
    let toml = load("a.toml", "a = 1\nb = \n", &[], &[]).expect_err("broken");
    let json = load("a.json", "{\n\"a\": 1,\n}", &[], &[]).expect_err("broken");
    let other = load("a.ini", "", &[], &[]).expect_err("unknown");
    insta::assert_snapshot!([yaml, toml, json, other].join("\n"));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let text = "listen: 0.0.0.0:80\nauth: { mode: open }\nmemory: { budget: 1GiB, margin: 1GiB }\nvram_budget_mb: 7\n\
        llama_url: here\nllama_bin: a\nengines: { llama-server: { path: b } }\n";
    insta::assert_snapshot!(load("a.yaml", text, &[], &[]).expect_err("faults"));
}

#[test]
fn flags_that_penstock_owns_are_refused_and_those_that_reach_files_are_the_owners_choice() {
    let text = |flag: &str| format!("deployments:\n  - {{ name: a, model: file:x.gguf, args: [{flag}, x] }}\n");
    let refused = load("a.yaml", &text("--log-file"), &[], &[]).expect_err("a fault");
    assert!(refused.contains("args") && refused.contains("--log-file is set by Penstock"), "{refused}");
    assert!(load("a.yaml", &text("--lora"), &[], &[]).is_ok());
}

#[test]
fn off_and_on_are_words_where_words_are_wanted_and_truth_values_where_those_are() {
    let text = "access_log: off\nlog: { level: off }\nadopt: yes\ncors_enabled: Off\ncors_origins: [no]\n\
        deployments:\n  - { name: on, model: file:x.gguf, args: [--flash-attn, on], embeddings: true }\n";
    let config = load("a.yaml", text, &[("PENSTOCK_CORS_ENABLED", "on")], &[]).expect("a config").config;
    assert_eq!((config.access_log, config.log.level), (AccessLog::Off, super::Level::Off));
    assert_eq!((config.adopt, config.cors_enabled, config.cors_origins), (true, true, vec!["no".to_owned()]));
    let deployment = &config.deployments[0];
    assert_eq!((deployment.name.as_str(), deployment.args[1].as_str(), deployment.embeddings), ("on", "on", true));
    assert!(!load("a.yaml", text, &[], &[]).expect("a config").config.cors_enabled);
}

#[test]
fn a_list_is_no_group_of_keys() {
    for (name, text, at) in [
        ("a.yaml", "[]\n", "DIR/a.yaml:1: a list stands where a group of keys is needed"),
        ("a.json", "[]", "DIR/a.json:1: a list stands where a group of keys is needed"),
        ("a.yaml", "adopt: true\nmemory: [1GiB]\n", "DIR/a.yaml:2: memory: a list stands where a group of keys is needed"),
    ] {
        assert_eq!(load(name, text, &[], &[]).expect_err(text), at);
    }
    assert!(load("a.yaml", "nonsense\n", &[], &[]).is_err());
}

#[test]
fn a_file_that_is_empty_when_it_is_read_again_takes_nothing_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.yaml");
    let flags = Flags { config: Some(file.clone()), values: Vec::new() };
    let write = |text: &str| std::fs::write(&file, text).expect("a file");
    write(YAML);
    let settings = Settings::load(&flags, &environment(folder.path(), &[])).expect("a config");
    for empty in ["", "\n", "# later\n"] {
        write(empty);
        let refused = settings.again(&flags).expect_err("it is empty").to_string();
        assert!(refused.contains("a.yaml is empty") && refused.contains("deployments: []"), "{refused}");
    }
    write("deployments: []\n");
    let nothing = settings.again(&flags).expect("it was written");
    assert!(nothing.config.deployments.is_empty());
    write("");
    Settings::load(&flags, &environment(folder.path(), &[])).expect("an empty config").again(&flags).expect("which it was before");
}

#[test]
fn what_leads_in_a_circle_is_told_with_its_line_and_what_may_be_elsewhere_is_not_missed() {
    let text = "deployments:\n  - name: a\n    engine: echo\n    fallback: [r]\n  - { name: b, engine: echo, fallback: [lies-in-models-dir] }\n\
        routes:\n  - { name: q, targets: [{ deployment: made-by-the-api }] }\n  - name: r\n    targets:\n      - deployment: b\n      \
        - deployment: q\n    fallback:\n      - a\n";
    insta::assert_snapshot!(load("a.yaml", text, &[], &[]).expect_err("faults"));
}

#[test]
fn the_key_of_a_remote_engine_is_not_printed() {
    let config = load("a.yaml", "llama_url: http://127.0.0.1:1\nllama_api_key: verysecret\n", &[], &[]).expect("a config").config;
    assert!(config.llama_api_key.is_some());
    assert!(!format!("{config:?}").contains("verysecret"));
    assert!(!serde_json::to_string(&config).expect("JSON").contains("verysecret"));
}

#[test]
fn what_cannot_be_observed_with_is_refused() {
    let text = "access_log: nowhere\notlp: { endpoint: localhost, sample_ratio: 2, headers: justakey }\n";
    insta::assert_snapshot!(load("a.yaml", text, &[], &[]).expect_err("faults"));
    let text = "otlp: { endpoint: localhost, sample_ratio: 2, headers: justakey }\n";
    insta::assert_snapshot!(load("a.yaml", text, &[], &[]).expect_err("faults"));
    let config = load("a.yaml", "access_log: logs/access.log\notlp: { headers: x-key=verysecret }\n", &[], &[]).expect("a config").config;
    assert!(matches!(&config.access_log, AccessLog::File(path) if path.is_absolute()), "{:?}", config.access_log);
    assert!(!format!("{config:?}").contains("verysecret"));
}

#[test]
fn a_time_that_leaves_no_time_or_never_ends_is_refused_with_its_line() {
    let text = "client_write_timeout: 0\nkeep_alive_comment: 0s\norphan_ttl: 0ms\nshutdown_timeout: 400d\nllama_ctx: 12\n\
        usage: { keep_calls: 0, keep_sums: 99999999d }\nresponses: { keep_for: 0, keep_most: 0, in_memory: 0 }\n\
        deployments:\n  - name: none\n    engine: echo\n    max_concurrent: 0\n    limits: { tokens_per_minute: 0 }\n    timeouts:\n      connect: 0\n      \
        first_token: 0s\n      idle: 0\n      total: 0\n      start: 0\n  - name: long\n    engine: echo\n    timeouts: { total: 9999d, wait: 500d }\n";
    insta::assert_snapshot!(load("a.yaml", text, &[], &[]).expect_err("faults"));
    let meant = "max_wait: 0\ncold_comment: 0\nshutdown_timeout: 0\ndrain_timeout: 0\ninfer_timeout: 0\nllama_ctx: 0\nmax_queue_depth: 0\n\
        deployments:\n  - { name: a, engine: echo, max_queue: 0, timeouts: { wait: 0 }, replicas: { keep_alive: 0 } }\n";
    load("a.yaml", meant, &[], &[]).expect("where 0 means something");
}

#[test]
fn a_place_counts_from_the_file_that_names_it_and_from_the_working_folder_where_a_flag_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let (conf, work) = (folder.path().join("conf"), folder.path().join("work"));
    std::fs::create_dir(&conf).expect("a folder");
    std::fs::write(conf.join("a.yaml"), "access_log: ./access.log\nmodels_dir: models\n").expect("a file");
    let load = |values: &[(&str, &str)], variables: &[(&str, &str)]| {
        let values = values.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        let flags = Flags { config: Some(conf.join("a.yaml")), values };
        Settings::load(&flags, &environment(&work, variables)).expect("a config").config
    };
    let of_file = load(&[], &[]);
    assert_eq!((of_file.access_log, of_file.models_dir), (AccessLog::File(conf.join("access.log")), Some(conf.join("models"))));
    assert_eq!(load(&[("access_log", "./access.log")], &[]).access_log, AccessLog::File(work.join("access.log")));
    assert_eq!(load(&[], &[("PENSTOCK_ACCESS_LOG", "logs/access.log")]).access_log, AccessLog::File(work.join("logs/access.log")));
    for (word, meant) in [("off", AccessLog::Off), ("stdout", AccessLog::Stdout), ("stderr", AccessLog::Stderr)] {
        assert_eq!(load(&[("access_log", word)], &[]).access_log, meant);
    }
}

#[test]
fn durations_read_as_people_write_them() {
    let shown = serde_json::to_value(Config::default()).expect("JSON");
    assert_eq!((shown["usage"]["keep_calls"].as_str(), shown["usage"]["keep_sums"].as_str()), (Some("35d"), Some("400d")));
    assert_eq!((shown["max_wait"].as_str(), shown["cold_comment"].as_str()), (Some("30s"), Some("200ms")));
    let config = load("a.yaml", "usage: { keep_calls: 36h }\n", &[], &[]).expect("a config").config;
    assert_eq!(serde_json::to_value(&config).expect("JSON")["usage"]["keep_calls"], "36h");
}

#[test]
fn the_list_of_keys_is_what_serde_knows() {
    let listed: BTreeSet<String> = keys::all().into_iter().map(|key| key.path).collect();
    let mut known = BTreeSet::new();
    let groups: [(&str, &[&str]); 15] = [
        ("tls.", decode::known_keys::<settings::Tls>()),
        ("limits.", decode::known_keys::<settings::Limits>()),
        ("outbound.", decode::known_keys::<settings::Outbound>()),
        ("blobs.", decode::known_keys::<settings::Blobs>()),
        ("pull.", decode::known_keys::<settings::Pull>()),
        ("", decode::known_keys::<Config>()),
        ("auth.", decode::known_keys::<settings::Auth>()),
        ("log.", decode::known_keys::<settings::Log>()),
        ("metrics.", decode::known_keys::<settings::Metrics>()),
        ("otlp.", decode::known_keys::<settings::Otlp>()),
        ("usage.", decode::known_keys::<settings::Usage>()),
        ("responses.", decode::known_keys::<settings::Responses>()),
        ("memory.", decode::known_keys::<settings::Memory>()),
        ("engines.", decode::known_keys::<settings::Engines>()),
        ("engines.llama-server.", decode::known_keys::<settings::Program>()),
    ];
    for (group, names) in groups {
        assert!(!names.is_empty(), "serde knows no key of {group}");
        known.extend(names.iter().map(|name| format!("{group}{name}")));
    }
    known.retain(|path| !groups.iter().any(|(group, _)| *group == format!("{path}.")));
    assert_eq!(listed, known);
}

#[test]
fn the_table_of_a_deployment_is_what_serde_knows() {
    let listed: BTreeSet<&str> = reference::DEPLOYMENT.iter().map(|(name, ..)| *name).collect();
    let known: BTreeSet<&str> = decode::known_keys::<spec::Deployment>().iter().copied().collect();
    assert_eq!(listed, known);
}

#[test]
fn the_table_of_a_route_is_what_serde_knows() {
    let listed: BTreeSet<&str> = reference::ROUTE.iter().map(|(name, ..)| *name).collect();
    let known: BTreeSet<&str> = decode::known_keys::<spec::Route>().iter().copied().collect();
    assert_eq!(listed, known);
}

#[test]
fn the_table_of_a_webhook_is_what_serde_knows() {
    let listed: BTreeSet<&str> = reference::WEBHOOK.iter().map(|(name, ..)| *name).collect();
    let known: BTreeSet<&str> = decode::known_keys::<webhooks::Webhook>().iter().copied().collect();
    assert_eq!(listed, known);
}

#[test]
fn the_table_of_a_provider_is_what_serde_knows() {
    let listed: BTreeSet<&str> = reference::PROVIDER.iter().map(|(name, ..)| *name).collect();
    let known: BTreeSet<&str> = decode::known_keys::<access::login::ProviderConfig>().iter().copied().collect();
    assert_eq!(listed, known);
}

#[test]
fn what_is_wrong_with_a_provider_is_told_with_its_line() {
    let good = "everybody: { roles: [viewer] }";
    let text = format!(
        "auth:\n  public_url: http://penstock.example.org\n  session_longest: 1h\n  providers:\n    - {{ name: a, issuer: https://a.example, \
         client_id: p, {good} }}\n    - name: a\n      issuer: http://a.example\n      client_id: p\n"
    );
    let told = load("a.yaml", &text, &[], &[]).expect_err("several faults");
    let wanted = [
        "DIR/a.yaml:2: auth.public_url: ",
        "DIR/a.yaml:3: auth.session_longest: ",
        "there is another provider `a`",
        "DIR/a.yaml:7: auth.providers[1].issuer: what comes from it could be changed on the way",
        "auth.providers[1].groups: nobody could log in",
    ];
    for words in wanted {
        assert!(told.contains(words), "{words}: {told}");
    }
    let text = format!("auth: {{ providers: [{{ name: a, issuer: https://a.example, client_id: p, client_secret_file: s, {good} }}] }}\n");
    let settings = load("a.yaml", &text, &[], &[]).expect("a config");
    assert_eq!(settings.config.auth.providers[0].client_secret_file, Some(settings.base_dir.join("s")));
}

#[test]
fn what_is_wrong_with_a_webhook_is_told_with_its_line() {
    let text = "webhooks:\n  - { name: a, url: https://a.example/x, secret_env: A }\n  - name: a\n    url: a.example\n    secret_env: A\n    \
        queue: 0\n  - { name: b, url: http://b, secret_file: b, kinds: [instance_fase] }\n";
    insta::assert_snapshot!(load("a.yaml", text, &[], &[]).expect_err("faults"));
    let text = "webhooks:\n  - name: a\n    url: a.example\n  - { name: a, url: https://a.example, secret_env: A, timeout: 0 }\n";
    insta::assert_snapshot!(load("a.yaml", text, &[], &[]).expect_err("faults"));
    let settings = load("a.yaml", "webhooks: [{ name: a, url: https://a.example/x, secret_file: hook }]\n", &[], &[]).expect("a config");
    assert_eq!(settings.config.webhooks[0].secret_file, Some(settings.base_dir.join("hook")));
}

#[test]
fn the_reference_page_is_up_to_date() {
    let stands = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/config.md"));
    assert!(stands.is_ok_and(|stands| stands == reference::page()), "write it anew: penstock config reference > docs/reference/config.md");
}
