//! What we send is what the document says: real values go through the mirrors and come back whole.

use std::collections::BTreeSet;
use std::time::Duration;

use base::{ByteSize, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use spec::{EngineKind, Name, OperationState, Phase, ReasonCode, RuntimeKind, Source};
use utoipa::{PartialSchema, ToSchema};

/// The mirror takes the value, gives it back as it was, and its schema has just these fields.
#[track_caller]
fn mirrors<View: Serialize + DeserializeOwned + ToSchema + PartialSchema>(full: &impl Serialize) {
    let sent = serde_json::to_value(full).unwrap();
    let view: View = serde_json::from_value(sent.clone()).unwrap();
    assert_eq!(serde_json::to_value(&view).unwrap(), sent);
    let schema = serde_json::to_value(View::schema()).unwrap();
    let fields = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default();
    assert_eq!(fields(&schema["properties"]), fields(&sent), "{}", View::name());
}

fn name() -> Name {
    Name::parse("a").unwrap()
}

fn at() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn reason() -> spec::Reason {
    spec::Reason::new(ReasonCode::NoRoom, "no room", "unload something").with("need_bytes", 7_u64)
}

fn full_budget() -> spec::Budget {
    spec::Budget {
        tokens_per_hour: Some(1),
        tokens_per_day: Some(2),
        tokens_per_month: Some(3),
        usd_per_hour: Some(spec::Usd(4)),
        usd_per_day: Some(spec::Usd::dollars(5)),
        usd_per_month: Some(spec::Usd(6_500_000_000)),
    }
}

fn full_use() -> access::Use {
    let rate = Some(access::Rate { limit: 1, remaining: 0, reset: Duration::from_millis(9) });
    let quota = |coin| access::Quota { coin, period: spec::Period::Day, limit: 5, spent: 4, reserved: 1, asked: 0, resets: at() };
    access::Use {
        requests: 1,
        tokens: 2,
        usd: spec::Usd(3),
        running: 4,
        minute: access::Minute { requests: rate, tokens: rate },
        budget: access::Quotas(vec![quota(access::Coin::Tokens), quota(access::Coin::Usd)]),
    }
}

fn full_spec() -> spec::Deployment {
    spec::Deployment {
        name: name(),
        project: Some(name()),
        model: Some(Source::parse("file:/m.gguf").unwrap()),
        engine: Some(EngineKind::LlamaServer),
        runtime: Some(RuntimeKind::Process),
        pipeline: Some("opensourcellm".into()),
        context: Some(512),
        parallel: Some(2),
        threads: Some(3),
        gpu_layers: Some(4),
        cache_type: Some(spec::CacheType::Q8_0),
        embeddings: true,
        replicas: full_replicas(),
        pinned: true,
        max_queue: 5,
        max_concurrent: Some(6),
        when_full: spec::WhenFull::Fallback,
        fallback: vec![name()],
        affinity: spec::Affinity::Session,
        max_ejected: 7,
        timeouts: spec::Timeouts { connect: Duration::from_millis(250), drain: Some(Duration::from_secs(9)), ..spec::Timeouts::default() },
        retries: spec::Retries { attempts: 4 },
        rollout: spec::Rollout { max_surge: 2, ..spec::Rollout::default() },
        limits: spec::Limits { concurrency: Some(8), ..spec::Limits::default() },
        budget: full_budget(),
        prices: spec::Prices {
            input_per_million: spec::Usd::dollars(1),
            cached_input_per_million: Some(spec::Usd(500_000_000)),
            output_per_million: spec::Usd::dollars(2),
            per_request: spec::Usd(1),
        },
        url: Some("http://h/v1".into()),
        http_version: Some(spec::HttpVersion::Http2),
        api_key_env: Some("K".into()),
        api_key_file: Some("K".into()),
        api_key_secret: Some(name()),
        upstream_model: Some("m".into()),
        args: vec!["--x".into()],
        env: [("A".to_owned(), "B".to_owned())].into(),
        labels: [("l".to_owned(), "m".to_owned())].into(),
    }
}

fn full_replicas() -> spec::Replicas {
    let target = json!({"concurrency": 1, "queue": 2, "kv_use": 3, "first_token": "4s"});
    let window = json!({"days": ["mon"], "from": "08:00", "to": "18:30", "min": 1, "max": 2});
    let all = json!({"min": 1, "max": 2, "keep_alive": "forever", "sleep_after": "1m", "target": target, "schedule": [window], "down_after": "1m"});
    serde_json::from_value(all).unwrap()
}

fn full_serving() -> spec::Serving {
    spec::Serving { parameters: full_parameters(), chat_template: Some("t".into()), context_limit: Some(7) }
}

fn full_parameters() -> spec::Parameters {
    spec::Parameters {
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(40),
        min_p: Some(0.1),
        repeat_penalty: Some(1.1),
        presence_penalty: Some(0.2),
        frequency_penalty: Some(0.3),
        seed: Some(7),
        max_tokens: Some(9),
    }
}

fn full_card() -> spec::Card {
    spec::Card {
        project: Some(name()),
        description: "d".into(),
        licence: "MIT".into(),
        labels: [("k".to_owned(), "v".to_owned())].into(),
        capabilities: Some([spec::Capability::Chat].into()),
        input_schema: Some(json!({"type": "object"})),
        output_schema: Some(json!({"type": "string"})),
        context_limit: Some(7),
        parameters: full_parameters(),
        chat_template: Some("t".into()),
        deprecated: Some("use b".into()),
    }
}

#[test]
fn what_is_said_of_a_model_is_as_documented() {
    mirrors::<super::ModelCard>(&full_card());
    mirrors::<super::ModelParameters>(&full_parameters());
    mirrors::<super::Serving>(&full_serving());
    mirrors::<super::Contents>(&version().contents);
    mirrors::<super::VersionFile>(&version().contents.files[0]);
    mirrors::<super::TensorShape>(&version().contents.inputs[0]);
    mirrors::<super::TagMove>(&spec::TagMove {
        tag: "prod".into(),
        from: Some("sha256:aa".into()),
        to: Some("sha256:bb".into()),
        at: at(),
        cause: "c".into(),
    });
}

fn version() -> spec::Version {
    spec::Version {
        digest: "sha256:0".into(),
        path: "/m.gguf".into(),
        size: ByteSize(1),
        format: spec::Format::Gguf,
        architecture: "llama".into(),
        quantisation: "F16".into(),
        title: Some("t".into()),
        parameters: 2,
        context_length: 3,
        layers: 4,
        weights: ByteSize(5),
        kv_bytes_per_token: 6,
        embedding_length: 7,
        vocabulary: 8,
        has_template: true,
        contents: spec::Contents {
            files: vec![spec::Part { name: "m.gguf".into(), size: ByteSize(1), digest: "sha256:aa".into() }],
            capabilities: [spec::Capability::Chat].into(),
            inputs: vec![spec::Shape { name: "x".into(), kind: "FLOAT".into(), dimensions: vec!["?".into()] }],
            outputs: vec![spec::Shape { name: "y".into(), kind: "FLOAT".into(), dimensions: vec!["3".into()] }],
            serving: full_serving(),
            ..spec::Contents::default()
        },
        body: spec::Body {
            layers: vec![spec::Layers { count: 1, weights: ByteSize(2), keys: 3, values: 4, window: 5, state: 6 }],
            matrices: [("F16".to_owned(), ByteSize(7))].into(),
            ..spec::Body::default()
        },
    }
}

#[test]
fn a_spec_is_as_documented_full_and_bare() {
    let full = full_spec();
    mirrors::<super::DeploymentSpec>(&full);
    mirrors::<super::Replicas>(&full.replicas);
    mirrors::<super::Timeouts>(&full.timeouts);
    mirrors::<super::Prices>(&full.prices);
    mirrors::<super::Body>(&version().body);
    mirrors::<super::Layers>(&version().body.layers[0]);
    mirrors::<super::Rollout>(&full.rollout);
    mirrors::<super::Canary>(&full.rollout.canary);
    mirrors::<super::ReplicaTargets>(&full.replicas.target);
    mirrors::<super::ReplicaWindow>(&full.replicas.schedule[0]);
    let kept = store::KeptRevision {
        revision: spec::Revision { number: 1, spec: full, version: Some(version()) },
        digest: Some("sha256:0".into()),
        cause: "the API".into(),
        status: spec::deployment::RevisionStatus::Serving,
        created_at: at(),
    };
    mirrors::<super::Revision>(&crate::shown::ShownRevision::of(kept, true));
    let bare = json!(spec::Deployment::named(name()));
    let view: super::DeploymentSpec = serde_json::from_value(bare.clone()).unwrap();
    assert_eq!(json!(view), bare);
}

#[test]
fn the_documented_defaults_are_the_real_ones() {
    let bare = json!(spec::Deployment::named(name()));
    let check = |schema: Value, real: &Value| {
        for (field, property) in schema["properties"].as_object().unwrap() {
            if let Some(default) = property.get("default") {
                assert_eq!(default, &real[field], "{field}");
            }
        }
    };
    check(json!(super::DeploymentSpec::schema()), &bare);
    check(json!(super::Replicas::schema()), &bare["replicas"]);
    check(json!(super::Timeouts::schema()), &bare["timeouts"]);
    check(json!(super::Prices::schema()), &json!(spec::Prices::default()));
}

#[test]
fn a_route_is_as_documented() {
    let target = spec::Target { deployment: name(), weight: 3 };
    let full = spec::Route { name: name(), targets: vec![target.clone()], fallback: vec![name()], affinity: spec::Affinity::Prefix };
    mirrors::<super::RouteSpec>(&full);
    mirrors::<super::RouteTarget>(&target);
    mirrors::<super::RouteTargetStatus>(&json!({"deployment": "a", "state": "ready", "share": 0.5, "ejected": true}));
    mirrors::<super::RouteStatus>(&json!({"in_flight": 1, "targets": [], "origin": "api"}));
}

#[test]
fn what_runs_is_as_documented() {
    mirrors::<super::Reason>(&reason());
    mirrors::<super::Version>(&version());
    let device = spec::Device {
        name: "0: card".into(),
        uses: vec![spec::Use { pid: 7, bytes: ByteSize(1) }],
        engine_name: Some("Vulkan0".into()),
        utilization: Some(40),
        ..spec::Device::new("gpu0", spec::DeviceKind::Gpu, ByteSize(2), ByteSize(1))
    };
    mirrors::<super::DeviceUse>(&device.uses[0]);
    mirrors::<super::Device>(&fleet::DeviceView {
        device,
        held: std::iter::once((name(), ByteSize(1))).collect(),
        promised: ByteSize(1),
        allocated: ByteSize(2),
        foreign: ByteSize(3),
        available: ByteSize(4),
    });
    mirrors::<super::Allocation>(&spec::Allocation {
        id: spec::AllocationId::new("a"),
        node: "here".into(),
        device: "ram".into(),
        bytes: ByteSize(5),
        holder: "training".into(),
        expires_at: Some(at()),
        created_at: at(),
        foreign: ByteSize(1),
    });
    mirrors::<super::Instance>(&spec::Instance {
        id: "i".into(),
        deployment: name(),
        revision: 1,
        engine: EngineKind::Echo,
        runtime: RuntimeKind::Process,
        phase: Phase::Failed,
        since: at(),
        reason: Some(reason()),
        memory: ByteSize(1),
        reserved: ByteSize(2),
        measured: true,
        footprint: Some(ByteSize(3)),
        pid: Some(1),
        endpoint: Some("e".into()),
        in_flight: 1,
        ejected: true,
        slots: 2,
        last_used: Some(at()),
        created_at: at(),
        load_ms: Some(3),
    });
}

#[test]
fn what_would_happen_is_as_documented() {
    let share =
        spec::Share { device: "d".into(), kind: spec::DeviceKind::Ram, bytes: ByteSize(1), layers: 2, engine_name: Some("e".into()) };
    mirrors::<super::Share>(&share);
    let grant = spec::Grant { node: "n".into(), shares: vec![share] };
    mirrors::<super::Grant>(&grant);
    let leaver = fleet::explain::Leaver {
        instance: "i".into(),
        deployment: name(),
        memory: ByteSize(1),
        reload_ms: 2,
        in_flight: 3,
        last_used: at(),
    };
    mirrors::<super::Leaver>(&leaver);
    mirrors::<super::Trial>(&fleet::Trial {
        verdict: fleet::Verdict::AfterOthers,
        memory: ByteSize(1),
        measured: true,
        grant,
        reason: Some(reason()),
        leave: vec![leaver],
        cost_ms: 2,
        again_at: Some(at()),
    });
    let cause = spec::Cause::Failure { of: "i".into(), code: ReasonCode::NoRoom };
    mirrors::<super::Here>(&fleet::explain::Here {
        id: "i".into(),
        revision: 1,
        phase: Phase::Ready,
        since: at(),
        cause,
        reason: Some(reason()),
    });
}

#[test]
fn the_story_and_its_jobs_are_as_documented() {
    mirrors::<super::Event>(&spec::Event {
        instance: Some("i".into()),
        phase: Some((Phase::Pending, Phase::Failed)),
        reason: Some(reason()),
        audit: Some(Box::new(full_audit())),
        ..spec::Event::now(spec::EventKind::InstancePhase, spec::Cause::evicted_for(&name()), "m").of(&name())
    });
    mirrors::<super::Webhook>(&::webhooks::Standing {
        name: name(),
        origin: "https://host".into(),
        state: ::webhooks::State::Failing,
        sent: 1,
        dropped: 2,
        failed: 3,
        lag: 4,
        lag_ms: 5,
        last_sent: Some(at()),
        last_failure: Some(::webhooks::standing::Failure { at: at(), what: "w".into(), tries: 6 }),
        next_try: Some(at()),
        disabled: Some("d".into()),
    });
    mirrors::<super::Operation>(&spec::Operation {
        id: "o".into(),
        kind: "load".into(),
        target: name(),
        project: Some(name()),
        state: OperationState::Failed,
        progress: Some(0.5),
        transfer: Some(spec::operation::Transfer { done: 1, total: 2, rate: Some(3), eta_ms: Some(4) }),
        reason: Some(reason()),
        message: "m".into(),
        created_at: at(),
        updated_at: at(),
    });
}

#[test]
fn tokens_are_as_documented() {
    let limits = spec::Limits { requests_per_minute: Some(1), tokens_per_minute: Some(2), concurrency: Some(3) };
    mirrors::<super::Limits>(&limits);
    mirrors::<super::Budget>(&full_budget());
    let used = json!(full_use());
    mirrors::<super::Use>(&used);
    mirrors::<super::Minute>(&used["minute"]);
    mirrors::<super::Rate>(&used["minute"]["tokens"]);
    mirrors::<super::Quota>(&used["budget"]["tokens_per_day"]);
    mirrors::<super::Quota>(&used["budget"]["usd_per_day"]);
    let project = spec::Project {
        name: name(),
        description: Some("d".into()),
        limits: limits.clone(),
        budget: full_budget(),
        quota: spec::Allotment { tokens: Some(1), deployments: Some(2), models: Some(3) },
        created_at: at(),
        updated_at: at(),
    };
    mirrors::<super::Project>(&crate::projects::Shown { project, usage: full_use() });
    let token = spec::Token {
        id: "t".into(),
        name: "n".into(),
        prefix: "psk_ab".into(),
        hash: "secret".into(),
        project: Some("p".into()),
        owner: Some("u".into()),
        scopes: vec![spec::Scope::Admin],
        role: Some(name()),
        rights: spec::Rights::NONE.with(spec::Verb::Use, spec::Kind::Calls),
        models: Some(vec!["a".into()]),
        limits,
        budget: full_budget(),
        expires_at: Some(at()),
        created_at: at(),
        from_login: true,
        exchanged: true,
        last_used_at: Some(at()),
    };
    mirrors::<super::GrantedToken>(&crate::login::oauth::told(&token, &base::Secret::new("psk_x".to_owned())));
    mirrors::<super::Token>(&crate::tokens::Shown { token, usage: full_use() });
}

#[test]
fn logins_are_as_documented() {
    let (name, csrf_token) = ("ann".to_owned(), "c".to_owned());
    mirrors::<super::BrowserSession>(&crate::login::Inside { name, provider: Some("corp".into()), ends_at: at(), csrf_token });
    mirrors::<super::DeviceLogin>(&access::login::Shown {
        device_code: "d".into(),
        user_code: "u".into(),
        verification_uri: "https://h".into(),
        verification_uri_complete: Some("https://h?u".into()),
        expires_in: 1,
        interval: 2,
    });
}

#[test]
fn every_word_that_a_field_can_hold_stands_in_its_description() {
    let described = |schema: Value, field: &str| schema["properties"][field]["description"].as_str().unwrap().to_owned();
    let phases = described(json!(super::Instance::schema()), "phase");
    for phase in [Phase::Pending, Phase::Fetching, Phase::Placing, Phase::Starting, Phase::Loading, Phase::Warming, Phase::Ready] {
        assert!(phases.contains(&format!("`{phase}`")), "{phase}");
    }
    for engine in EngineKind::ALL {
        assert!(described(json!(super::DeploymentSpec::schema()), "engine").contains(&format!("`{engine}`")), "{engine}");
    }
    for kind in spec::EventKind::ALL {
        assert!(described(json!(super::Event::schema()), "kind").contains(&format!("`{kind}`")), "{kind}");
    }
    for code in spec::ReasonCode::ALL {
        assert!(described(json!(super::Reason::schema()), "code").contains(&format!("`{}`", code.as_str())), "{code:?}");
    }
    for kind in spec::Cause::KINDS {
        assert!(described(json!(super::Cause::schema()), "kind").contains(&format!("`{kind}`")), "{kind}");
    }
}

fn full_audit() -> spec::Audit {
    spec::Audit {
        action: "PATCH /x".into(),
        verb: "update".into(),
        kind: "tokens".into(),
        target: Some("t".into()),
        user: Some("u".into()),
        address: Some("127.0.0.1".into()),
        request_id: "r".into(),
        status: 200,
        before: Some(json!({"a": 1})),
        after: Some(json!({"a": 2})),
    }
}

#[test]
fn users_and_roles_are_as_documented() {
    let some = || vec![name()];
    let user = spec::User {
        id: "u".into(),
        name: "ann".into(),
        email: Some("ann@example.org".into()),
        origin: spec::Origin::Provider { provider: "p".into(), subject: "s".into() },
        roles: some(),
        projects: [(name(), some())].into(),
        mapped: spec::Grants { roles: some(), projects: [(name(), some())].into() },
        disabled: true,
        created_at: at(),
        updated_at: at(),
        last_login_at: Some(at()),
    };
    mirrors::<super::User>(&user);
    let role = spec::Role {
        name: name(),
        description: Some("d".into()),
        rights: spec::Rights::NONE.with(spec::Verb::Use, spec::Kind::Calls),
        created_at: at(),
        updated_at: at(),
    };
    mirrors::<super::Role>(&role);
    mirrors::<super::Whoami>(&crate::users::Whoami {
        name: "n".into(),
        token: Some("t".into()),
        project: Some("p".into()),
        user: Some(user),
        rights: role.rights,
        within: [(name(), role.rights)].into(),
    });
}
