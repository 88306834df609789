//! Models, memory for some of them, and a house that serves them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use app::serve::House;
use base::ByteSize;
use base::tasks::Task;
use gguf::sample::Sample;
use serde_json::{Map, Value, json};
use testkit::device_ledger::{Book, DeviceLedger, FakeDevice, Hold};

use super::processes;
use crate::client::{Client, Reply};
use crate::stage::{Stage, stop, until};

/// Keys and values of one token in all layers of the file that [`sample`] writes.
const CACHE_OF_A_TOKEN: u64 = 32 << 10;
/// What one model takes, less its buffers and the process.
pub(super) const ONE: ByteSize = ByteSize::mib(128);
/// What Penstock expects it to take in all, and no less; what it really takes is between the two.
const EXPECTED: ByteSize = ByteSize::mib(160);
/// Less than one model, whatever their number.
const SPARE: ByteSize = ByteSize::mib(16);

/// From TERM to KILL, and more.
const GONE_WITHIN: Duration = Duration::from_secs(20);
/// All processes of the machine are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a test stands on.
pub(super) struct Depot {
    pub(super) stage: Stage,
    pub(super) ledger: DeviceLedger,
    pub(super) room: ByteSize,
    /// What a model takes, less its buffers: its cache is all of its memory, but for some MiB.
    each: ByteSize,
    /// How the config says what memory there is.
    memory: String,
    _fresh: Task,
}

/// A deployment of a fake engine.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    /// Its public name.
    pub(super) name: String,
    /// What its engine does, without the prefix.
    pub(super) does: Vec<(&'static str, String)>,
    /// More lines of its entry, in the flow style.
    pub(super) more: Vec<String>,
}

/// A model that is served well.
pub(super) fn model(name: &str) -> Model {
    Model { name: name.to_owned(), ..Model::default() }
}

impl Model {
    /// Its engine does so.
    #[expect(clippy::needless_pass_by_value, reason = "a word or a number, written as it is")]
    pub(super) fn does(mut self, what: &'static str, value: impl ToString) -> Self {
        self.does.push((what, value.to_string()));
        self
    }
    /// Its entry has this line.
    pub(super) fn with(mut self, line: &str) -> Self {
        self.more.push(line.to_owned());
        self
    }
}

impl Depot {
    /// With memory for so many models at once; Penstock's budget, and the ledger.
    pub(super) fn with_room_for(models: u64) -> Self {
        let stage = Stage::with_fake();
        let room = ByteSize(EXPECTED.0 * models + SPARE.0);
        let ledger = DeviceLedger::create(stage.folder().join("devices.json"), vec![FakeDevice::ram(room)]).expect("a ledger");
        let (memory, fresh) = (format!("budget: {}", room.0), ledger.keep_fresh());
        Self { stage, ledger, room, each: ONE, memory, _fresh: fresh }
    }

    /// On a machine with these devices, which Penstock sees; each model takes so much.
    pub(super) fn on(devices: Vec<FakeDevice>, each: ByteSize) -> Self {
        let stage = Stage::with_fake();
        let room = devices.iter().map(|device| device.total).sum();
        let ledger = DeviceLedger::create(stage.folder().join("devices.json"), devices).expect("a ledger");
        let (memory, fresh) = (format!("devices_file: {}", ledger.path().display()), ledger.keep_fresh());
        Self { stage, ledger, room, each, memory, _fresh: fresh }
    }

    /// More of the config's `memory`, in the flow style.
    pub(super) fn with_memory(mut self, more: &str) -> Self {
        self.memory = format!("{}, {more}", self.memory);
        self
    }

    fn context(&self) -> u64 {
        self.each.0 / CACHE_OF_A_TOKEN
    }

    /// The config that serves these.
    pub(super) fn config(&self, models: &[Model]) -> String {
        let mut config = format!("memory: {{ {} }}\ndeployments:\n", self.memory);
        for model in models {
            let Model { name, does, more } = model;
            let (file, context) = (self.file(name), self.context());
            let _ = write!(config, "  - name: {name}\n    model: file:{}\n    context: {context}\n", file.display());
            for line in more {
                let _ = writeln!(config, "    {line}");
            }
            let _ = write!(config, "    env:\n      FAKE_ENGINE_DEVICES: {}\n", self.ledger.path().display());
            for (what, value) in does {
                let _ = writeln!(config, "      FAKE_ENGINE_{what}: \"{value}\"");
            }
        }
        config
    }

    /// One of them as the body of a call of the API.
    pub(super) fn wish(&self, model: &Model) -> Value {
        let mut does: Map<String, Value> =
            model.does.iter().map(|(what, value)| (format!("FAKE_ENGINE_{what}"), value.clone().into())).collect();
        does.insert("FAKE_ENGINE_DEVICES".to_owned(), self.ledger.path().display().to_string().into());
        json!({"name": model.name, "model": format!("file:{}", self.file(&model.name).display()), "context": self.context(), "env": does})
    }

    /// A house that serves them, and a client.
    pub(super) async fn house(&self, models: &[Model]) -> (House, Client) {
        let house = self.stage.house(&self.config(models)).await;
        let client = self.stage.client(&house);
        (house, client)
    }

