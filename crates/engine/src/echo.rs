//! Answers with the prompt; for trying the plumbing.
//!
//! It is this very binary as a child process, so everything around an engine is real: keeper,
//! socket, key, stream. Only a deployment that says `engine: echo` ever gets it.

use std::time::Duration;

use base::ByteSize;
use spec::{Deployment, Dialect, Order, Revision, Version};

use crate::{Engine, Error, Load, Memory, Needs, Place, Probe, order};

/// The echo.
#[derive(Debug)]
pub(crate) struct Echo;

const PROCESS: ByteSize = ByteSize::mib(8);

impl Engine for Echo {
    fn order(&self, revision: &Revision, place: &Place) -> Result<Order, Error> {
        let mut order = order(revision, place, self.memory(None, &revision.spec));
        order.args = vec!["echo".to_owned(), "--socket".to_owned(), order.endpoint.to_string().trim_start_matches("unix:").to_owned()];
        order.env.clone_from(&revision.spec.env);
        order.env.insert("ECHO_API_KEY".to_owned(), place.key.expose().to_owned());
        Ok(order)
    }
    fn memory(&self, _: Option<&Version>, _: &Deployment) -> Memory {
        Memory { overhead: PROCESS, ..Memory::default() }
    }
    fn needs(&self, version: Option<&Version>, spec: &Deployment) -> Needs {
        Needs::whole(self.memory(version, spec))
    }
    fn probe(&self) -> Probe {
        let timeout = Duration::from_secs(5);
        Probe { path: "/health", loading: None, key_may_be_refused: false, pulse: None, slots: None, sleep: None, timeout }
    }
    fn load(&self, _: &str, _: Option<&str>) -> Option<Load> {
        None
    }
    fn dialect(&self, _: &Deployment) -> Dialect {
        Dialect { chat: true, completions: true, embeddings: false, always_stream: true, stream_usage: true }
    }
}
