//! What a server for one talk takes along of the folder's config.

use crate::config::{Config, Environment, Flags, Settings};

/// A key of every kind: what the machine is, and what would be served, told, written or asked for.
const ALL: &str = "
listen: 127.0.0.1:9
data_dir: ./data
deployments: [{ name: a, engine: echo }]
routes: [{ name: r, targets: [{ deployment: a }] }]
webhooks: [{ name: w, url: 'https://events.example', secret_env: SECRET }]
auth: { mode: open, session_idle: 1h }
tls: { cert: a.pem, key: a.key }
trusted_proxies: [10.0.0.1]
blobs: { url: 's3://models/here' }
pull: { hub_token_file: ./none }
log: { level: warn }
access_log: ./access.log
otlp: { endpoint: 'http://127.0.0.1:4318' }
events_file: ./events
models_dir: ./models
llama_url: http://127.0.0.1:1
engines: { llama-server: { path: ./llama-server } }
memory: { budget: 1GiB }
llama_threads: 2
adopt: true
";

#[test]
fn it_is_the_same_machine_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("penstock.yaml"), ALL).expect("a config");
    let environment = Environment { folder: folder.path().to_owned(), ..Environment::default() };
    let settings = Settings::load(&Flags::default(), &environment).unwrap_or_else(|problems| panic!("{problems}"));
    let [usual, here] = [Config::default(), settings.for_a_while().config].map(|config| serde_json::to_value(config).expect("JSON"));
    let members = here.as_object().expect("an object").iter();
    let kept: Vec<&str> = members.filter(|(key, value)| usual[*key] != **value).map(|(key, _)| key.as_str()).collect();
    assert_eq!(kept, ["listen", "data_dir", "log", "engines", "memory", "llama_threads"]);
}
