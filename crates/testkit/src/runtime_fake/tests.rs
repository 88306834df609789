//! The fake is held to the contract of the real ones.

use std::time::Duration;

use base::ByteSize;
use runtime::contract::Stage;
use spec::{Endpoint, Name, Order, Program};
use tempfile::TempDir;

use crate::{FakeRuntime, Script};

fn stage(end: Duration) -> Stage {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    let runtime = FakeRuntime::new(ByteSize::mib(100));
    runtime.script(Script { end, ..Script::default() });
    let order = move |id: &spec::InstanceId, fence| Order {
        instance: id.clone(),
        deployment: Name::parse("a").unwrap(),
        revision: 1,
        fence,
        program: Program::Own,
        build: String::new(),
        args: Vec::new(),
        env: std::collections::BTreeMap::new(),
        endpoint: Endpoint::Unix(path.join(id.as_str()).join("e.sock")),
        grace: Duration::ZERO,
        orphan_ttl: Duration::from_mins(1),
        log_bytes: ByteSize::mib(1),
        memory: ByteSize::mib(1),
        slots: 1,
        grant: spec::Grant::default(),
    };
    Stage { runtime, order: Box::new(order), held: Box::new(dir) }
}

runtime::contract!(ends_at_once, stage(Duration::ZERO));
runtime::contract!(ends_slowly, stage(Duration::from_millis(20)));
