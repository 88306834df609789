//! The contract of every runtime, on both that stand here.

use std::sync::Arc;

use runtime::Runtime;
use runtime::contract::Stage;
use runtime::external::ExternalRuntime;
use spec::{Endpoint, Order, Program};

use crate::stage;

fn on_process() -> Stage {
    let held = stage::Stage::new();
    let dir = held.dir();
    let order = move |id: &spec::InstanceId, fence| stage::order(&dir, id, fence, "exec sleep 1000");
    let runtime: Arc<dyn Runtime> = Arc::clone(&held.runtime) as _;
    Stage { runtime, order: Box::new(order), held: Box::new(held) }
}

fn on_external() -> Stage {
    let order = |id: &spec::InstanceId, fence| Order {
        program: Program::None,
        build: String::new(),
        endpoint: Endpoint::Url("http://127.0.0.1:1/v1".to_owned()),
        ..stage::order("/nowhere".as_ref(), id, fence, "")
    };
    Stage { runtime: ExternalRuntime::new(), order: Box::new(order), held: Box::new(()) }
}

runtime::contract!(process, on_process());
runtime::contract!(external, on_external());

#[tokio::test]
async fn an_order_for_the_other_runtime_is_refused() {
    let (process, external) = (on_process(), on_external());
    let id = spec::InstanceId::random();
    let swapped = [process.runtime.launch(&(external.order)(&id, 1)).await, external.runtime.launch(&(process.order)(&id, 1)).await];
    for outcome in swapped {
        assert!(matches!(outcome, Err(runtime::Error::Unsupported { .. })), "{outcome:?}");
    }
    assert!(external.runtime.list().await.unwrap().is_empty());
}
