//! Routes through the client's door: shares, fallbacks, sessions, slow and broken targets.

use std::sync::Arc;
use std::time::Duration;

use access::NewToken;
use base::Timestamp;
use board::{Entry, KeepAlive, Table};
use spec::deployment::Origin;
use spec::{Affinity, Endpoint, Limits, Name, Reason, ReasonCode, Route, RouteRecord, Scope, Target};

use super::fake::{self, Fake};
use super::house::{ALL, House, STREAMS, entry, limited};

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(super) fn route(of: &str, targets: &[(&str, u32)], fallback: &[&str]) -> Route {
    let targets = targets.iter().map(|(to, weight)| Target { deployment: name(to), weight: *weight }).collect();
    Route { name: name(of), targets, fallback: fallback.iter().map(|n| name(n)).collect(), affinity: Affinity::None }
}

pub(super) fn publish(house: &House, entries: impl IntoIterator<Item = Entry>, routes: impl IntoIterator<Item = Route>) {
    let at = Timestamp::from_millis(1_700_000_000_000);
    let record = |spec: Route| RouteRecord { spec, generation: 1, origin: Origin::Api, created_at: at, updated_at: at };
    let deployments = entries.into_iter().map(|entry| (entry.name.clone(), Arc::new(entry))).collect();
    let routes = routes.into_iter().map(|route| (route.name.clone(), Arc::new(record(route)))).collect();
    house.board.publish(Table { deployments, routes });
}

