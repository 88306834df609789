//! Values for the promises: small, different from each other, and with every optional part set
//! somewhere, so that a column that is lost is noticed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base::{ByteSize, Secret, Timestamp};
use spec::{
    Affinity, Budget, Capability, Card, Cause, Deployment, Ending, Event, EventKind, Format, InstanceId, Invalid, Limits, Listed, Model,
    Name, Operation, OperationId, OperationState, Project, Reason, ReasonCode, Revision, Route, Scope, Source, Target, Token, TokenId,
    Usage, Usd, Version,
};

use crate::error::Error;
use crate::instances::Kept;

/// A name; the contract only uses good ones.
pub fn name(text: &str) -> Result<Name, Error> {
    good(Name::parse(text))
}

/// Bad samples are reported as what cannot be stored.
fn good<T>(made: Result<T, Invalid>) -> Result<T, Error> {
    made.map_err(|invalid| Error::Unstorable { what: "sample", source: serde::de::Error::custom(invalid) })
}

/// A wish with many parts set.
pub fn wish(text: &str) -> Result<Deployment, Error> {
    let mut wish = Deployment::named(name(text)?);
    wish.model = Some(good(Source::parse("file:/models/tiny.gguf"))?);
    wish.context = Some(4096);
    wish.replicas.keep_alive = Some(Duration::from_millis(1_500));
    wish.args = vec!["--flash-attn".to_owned(), "on".to_owned()];
    wish.env = BTreeMap::from([("KEY".to_owned(), "a \"b\" ü".to_owned())]);
    Ok(wish)
}

/// A route with every part set.
pub fn route(text: &str, target: &str) -> Result<Route, Error> {
    let target = Target { deployment: name(target)?, weight: 9 };
    Ok(Route { name: name(text)?, targets: vec![target], fallback: vec![name("spare")?], affinity: Affinity::Session })
}

/// Makes it another wish under the same name.
pub fn vary(wish: &mut Deployment, number: u32) {
    wish.labels.insert("variant".to_owned(), number.to_string());
}

/// A revision of a wish.
pub fn revision(wish: &Deployment, number: u64) -> Revision {
    Revision { number, spec: wish.clone(), version: Some(version("sha256:aa")) }
}

/// A version.
pub fn version(digest: &str) -> Version {
    Version {
        digest: digest.to_owned(),
        path: PathBuf::from("/models/tiny.gguf"),
        size: ByteSize(1_773_280),
        format: Format::Gguf,
        architecture: "llama".to_owned(),
        quantisation: "F16".to_owned(),
        title: Some("Tiny".to_owned()),
        parameters: 800_000,
        context_length: 4096,
        layers: 4,
        weights: ByteSize(1_700_000),
        kv_bytes_per_token: 1024,
        embedding_length: 128,
        vocabulary: 320,
        has_template: true,
        contents: spec::Contents::default(),
        body: spec::Body {
            layers: vec![spec::Layers { count: 4, keys: 64, values: 64, ..spec::Layers::default() }],
            heads: 4,
            ..spec::Body::default()
        },
    }
}

/// A version in the registry.
pub fn listed(digest: &str) -> Listed {
    Listed {
        version: version(digest),
        note: format!("note of {digest}"),
        added_at: Timestamp::from_millis(1),
        added_by: "a test".to_owned(),
    }
}

/// A model with two versions and two tags, not stored yet.
pub fn model(text: &str) -> Result<Model, Error> {
    Ok(Model {
        name: name(text)?,
        source: good(Source::parse("file:/models/tiny.gguf"))?,
        tags: BTreeMap::from([("latest".to_owned(), "sha256:bb".to_owned()), ("prod".to_owned(), "sha256:aa".to_owned())]),
        latest_is_set: false,
        versions: vec![listed("sha256:bb"), listed("sha256:aa")],
        card: Card {
            description: format!("What {text} is good for"),
            licence: "Apache-2.0".to_owned(),
            labels: BTreeMap::from([("team".to_owned(), "red".to_owned())]),
            capabilities: Some([Capability::Chat].into()),
            ..Card::default()
        },
        deprecated_at: None,
        generation: 0,
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(2),
    })
}

/// An intent.
pub fn kept(id: &str, deployment: &Name, fence: u64) -> Kept {
    Kept {
        id: InstanceId::new(id),
        deployment: deployment.clone(),
        revision: 3,
        fence,
        key: Secret::new(format!("key-of-{id}")),
        created_at: Timestamp::from_millis(5),
    }
}

