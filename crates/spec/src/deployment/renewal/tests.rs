//! Field by field: what needs a new engine, and what does not.

use std::time::Duration;

use super::*;
use crate::route::{Affinity, WhenFull};
use crate::{EngineKind, HttpVersion, Name, RuntimeKind, Source};

fn revision(change: impl FnOnce(&mut Deployment)) -> Revision {
    let mut spec = Deployment::named(Name::parse("a").unwrap());
    spec.model = Some(Source::parse("file:/models/tiny.gguf").unwrap());
    change(&mut spec);
    Revision { number: 1, spec, version: None }
}

type Change = fn(&mut Deployment);

#[test]
fn what_an_engine_is_started_with_needs_a_new_one() {
    let changes: [(&str, Change); 12] = [
        ("engine", |d| d.engine = Some(EngineKind::Echo)),
        ("runtime", |d| d.runtime = Some(RuntimeKind::External)),
        ("context", |d| d.context = Some(4096)),
        ("parallel", |d| d.parallel = Some(2)),
        ("threads", |d| d.threads = Some(2)),
        ("gpu_layers", |d| d.gpu_layers = Some(2)),
        ("embeddings", |d| d.embeddings = true),
        ("replicas.sleep_after", |d| d.replicas.sleep_after = Some(Duration::from_mins(1))),
        ("url", |d| d.url = Some("http://h/v1".into())),
        ("http_version", |d| d.http_version = Some(HttpVersion::Http2)),
        ("args", |d| d.args = vec!["--flash-attn".into()]),
        ("env", |d| drop(d.env.insert("A".into(), "b".into()))),
    ];
    for (field, change) in changes {
        assert!(revision(change).needs_new_engine(&revision(|_| {})), "{field}");
    }
    let remote = |model: Option<&str>| revision(|d| (d.engine, d.upstream_model) = (Some(EngineKind::Openai), model.map(str::to_owned)));
    assert!(remote(Some("b")).needs_new_engine(&remote(Some("a"))), "upstream_model of a remote engine");
    assert!(revision(|d| d.api_key_env = Some("KEY".into())).needs_new_engine(&revision(|_| {})), "api_key_env");
}

#[test]
fn what_only_we_heed_leaves_the_engine_alone() {
    let changes: [(&str, Change); 17] = [
        ("pipeline", |d| d.pipeline = Some("opensourcellm".into())),
        ("replicas", |d| (d.replicas.min, d.replicas.max, d.replicas.keep_alive) = (1, 4, None)),
        ("pinned", |d| d.pinned = true),
        ("max_queue", |d| d.max_queue = 3),
        ("max_concurrent", |d| d.max_concurrent = Some(3)),
        ("when_full", |d| d.when_full = WhenFull::Reject),
        ("fallback", |d| d.fallback = vec![Name::parse("b").unwrap()]),
        ("affinity", |d| d.affinity = Affinity::None),
        ("max_ejected", |d| d.max_ejected = 0),
        ("timeouts", |d| d.timeouts.total = Duration::from_secs(1)),
        ("retries", |d| d.retries.attempts = 1),
        ("rollout", |d| d.rollout.max_surge = 2),
        ("limits", |d| d.limits.concurrency = Some(1)),
        ("budget", |d| d.budget.tokens_per_day = Some(1)),
        ("prices", |d| d.prices.per_request = crate::Usd(1)),
        ("upstream_model", |d| d.upstream_model = Some("b".into())),
        ("labels", |d| drop(d.labels.insert("a".into(), "b".into()))),
    ];
    for (field, change) in changes {
        let changed = revision(change);
        assert_ne!(changed.spec, revision(|_| {}).spec, "{field}");
        assert!(!changed.needs_new_engine(&revision(|_| {})), "{field}");
    }
}

#[test]
fn saying_what_was_implied_changes_nothing_and_the_model_is_what_it_resolved_to() {
    let said = revision(|d| (d.engine, d.runtime, d.parallel) = (Some(EngineKind::LlamaServer), Some(RuntimeKind::Process), Some(1)));
    assert!(!said.needs_new_engine(&revision(|_| {})));
    let moved = revision(|d| d.model = Some(Source::parse("file:/elsewhere/tiny.gguf").unwrap()));
    assert!(!moved.needs_new_engine(&revision(|_| {})), "the same content under another name");
    let version: crate::Version =
        serde_json::from_value(serde_json::json!({"digest": "sha256:aa", "path": "/m", "size": 1, "format": "gguf",
        "architecture": "llama", "quantisation": "F16", "title": null, "parameters": 1, "context_length": 1, "layers": 1, "weights": 1,
        "kv_bytes_per_token": 1, "embedding_length": 1, "vocabulary": 1, "has_template": false}))
        .unwrap();
    let of = |digest: &str| Revision { version: Some(crate::Version { digest: digest.into(), ..version.clone() }), ..revision(|_| {}) };
    assert!(of("sha256:aa").needs_new_engine(&of("sha256:bb")));
    assert!(!of("sha256:aa").needs_new_engine(&of("sha256:aa")));
    let mut warmer = of("sha256:aa");
    if let Some(version) = &mut warmer.version {
        version.contents.serving.parameters.temperature = Some(1.5);
    }
    assert!(warmer.needs_new_engine(&of("sha256:aa")), "the model's card has other words for its engine");
}
