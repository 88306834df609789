//! A folder, a config and an engine for one test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use app::config::{Environment, Flags, Settings};
use app::serve::House;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::client::Client;

/// Long enough for a machine that is busy with other tests, and whose disk may stand still for seconds.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What every test's config begins with.
const COMMON: &str = "listen: 127.0.0.1:0\ndata_dir: ./data\norphan_ttl: 5s\nshutdown_timeout: 5s\nllama_threads: 1\n";

/// One test's place.
pub(crate) struct Stage {
    folder: TempDir,
    engine: Option<PathBuf>,
}

impl Stage {
    /// Without llama-server.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("it").tempdir().expect("a folder"), engine: None }
    }

    /// With the real llama-server; `None`, and a word about it, where there is none.
    pub(crate) fn with_engine() -> Option<Self> {
        let Some(engine) = llama_server() else {
            println!("skipped: no llama-server");
            return None;
        };
        Some(Self { engine: Some(engine), ..Self::new() })
    }

    /// With an engine that does as it is told, well or badly.
    pub(crate) fn with_fake() -> Self {
        Self { engine: Some(fake_engine()), ..Self::new() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// What a process of this test sees of the world.
    pub(crate) fn variables(&self) -> BTreeMap<String, OsString> {
        let mut variables = BTreeMap::from([
            ("HOME".to_owned(), self.folder().as_os_str().to_owned()),
            ("PATH".to_owned(), OsString::from("/usr/bin:/bin")),
        ]);
        if let Some(engine) = &self.engine {
            variables.insert("PENSTOCK_LLAMA_SERVER".to_owned(), engine.as_os_str().to_owned());
        }
        variables
    }

    /// Writes the config and returns its path.
    pub(crate) fn write_config(&self, config: &str) -> PathBuf {
        let path = self.folder().join("penstock.yaml");
        std::fs::write(&path, format!("{COMMON}{config}")).expect("a config");
        path
    }

    /// The settings of this config, read as `serve` reads them.
    pub(crate) fn settings(&self, config: &str) -> Settings {
        let flags = Flags { config: Some(self.write_config(config)), values: Vec::new() };
        let own = PathBuf::from(env!("CARGO_BIN_EXE_penstock"));
        let environment = Environment { variables: self.variables(), folder: self.folder().to_owned(), own };
        Settings::load(&flags, &environment).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// A house in this process.
    pub(crate) async fn house(&self, config: &str) -> House {
        House::start(self.settings(config)).await.unwrap_or_else(|error| panic!("{}", base::chain(&error)))
    }

    /// A client of this house, with the token of its first start.
    pub(crate) fn client(&self, house: &House) -> Client {
        Client::new(house.address, self.token())
    }

    /// The admin token of the first start.
    pub(crate) fn token(&self) -> Option<String> {
        std::fs::read_to_string(self.data_dir().join("admin-token")).ok().map(|token| token.trim().to_owned())
    }
}

/// Ends a house that nobody has to wait for.
pub(crate) async fn stop(house: House) {
    house.stop(&CancellationToken::new()).await;
}

/// The small model, which knows its few capitals.
pub(crate) fn tiny() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny.gguf").canonicalize().expect("the small model").display().to_string()
}

/// A deployment of the small model that loads when it is asked for.
pub(crate) fn lazy() -> String {
    format!("deployments:\n  - name: tiny\n    model: file:{}\n", tiny())
}

/// Waits until it is so.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look).await
}

/// Waits so long until it is so: for what is much work on any machine.
pub(crate) async fn within<T>(patience: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(patience, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("waited {patience:?} until {what}"))
}

/// Whether a process of this id lives (a zombie does not).
pub(crate) fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

/// What this process was told.
pub(crate) fn environment() -> Environment {
    Environment::of_process()
}

/// A number that a person may raise for a longer run.
pub(crate) fn number(variable: &str, usual: u64) -> u64 {
    environment().get(variable).and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// The fake engine, beside the program under test. Cargo builds it for a run of the whole workspace; for a run of this
/// room alone it is built here, when it is not there or older than what it is made of.
fn fake_engine() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let program = Path::new(env!("CARGO_BIN_EXE_penstock")).with_file_name("fake-engine");
        let made = std::fs::metadata(&program).and_then(|found| found.modified()).ok();
        if made.is_none_or(|made| newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit")) > Some(made)) {
            let folder = program.parent().expect("a folder");
            let mut cargo = std::process::Command::new(env!("CARGO"));
            // As cargo builds it for a test, and together with this room: so what is built already is of use.
            cargo.args(["test", "--no-run", "--quiet", "--package", "app", "--package", "testkit", "--test", "engine"]);
            cargo.args(if folder.ends_with("release") { &["--release"][..] } else { &[] }).arg("--target-dir");
            let status = cargo.arg(folder.parent().expect("a target folder")).current_dir(env!("CARGO_MANIFEST_DIR")).status();
            assert!(status.is_ok_and(|status| status.success()), "the fake engine cannot be built");
        }
        program
    };
    BUILT.get_or_init(build).clone()
}

/// When something below this folder was last written.
fn newest(folder: &Path) -> Option<std::time::SystemTime> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let written = entries.filter_map(|entry| {
        let found = entry.metadata().ok()?;
        if found.is_dir() { newest(&entry.path()) } else { found.modified().ok() }
    });
    written.max()
}

fn llama_server() -> Option<PathBuf> {
    let environment = environment();
    environment.path("PENSTOCK_TEST_LLAMA_SERVER").or_else(|| {
        let engines = std::fs::read_dir(environment.cache_dir().join("engines")).ok()?;
        engines.flatten().map(|entry| entry.path().join("llama-server")).find(|path| path.is_file())
    })
}