/// A token.
pub fn token(id: &str, hash: &str) -> Token {
    Token {
        id: TokenId::new(id),
        name: format!("name of {id}"),
        prefix: "psk_abcd".to_owned(),
        hash: hash.to_owned(),
        owner: Some(spec::UserId::new("u1")),
        project: Some("red".to_owned()),
        scopes: vec![Scope::Inference, Scope::Admin],
        role: spec::Role::built_in("viewer").map(|role| role.name),
        rights: spec::Rights::NONE.with(spec::Verb::Delete, spec::Kind::Calls),
        models: Some(vec!["tiny".to_owned()]),
        limits: Limits { requests_per_minute: Some(60), tokens_per_minute: Some(10_000), concurrency: Some(2) },
        budget: Budget { tokens_per_day: Some(1_000_000), usd_per_month: Some(Usd(12_500_000_000)), ..Budget::default() },
        expires_at: Some(Timestamp::from_millis(9_000_000_000_000)),
        created_at: Timestamp::from_millis(7),
        from_login: false,
        exchanged: false,
        last_used_at: None,
    }
}

/// A user with every part set.
pub fn user(id: &str, subject: &str) -> Result<spec::User, Error> {
    let roles = vec![name("viewer")?, name("painter")?];
    Ok(spec::User {
        id: spec::UserId::new(id),
        name: format!("name of {id}"),
        email: Some("ann@example.org".to_owned()),
        origin: spec::user::Origin::Provider { provider: "house".to_owned(), subject: subject.to_owned() },
        roles: roles.clone(),
        projects: BTreeMap::from([(name("red")?, roles.clone())]),
        mapped: spec::Grants { roles: roles.clone(), projects: BTreeMap::from([(name("blue")?, roles)]) },
        disabled: true,
        created_at: Timestamp::from_millis(3),
        updated_at: Timestamp::from_millis(4),
        last_login_at: Some(Timestamp::from_millis(5)),
    })
}

/// A role.
pub fn role(text: &str) -> Result<spec::Role, Error> {
    Ok(spec::Role {
        name: name(text)?,
        description: Some("may paint".to_owned()),
        rights: spec::Rights::NONE.with(spec::Verb::Use, spec::Kind::Calls),
        created_at: Timestamp::from_millis(1),
        updated_at: Timestamp::from_millis(2),
    })
}

/// A project.
pub fn project(text: &str) -> Result<Project, Error> {
    Ok(Project {
        name: name(text)?,
        description: Some("all who paint".to_owned()),
        limits: Limits { concurrency: Some(9), ..Limits::default() },
        budget: Budget { usd_per_day: Some(Usd(1)), ..Budget::default() },
        quota: spec::Allotment { tokens: Some(3), deployments: Some(2), models: Some(1) },
        created_at: Timestamp::from_millis(8),
        updated_at: Timestamp::from_millis(9),
    })
}

/// An event with a text to know it by.
pub fn event(text: &str, deployment: Option<&Name>) -> Event {
    let event = Event::now(EventKind::DeploymentUpdated, Cause::Config, text);
    deployment.map_or(event.clone(), |name| event.of(name))
}

/// An operation that began at this millisecond.
pub fn operation(id: &str, target: &Name, began: i64, state: OperationState) -> Operation {
    let failed = state == OperationState::Failed;
    Operation {
        id: OperationId::new(id),
        kind: "load".to_owned(),
        target: target.clone(),
        project: None,
        state,
        progress: Some(0.5),
        transfer: None,
        reason: failed.then(|| Reason::new(ReasonCode::EngineExited, "it ended", "look at its log")),
        message: "loading".to_owned(),
        created_at: Timestamp::from_millis(began),
        updated_at: Timestamp::from_millis(began + 1),
    }
}

/// A call.
pub fn usage(request_id: &str, at: i64, model: &str, ending: Ending) -> Usage {
    Usage {
        request_id: request_id.to_owned(),
        at: Timestamp::from_millis(at),
        token: Some("t1".to_owned()),
        project: None,
        model: model.to_owned(),
        operation: "chat".to_owned(),
        status: 200,
        ending,
        prompt_tokens: 10,
        completion_tokens: 5,
        estimated: false,
        duration_ms: 120,
        first_byte_ms: Some(30),
        deployment: Some(model.to_owned()),
        instance: Some("i1".to_owned()),
        error: Some("word".to_owned()),
        cached_tokens: 3,
        reasoning_tokens: 2,
        cost: Usd(1_234),
        wait_ms: 7,
        retries: 1,
    }
}