pub(super) fn engine(house: &House, of: &str) -> Fake {
    Fake::unix(house.dir.path(), of, |_, _| fake::whole("200 OK", r#"{"object":"chat.completion","choices":[]}"#))
}

pub(super) const ASK: &str = r#"{"model":"chat","messages":[{"role":"user","content":"hi"}]}"#;

#[tokio::test]
async fn a_route_is_a_model_like_any_other_and_each_target_gets_its_own_name() {
    let house = House::new().await;
    let (a, b) = (engine(&house, "a"), engine(&house, "b"));
    let entries = [entry("a", ALL, &[(&a.endpoint, 64)]), entry("b", ALL, &[(&b.endpoint, 64)])];
    publish(&house, entries, [route("chat", &[("a", 3), ("b", 1)], &[])]);
    for _ in 0..80 {
        assert_eq!(house.chat(ASK).await.status, 200);
    }
    let (to_a, to_b) = (a.seen().len(), b.seen().len());
    assert!(to_a + to_b == 80 && (6..40).contains(&to_b), "{to_a} and {to_b}");
    assert!(b.seen().iter().all(|seen| seen.body.contains(r#""model":"b""#)), "{:?}", b.seen()[0]);
    let listed = house.ask(house.get("/v1/models")).await.json();
    let ids: Vec<&str> = listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "chat"]);
    assert_eq!(house.ask(house.get("/v1/models/chat")).await.json()["id"], "chat");
    assert_eq!(house.rows("chat").await.0, 80, "booked under the name that was asked for");
}

#[tokio::test]
async fn whoever_lists_models_lists_routes_and_whoever_lists_what_is_loaded_does_not() {
    let house = House::new().await;
    let a = engine(&house, "a");
    let routes = [route("chat", &[("a", 1)], &[]), route("nobody", &[("gone", 1)], &["a"])];
    publish(&house, [entry("a", ALL, &[(&a.endpoint, 4)])], routes);
    for (path, list, id) in
        [("/v1/models", "data", "id"), ("/models", "models", "id"), ("/api/tags", "models", "name"), ("/api/ps", "models", "name")]
    {
        let listed = house.ask(house.get(path)).await.json();
        let ids: Vec<&str> =
            listed[list].as_array().unwrap().iter().map(|one| one[id].as_str().unwrap().trim_end_matches(":latest")).collect();
        let expected: &[&str] = if path == "/api/ps" { &["a"] } else { &["a", "chat", "nobody"] };
        assert_eq!(ids, expected, "{path}");
    }
    for model in ["chat", "nobody"] {
        assert_eq!(house.chat(&ASK.replace("chat", model)).await.status, 200, "what is listed can be called");
    }
}

#[tokio::test]
async fn keep_alive_of_a_call_to_a_route_is_that_of_the_deployment_that_serves_it() {
    let house = House::new().await;
    let b = Fake::unix(house.dir.path(), "b", |_, _| fake::answer());
    let mut down = entry("a", STREAMS, &[]);
    down.state = board::State::Down(Reason::new(ReasonCode::ModelMissing, "it is not there", "bring it"));
    publish(&house, [down, entry("b", STREAMS, &[(&b.endpoint, 4)])], [route("chat", &[("a", 1), ("b", 1)], &[])]);
    let keep = |of: &str| house.board.demand().into_iter().find(|demand| demand.deployment.as_str() == of).unwrap().keep_alive;
    let asked = ASK.replacen('{', r#"{"keep_alive":"1h","#, 1);
    assert_eq!(house.ask(house.request("/api/chat", asked)).await.status, 200);
    assert_eq!((keep("a"), keep("b")), (None, Some(KeepAlive::For(Duration::from_hours(1)))));
    let loads = house.ask(house.request("/api/generate", r#"{"model":"chat","keep_alive":-1}"#)).await;
    assert_eq!((loads.status.as_u16(), keep("a"), keep("b")), (200, None, Some(KeepAlive::Forever)));
    house.ask(house.request("/api/generate", r#"{"model":"chat","keep_alive":0}"#)).await;
    let none = Some(KeepAlive::For(Duration::ZERO));
    assert_eq!((keep("a"), keep("b")), (none, none), "whatever it leads to is let go");
}

#[tokio::test]
async fn a_token_for_the_route_needs_no_other_name_and_opens_no_other() {
    let mut house = House::new().await;
    let a = engine(&house, "a");
    publish(&house, [entry("a", ALL, &[(&a.endpoint, 4)])], [route("chat", &[("a", 1)], &[])]);
    house.token = house.token_for(Some(vec!["chat".to_owned()]), Limits::default()).await;
    assert_eq!(house.chat(ASK).await.status, 200);
    assert_eq!(house.chat(&ASK.replace("chat", "a")).await.status, 403);
    let listed = house.ask(house.get("/v1/models")).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_costs_no_caller_and_is_soon_passed_over() {
    let house = House::new().await;
    let a = engine(&house, "a");
    let nowhere = Endpoint::Unix(house.dir.path().join("nobody"));
    let entries = [entry("a", ALL, &[(&a.endpoint, 64)]), entry("b", ALL, &[(&nowhere, 64)])];
    publish(&house, entries, [route("chat", &[("a", 1), ("b", 1)], &[])]);
    for _ in 0..30 {
        assert_eq!(house.chat(ASK).await.status, 200);
    }
    assert_eq!(a.seen().len(), 30);
    assert!(house.board.is_ejected(&name("chat"), &name("b")));
    let count = house.board.counts().into_iter().find(|count| count.route).unwrap();
    assert_eq!((count.in_flight, count.ejected, count.ejections), (0, 1, 1));
}

#[tokio::test]
async fn what_is_down_full_or_says_so_is_answered_by_the_fallback() {
    let house = House::new().await;
    let (busy, spare) =
        (Fake::unix(house.dir.path(), "busy", |_, _| fake::whole("503 Service Unavailable", "{}")), engine(&house, "spare"));
    let mut down = entry("down", ALL, &[]);
    down.state = board::State::Down(Reason::new(ReasonCode::ModelMissing, "it is not there", "bring it"));
    let fallback = |entry: Entry| limited(entry, |spec| spec.fallback = vec![name("spare")]);
    let entries = [
        fallback(down),
        fallback(entry("busy", ALL, &[(&busy.endpoint, 4)])),
        limited(entry("full", ALL, &[(&busy.endpoint, 0)]), |spec| spec.when_full = spec::WhenFull::Fallback),
        entry("spare", ALL, &[(&spare.endpoint, 4)]),
    ];
    publish(&house, entries, [route("chat", &[("full", 1)], &["down"])]);
    for model in ["down", "busy", "chat"] {
        let answer = house.chat(&ASK.replace("chat", model)).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.body);
    }
    assert_eq!((busy.seen().len(), spare.seen().len()), (1, 3));
    assert_eq!(house.board.fallbacks(), 4, "the last call went on twice");
}

#[tokio::test]
async fn calls_of_one_session_go_to_one_instance_however_they_name_it() {
    let house = House::new().await;
    let engines: Vec<Fake> = (0..4).map(|i| Fake::unix(house.dir.path(), &format!("e{i}"), |_, _| fake::answer())).collect();
    let members: Vec<(&Endpoint, u32)> = engines.iter().map(|engine| (&engine.endpoint, 64)).collect();
    publish(&house, [entry("chat", STREAMS, &members)], []);
    for call in 0..24 {
        let asked = match call % 3 {
            0 => {
                let mut request = house.request("/v1/chat/completions", ASK);
                request.headers_mut().insert("x-session-id", "s-1".parse().unwrap());
                request
            }
            1 => house.request("/v1/chat/completions", ASK.replacen('{', r#"{"prompt_cache_key":"s-1","user":"other","#, 1)),
            _ => house.request("/v1/chat/completions", ASK.replacen('{', r#"{"user":"s-1","#, 1)),
        };
        assert_eq!(house.ask(asked).await.status, 200);
    }
    let mut counts: Vec<usize> = engines.iter().map(|engine| engine.seen().len()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 0, 24]);
    assert_eq!(house.board.counts()[0].affinity_hits, 24);
}

#[tokio::test]
async fn what_belongs_to_a_project_is_there_for_its_own_tokens_and_for_who_sees_all() {
    let mut house = House::new().await;
    let (red, blue, open) = (engine(&house, "red"), engine(&house, "blue"), engine(&house, "open"));
    let of = |engine: &Fake, to: &str| limited(entry(to, ALL, &[(&engine.endpoint, 64)]), |spec| spec.project = Some(name(to)));
    let mut gone = limited(entry("gone", ALL, &[]), |spec| spec.fallback = vec![name("blue"), name("red")]);
    gone.state = board::State::Down(Reason::new(ReasonCode::ModelMissing, "it is not there", "bring it"));
    let entries = [of(&red, "red"), of(&blue, "blue"), entry("open", ALL, &[(&open.endpoint, 64)]), gone];
    publish(&house, entries, [route("chat", &[("red", 1), ("blue", 1)], &[]), route("theirs", &[("blue", 1)], &[])]);
    let cases = [
        (Some("red"), Scope::Inference, &["chat", "gone", "open", "red"][..], (21, 0)),
        (None, Scope::Inference, &["gone", "open"], (0, 0)),
        (None, Scope::Admin, &["blue", "chat", "gone", "open", "red", "theirs"], (9, 9)),
    ];
    for (project, scope, mine, least) in cases {
        let new = NewToken { project: project.map(str::to_owned), scopes: vec![scope], ..NewToken::named("t") };
        house.token = house.access.create(new).await.unwrap().1.expose().to_owned();
        for (path, list, id) in [("/v1/models", "data", "id"), ("/models", "models", "id"), ("/api/tags", "models", "name")] {
            let listed = house.ask(house.get(path)).await.json();
            let ids: Vec<&str> =
                listed[list].as_array().unwrap().iter().map(|one| one[id].as_str().unwrap().trim_end_matches(":latest")).collect();
            assert_eq!(ids, mine, "{path} {project:?}");
        }
        let before = (red.seen().len(), blue.seen().len());
        for model in ["blue", "chat", "open", "red", "theirs"] {
            let is_mine = mine.contains(&model);
            let answer = house.chat(&ASK.replace("chat", model)).await;
            assert_eq!(answer.status.as_u16(), if is_mine { 200 } else { 404 }, "{model} {project:?}: {}", answer.body);
            assert!(is_mine || answer.code() == "model_not_found", "{}", answer.body);
            assert_eq!(house.ask(house.get(&format!("/v1/models/{model}"))).await.status.as_u16(), if is_mine { 200 } else { 404 });
            let shown = house.ask(house.request("/api/show", format!(r#"{{"model":"{model}"}}"#))).await;
            assert_eq!(shown.status.as_u16(), if is_mine { 200 } else { 404 }, "{model}: {}", shown.body);
            let asked = ASK.replace("chat", model);
            for _ in 0..if model == "chat" && is_mine { 40 } else { 0 } {
                assert_eq!(house.chat(&asked).await.status, 200);
            }
        }
        house.chat(&ASK.replace("chat", "gone")).await;
        let after = (red.seen().len() - before.0, blue.seen().len() - before.1);
        assert!(after.0 >= least.0 && after.1 >= least.1, "{project:?}: {after:?}");
        assert!(least.1 > 0 || after.1 == 0, "a target or a fallback of another project is never asked: {project:?} {after:?}");
        assert!(least.0 > 0 || after.0 == 0, "{project:?} {after:?}");
    }
}