    pub(super) fn book(&self) -> Book {
        self.ledger.look().expect("the ledger")
    }

    /// Engines of this model that hold memory.
    pub(super) fn holders(&self, model: &str) -> Vec<u32> {
        let of_it = |hold: &&Hold| hold.what.split(' ').next() == Some(model);
        self.book().holds.iter().filter(of_it).map(|hold| hold.holder.pid).collect()
    }

    /// Engines of this model that have begun.
    pub(super) fn begun(&self, model: &str) -> u64 {
        self.book().begun.get(model).copied().unwrap_or(0)
    }

    /// Everything goes home, and nothing is left.
    pub(super) async fn close(self, house: House) {
        stop(house).await;
        self.is_empty("the house has stopped").await;
    }

    /// No process of this test lives or waits to be reaped, and nobody holds a byte.
    pub(super) async fn is_empty(&self, when: &str) {
        let mark = self.stage.folder().display().to_string();
        let begun = Instant::now();
        loop {
            let left = (processes::marked(&mark), self.book().holds, self.instances());
            if left.0.is_empty() && left.1.is_empty() && left.2 == 0 {
                return;
            }
            assert!(begun.elapsed() < GONE_WITHIN, "when {when} there are still {left:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Folders of instances.
    pub(super) fn instances(&self) -> usize {
        std::fs::read_dir(self.stage.data_dir().join("instances")).into_iter().flatten().flatten().count()
    }

    /// A small file whose context takes as much as a model shall.
    fn file(&self, name: &str) -> PathBuf {
        let path = self.stage.folder().join(format!("{name}.gguf"));
        let sample = sample(name, self.context());
        std::fs::write(&path, sample.header()).expect("a file");
        let file = std::fs::File::options().write(true).open(&path).expect("the file");
        file.set_len(sample.file_len()).expect("its data");
        path
    }
}

/// 32 layers, each with 2 heads of 128 numbers for keys and as many for values, of 2 bytes each.
fn sample(name: &str, context: u64) -> Sample {
    Sample::of("llama")
        .text("general.name", name)
        .number("general.file_type", 15)
        .number("llama.context_length", u32::try_from(context).expect("a context"))
        .number("llama.block_count", 32)
        .number("llama.embedding_length", 256)
        .number("llama.feed_forward_length", 512)
        .number("llama.attention.head_count", 2)
        .number("llama.attention.head_count_kv", 2)
        .vocabulary()
        .tensor("token_embd.weight", &[256, 4], 12)
        .tensor("output_norm.weight", &[256], 0)
}

/// A call.
pub(super) fn call(model: &str, stream: bool) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "count"}], "stream": stream})
}

/// What a model says when it says all of it, with so many tokens.
pub(super) fn counted(model: &str, tokens: u64) -> String {
    (1..tokens).fold(model.to_owned(), |text, number| format!("{text} {number}"))
}

/// Asks for an answer in one piece.
pub(super) async fn ask(client: &Client, model: &str) -> Reply {
    client.post("/v1/chat/completions", &call(model, false)).await
}

/// What a stream said, and how it ended.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) text: String,
    pub(super) finished: bool,
    pub(super) done: bool,
    pub(super) error: Option<Value>,
}

impl Heard {
    /// All that was said, to the very end.
    pub(super) fn is_whole(&self, model: &str, tokens: u64) -> bool {
        self.text == counted(model, tokens) && self.finished && self.done && self.error.is_none()
    }
    pub(super) fn take(&mut self, event: &str) {
        if event == "[DONE]" {
            self.done = true;
            return;
        }
        let event: Value = serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {event}"));
        if !event["error"].is_null() {
            self.error = Some(event["error"].clone());
        }
        let choice = &event["choices"][0];
        self.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        self.finished |= choice["finish_reason"].is_string();
    }
}

/// Hears a stream to its end; what is no stream is an error.
pub(super) async fn hear(client: &Client, model: &str) -> Heard {
    let mut stream = client.stream("/v1/chat/completions", &call(model, true)).await;
    let mut heard = Heard::default();
    if stream.status != 200 {
        let text = stream.text().await;
        heard.error = Some(serde_json::from_str(&text).unwrap_or(Value::String(text)));
        return heard;
    }
    while let Some(event) = stream.next().await {
        heard.take(&event);
    }
    heard
}

/// The reason that a deployment is not ready.
pub(super) async fn reason(client: &Client, model: &str) -> Value {
    client.get(&format!("/api/v1/deployments/{model}")).await.json()["status"]["reason"].clone()
}

/// Waits until it is not ready for this reason.
pub(super) async fn until_reason(client: &Client, model: &str, code: &str) -> Value {
    until(code, async || {
        let reason = reason(client, model).await;
        (reason["code"] == code).then_some(reason)
    })
    .await
}

/// Loads it, or lets it go, by hand.
pub(super) async fn order(client: &Client, model: &str, what: &str) {
    let reply = client.post(&format!("/api/v1/deployments/{model}/{what}"), &json!({})).await;
    assert!(reply.status < 300, "{}", reply.text);
}
