//! The others in a login: a certified identity provider, and a person with a real browser.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::stage::{Stage, environment};

/// A page may be long in coming on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A script of node that obeys, line by line, and ends with its standard input.
struct Script {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// What it said first.
    hello: Value,
}

impl Script {
    async fn start(stage: &Stage, libraries: &Path, file: &str, variables: &[(&str, &str)]) -> Self {
        // JavaScript looks for its libraries beside its scripts, so the scripts go where both can be.
        let place = stage.folder().join(format!("node-{file}"));
        std::fs::create_dir(&place).expect("a folder");
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/identity");
        for name in ["package.json", file] {
            std::fs::copy(scripts.join(name), place.join(name)).expect("a script");
        }
        std::os::unix::fs::symlink(libraries.join("node_modules"), place.join("node_modules")).expect("a link");
        let mut command = Command::new("node");
        command.arg(place.join(file)).current_dir(&place).env_clear().envs(variables.iter().copied());
        command.env("PATH", "/usr/bin:/bin").env("HOME", stage.folder()).env("TMPDIR", stage.folder());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("node");
        let (orders, answers) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        let mut script = Self { child, orders, answers: BufReader::new(answers).lines(), hello: Value::Null };
        script.hello = script.answer().await;
        script
    }

    async fn answer(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.answers.next_line()).await.expect("an answer in time");
        serde_json::from_str(&line.expect("its output").expect("an answer")).expect("JSON")
    }

    async fn does(&mut self, order: &Value) -> Value {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("it listens");
        let answer = self.answer().await;
        assert!(answer["error"].is_null(), "{order}: {answer:#}");
        answer
    }
}

/// The provider.
pub(super) struct Provider {
    script: Script,
    pub(super) issuer: String,
}

impl Provider {
    pub(super) async fn open(stage: &Stage, libraries: &Path) -> Self {
        let script = Script::start(stage, libraries, "provider.js", &[]).await;
        println!("oidc-provider {}", script.hello["version"].as_str().expect("a version"));
        std::fs::write(stage.folder().join("secret"), script.hello["secret"].as_str().expect("a secret")).expect("a file");
        Self { issuer: script.hello["issuer"].as_str().expect("an issuer").to_owned(), script }
    }

    /// The part of a config that knows it: admins may everything, staff may call models, robots too.
    pub(super) fn config(&self) -> String {
        format!(
            "auth:\n  providers:\n    - name: corp\n      label: Corporate login\n      issuer: {}\n      client_id: penstock\n      \
             client_secret_file: ./secret\n      scopes: [profile, email, groups]\n      allowed_audiences: [https://penstock.test]\n      \
             groups:\n        admins: {{ roles: [admin] }}\n        staff: {{ roles: [developer] }}\n        robots: {{ roles: [developer] }}\n",
            self.issuer
        )
    }

    /// From now on they are in these groups.
    pub(super) async fn groups(&mut self, user: &str, groups: &[&str]) {
        self.script.does(&json!({"groups": {user: groups}})).await;
    }

    /// A new key signs from now on.
    pub(super) async fn rotate(&mut self) {
        self.script.does(&json!({"rotate": true})).await;
    }

    /// How often its keys were asked for.
    pub(super) async fn asked(&mut self) -> u64 {
        self.script.does(&json!({"asked": true})).await["asked"].as_u64().expect("a number")
    }

    /// An access token of a program (client credentials), made for this audience.
    pub(super) async fn access_token(&self, audience: &str) -> String {
        let form = format!("grant_type=client_credentials&scope=call&resource={}", audience.replace(':', "%3A").replace('/', "%2F"));
        // `robot` and the secret that all of its clients have.
        let basic = "cm9ib3Q6YS1zZWNyZXQtb2YtcGVuc3RvY2stYXQtdGhlLXByb3ZpZGVy";
        let client = crate::client::Client::new(self.issuer.trim_start_matches("http://").parse().expect("an address"), None);
        let headers = [("authorization", format!("Basic {basic}")), ("content-type", "application/x-www-form-urlencoded".to_owned())];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = client.ask_with(hyper::Method::POST, "/token", &headers, form).await;
        reply.json()["access_token"].as_str().expect("a token").to_owned()
    }
}

/// A person with a browser.
pub(super) struct Browser(Script);

impl Browser {
    /// Looks at the server at this URL.
    pub(super) async fn open(stage: &Stage, libraries: &Path, url: &str) -> Option<Self> {
        let program = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = program else {
            println!("skipped: no Chromium; `cargo xtask test` installs it");
            return None;
        };
        let browser = Script::start(stage, libraries, "browser.js", &[("PENSTOCK_URL", url), ("PENSTOCK_CHROMIUM", program)]).await;
        println!("chromium {}", browser.hello["chromium"]);
        Some(Self(browser))
    }

    /// Does it, and says what is seen then; nothing of it comes from outside of this machine but what the provider's own pages ask for.
    pub(super) async fn does(&mut self, order: Value) -> Value {
        self.0.does(&order).await
    }

    /// Closes it, and waits until its profile is gone.
    pub(super) async fn leave(self) {
        let Script { mut child, orders, .. } = self.0;
        drop(orders);
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await.expect("in time");
        assert!(ended.expect("its end").success());
    }

    /// The cookies that it has for the server: name and value, and what is said of them.
    pub(super) async fn cookies(&mut self) -> Vec<Value> {
        self.does(json!({"do": "cookies"})).await["cookies"].as_array().expect("a list").clone()
    }
}

/// The folder that `cargo xtask test` has filled.
pub(super) fn libraries() -> Option<PathBuf> {
    let environment = environment();
    let named = environment.path("PENSTOCK_TEST_IDENTITY").map(|folder| vec![folder]);
    let folders = named.or_else(|| {
        let cache = std::fs::read_dir(environment.cache_dir()).ok()?;
        Some(cache.flatten().map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("/identity-")).collect())
    });
    let found = folders.unwrap_or_default().into_iter().find(|folder| folder.join("whole").exists());
    if found.is_none() {
        println!("skipped: no identity provider; `cargo xtask test` installs it");
    }
    found
}
