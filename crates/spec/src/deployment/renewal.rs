//! Which changes of a wish need a new engine, and which are only ours to heed.
//!
//! In: two revisions of one deployment. Out: whether an instance of the one also serves the other. Pure. Every field is named
//! here: a new one does not compile until somebody has decided.

use std::time::Duration;

use super::{Deployment, Revision};

/// What an engine is started with, or spoken to by; of each field what is in force, given or implied.
#[derive(PartialEq)]
struct Start<'a> {
    kinds: (crate::EngineKind, crate::RuntimeKind),
    slots: u32,
    numbers: [Option<u32>; 3],
    cache_type: crate::CacheType,
    embeddings: bool,
    sleep_after: Option<Duration>,
    address: (Option<&'a str>, Option<crate::HttpVersion>, Option<super::KeyFrom<'a>>),
    remote_model: Option<&'a str>,
    args: &'a [String],
    env: &'a std::collections::BTreeMap<String, String>,
}

impl Revision {
    /// Whether an instance of `before` cannot serve this revision: its engine would have to be started with other words.
    pub fn needs_new_engine(&self, before: &Self) -> bool {
        let digest = |revision: &Self| revision.version.as_ref().map(|version| version.digest.clone());
        let serving = |revision: &Self| revision.version.as_ref().map(|version| version.contents.serving.clone());
        digest(self) != digest(before) || serving(self) != serving(before) || start(&self.spec) != start(&before.spec)
    }
}

fn start(spec: &Deployment) -> Start<'_> {
    let Deployment {
        context,
        threads,
        gpu_layers,
        cache_type,
        embeddings,
        url,
        http_version,
        api_key_env: _,
        api_key_file: _,
        api_key_secret: _,
        args,
        env,
        // Of these an engine is told only after how long it is to sleep.
        replicas,
        // Implied ones count as given ones.
        engine: _,
        runtime: _,
        parallel: _,
        // What it resolved to counts: the digest.
        model: _,
        // A remote engine's model is what is asked for by this name; an engine of ours has but one.
        upstream_model,
        // The gateway, the board and the fleet heed these; no engine knows of them.
        name: _,
        project: _,
        pipeline: _,
        pinned: _,
        max_queue: _,
        max_concurrent: _,
        when_full: _,
        fallback: _,
        affinity: _,
        max_ejected: _,
        timeouts: _,
        retries: _,
        rollout: _,
        limits: _,
        budget: _,
        prices: _,
        labels: _,
    } = spec;
    Start {
        kinds: (spec.engine(), spec.runtime()),
        slots: spec.slots(),
        numbers: [*context, *threads, *gpu_layers],
        cache_type: cache_type.unwrap_or_default(),
        embeddings: *embeddings,
        sleep_after: replicas.sleep_after,
        address: (url.as_deref(), *http_version, spec.key_from()),
        remote_model: upstream_model.as_deref().filter(|_| spec.runtime() == crate::RuntimeKind::External),
        args,
        env,
    }
}

#[cfg(test)]
mod tests;
