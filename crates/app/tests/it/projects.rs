//! What belongs to a project: who may do what with it, how much of it there may be, and when the project may go.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Client, Reply};
use crate::process::{Process, penstock};
use crate::stage::{Stage, stop, tiny, until};

async fn ask(client: &Client, method: Method, path: &str, body: &Value) -> Reply {
    client.ask(method, path, Bytes::from(body.to_string())).await
}

#[expect(clippy::needless_pass_by_value, reason = "what was answered is done with")]
fn done(reply: Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text);
    serde_json::from_str(&reply.text).unwrap_or_default()
}

async fn make(client: &Client, nouns: &str, body: Value) -> Value {
    let reply = client.post(&format!("/api/v1/{nouns}"), &body).await;
    assert!((200..300).contains(&reply.status), "{nouns} {body}: {} {}", reply.status, reply.text);
    reply.json()
}

async fn names(client: &Client, path: &str) -> Vec<String> {
    let all = done(client.get(path).await, 200);
    all["items"].as_array().expect("a list").iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
}

/// Whoever may bring models may bring those that the operator has put there.
fn everybodys_models() -> String {
    format!("models_dir: '{}'\n", std::path::Path::new(&tiny()).parent().expect("a folder").display())
}

/// Somebody with this role within project `a` and, it may be, one everywhere.
async fn user(admin: &Client, name: &str, roles: &[&str]) -> Client {
    let made = make(admin, "users", json!({"name": name, "roles": roles, "projects": {"a": ["developer"]}})).await;
    let token = make(admin, "tokens", json!({"name": name, "scopes": ["admin"], "owner": made["id"]})).await;
    admin.with_token(token["token"].as_str())
}

/// Two projects with a deployment and a model each, and one of each that is nobody's.
async fn two_projects(admin: &Client) {
    for project in ["a", "b"] {
        make(admin, "projects", json!({"name": project})).await;
    }
    for (name, project) in [("mine", json!("a")), ("theirs", json!("b")), ("nobodys", Value::Null)] {
        make(admin, "deployments", json!({"name": name, "engine": "echo", "project": project})).await;
        make(admin, "models", json!({"name": format!("{name}-model"), "source": format!("file:{}", tiny()), "project": project})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_role_within_a_project_does_with_its_deployments_what_that_says_and_sees_no_others() {
    let stage = Stage::new();
    let house = stage.house(&everybodys_models()).await;
    let admin = stage.client(&house);
    two_projects(&admin).await;
    let ann = user(&admin, "ann", &[]).await;
    assert_eq!(names(&ann, "/api/v1/deployments").await, ["mine"]);
    assert_eq!(names(&ann, "/api/v1/deployments?project=b").await, Vec::<String>::new());
    for (method, path) in [
        (Method::GET, ""),
        (Method::PATCH, ""),
        (Method::DELETE, ""),
        (Method::GET, "/explain"),
        (Method::GET, "/logs"),
        (Method::GET, "/revisions"),
        (Method::GET, "/rollout"),
        (Method::POST, "/rollout/pause"),
        (Method::POST, "/rollout/undo"),
        (Method::POST, "/load"),
        (Method::POST, "/unload"),
        (Method::POST, "/pin"),
    ] {
        for name in ["theirs", "nobodys"] {
            let refused = ask(&ann, method.clone(), &format!("/api/v1/deployments/{name}{path}"), &json!({})).await;
            assert_eq!(refused.status, 404, "{method} {name}{path}: {}", refused.text);
            let missing = ask(&ann, method.clone(), &format!("/api/v1/deployments/{}{path}", "x".repeat(name.len())), &json!({})).await;
            let same = |reply: &Reply| (reply.status, reply.json()["code"].clone(), reply.json()["hint"].clone());
            assert_eq!(same(&refused), same(&missing), "what is another's looks as if it were not there");
        }
    }
    done(ask(&ann, Method::PUT, "/api/v1/deployments/theirs", &json!({"engine": "echo", "project": "a"})).await, 404);
    done(ask(&ann, Method::PATCH, "/api/v1/deployments/mine", &json!({"max_queue": 7})).await, 202);
    let load = done(ask(&ann, Method::POST, "/api/v1/deployments/mine/load", &json!({})).await, 202);
    done(ask(&admin, Method::POST, "/api/v1/deployments/theirs/load", &json!({})).await, 202);
    let operation = format!("/api/v1/operations/{}", load["id"].as_str().expect("an id"));
    until("it is loaded", async || (ann.get(&operation).await.json()["state"] == "succeeded").then_some(())).await;
    let seen = done(ann.get("/api/v1/operations").await, 200);
    assert!(seen["items"].as_array().is_some_and(|all| all.len() == 1 && all[0]["target"] == "mine"), "{seen}");
    assert_eq!(ann.get("/api/v1/deployments/mine/logs").await.status, 200);
    done(ask(&ann, Method::DELETE, "/api/v1/deployments/mine", &json!({})).await, 202);

    // Who sees everything is told the truth about what they may not do.
    let bob = user(&admin, "bob", &["viewer"]).await;
    assert_eq!(names(&bob, "/api/v1/deployments?project=b").await, ["theirs"]);
    done(ask(&bob, Method::PATCH, "/api/v1/deployments/theirs", &json!({"max_queue": 7})).await, 403);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_or_moved_goes_where_whoever_does_it_may_make_such_things() {
    let stage = Stage::new();
    let house = stage.house(&everybodys_models()).await;
    let admin = stage.client(&house);
    two_projects(&admin).await;
    let ann = user(&admin, "ann", &[]).await;
    let one = |name: &str, more: Value| {
        let mut body = json!({"name": name, "engine": "echo"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let refused = done(ann.post("/api/v1/deployments", &one("new", json!({}))).await, 400);
    assert!(refused.to_string().contains("write one of `a`"), "{refused}");
    done(ann.post("/api/v1/deployments", &one("new", json!({"project": "b"}))).await, 403);
    done(ann.post("/api/v1/deployments", &one("new", json!({"project": "a"}))).await, 202);
    done(ask(&ann, Method::PUT, "/api/v1/deployments/newer", &json!({"engine": "echo", "project": "a"})).await, 202);
    done(ask(&ann, Method::PUT, "/api/v1/deployments/newest", &json!({"engine": "echo"})).await, 400);
    done(ask(&ann, Method::PATCH, "/api/v1/deployments/new", &json!({"project": "b"})).await, 403);
    done(ask(&ann, Method::PATCH, "/api/v1/deployments/new", &json!({"project": null})).await, 400);
    let unknown = done(ask(&admin, Method::PATCH, "/api/v1/deployments/new", &json!({"project": "c"})).await, 400);
    assert!(unknown.to_string().contains("penstock project create c"), "{unknown}");

    // An old revision comes back as it was, and stays whose it is now.
    done(ask(&admin, Method::PATCH, "/api/v1/deployments/new", &json!({"project": "b", "max_queue": 9})).await, 202);
    until("it serves", async || (admin.get("/api/v1/deployments/new/rollout").await.json()["state"] != "progressing").then_some(())).await;
    let undone = done(ask(&admin, Method::POST, "/api/v1/deployments/new/rollout/undo", &json!({"to": 1})).await, 202);
    assert_eq!((&undone["spec"]["project"], &undone["spec"]["max_queue"]), (&json!("b"), &json!(512)), "{undone}");

    // A model of another project is not served either.
    let serve = |model: &str| json!({"name": "served", "model": model, "project": "a"});
    done(ann.post("/api/v1/deployments", &serve("theirs-model")).await, 404);
    done(ann.post("/api/v1/deployments", &serve("mine-model")).await, 202);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_role_within_a_project_brings_and_changes_its_models_and_sees_no_others() {
    let stage = Stage::new();
    let house = stage.house(&everybodys_models()).await;
    let admin = stage.client(&house);
    two_projects(&admin).await;
    let ann = user(&admin, "ann", &[]).await;
    assert_eq!(names(&ann, "/api/v1/models").await, ["mine-model"]);
    assert_eq!(names(&admin, "/api/v1/models?project=b").await, ["theirs-model"]);
    let digest = done(admin.get("/api/v1/models/theirs-model").await, 200)["status"]["tags"]["latest"].clone();
    let digest = digest.as_str().expect("a digest");
    for (method, path, body) in [
        (Method::GET, "", json!({})),
        (Method::PATCH, "", json!({"description": "mine now"})),
        (Method::DELETE, "", json!({})),
        (Method::GET, "/history", json!({})),
        (Method::PUT, "/tags/prod", json!({"version": digest})),
        (Method::DELETE, "/tags/latest", json!({})),
        (Method::PATCH, format!("/versions/{digest}").as_str(), json!({"note": "mine now"})),
        (Method::DELETE, format!("/versions/{digest}").as_str(), json!({})),
        (Method::POST, "/versions", json!({"files": [{"name": "m.gguf", "digest": digest}]})),
    ] {
        for name in ["theirs-model", "nobodys-model"] {
            let refused = ask(&ann, method.clone(), &format!("/api/v1/models/{name}{path}"), &body).await;
            assert_eq!(refused.status, 404, "{method} {name}{path}: {}", refused.text);
        }
    }
    let source = format!("file:{}", tiny());
    done(ann.post("/api/v1/models", &json!({"name": "theirs-model", "source": source})).await, 404);
    done(ann.post("/api/v1/models", &json!({"name": "new", "source": source})).await, 400);
    done(ann.post("/api/v1/models", &json!({"name": "new", "source": source, "project": "b"})).await, 403);
    done(ann.post("/api/v1/models", &json!({"name": "new", "source": source, "project": "a"})).await, 201);
    done(ask(&ann, Method::PATCH, "/api/v1/models/new", &json!({"project": "b"})).await, 403);
    done(ask(&ann, Method::PATCH, "/api/v1/models/new", &json!({"description": "small"})).await, 200);
    done(ask(&ann, Method::PUT, "/api/v1/models/new/tags/prod", &json!({"version": "latest"})).await, 200);
    done(ask(&ann, Method::DELETE, "/api/v1/models/new", &json!({})).await, 204);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_has_no_more_deployments_and_models_than_its_quota_and_stays_while_it_has_any() {
    let stage = Stage::new();
    let house = stage.house(&everybodys_models()).await;
    let admin = stage.client(&house);
    make(&admin, "projects", json!({"name": "a", "quota": {"deployments": 1, "models": 1}})).await;
    let full = |refused: Value, what: &str| {
        assert_eq!(refused["code"], "quota_reached", "{refused}");
        assert_eq!(refused["detail"], format!("project `a` may have 1 {}, and has 1", what.trim_end_matches('s')), "{refused}");
        assert!(refused["hint"].as_str().is_some_and(|hint| hint.contains(&format!("--most-{what}"))), "{refused}");
    };
    let one = |name: &str| json!({"name": name, "engine": "echo", "project": "a"});
    done(admin.post("/api/v1/deployments", &one("one")).await, 202);
    full(done(admin.post("/api/v1/deployments", &one("two")).await, 409), "deployments");
    full(done(ask(&admin, Method::PUT, "/api/v1/deployments/two", &one("two")).await, 409), "deployments");
    done(admin.post("/api/v1/deployments", &json!({"name": "two", "engine": "echo"})).await, 202);
    full(done(ask(&admin, Method::PATCH, "/api/v1/deployments/two", &json!({"project": "a"})).await, 409), "deployments");
    let source = format!("file:{}", tiny());
    let model = |name: &str| json!({"name": name, "source": source, "project": "a"});
    done(admin.post("/api/v1/models", &model("m")).await, 201);
    done(admin.post("/api/v1/models", &model("m")).await, 201);
    full(done(admin.post("/api/v1/models", &model("n")).await, 409), "models");
    full(done(admin.post("/api/v1/models", &json!({"name": "n", "source": "hf:me/x", "project": "a"})).await, 409), "models");

    let kept = done(ask(&admin, Method::DELETE, "/api/v1/projects/a", &json!({})).await, 409);
    assert_eq!(kept["detail"], "project `a` still has 1 deployment (`one`), 1 model (`m`)", "{kept}");
    done(ask(&admin, Method::PATCH, "/api/v1/projects/a", &json!({"quota": {"deployments": 2}})).await, 200);
    done(ask(&admin, Method::PATCH, "/api/v1/deployments/two", &json!({"project": "a"})).await, 202);
    for path in ["deployments/one", "deployments/two", "models/m"] {
        let gone = ask(&admin, Method::DELETE, &format!("/api/v1/{path}"), &json!({})).await;
        assert!((200..300).contains(&gone.status), "{path}: {}", gone.text);
    }
    done(ask(&admin, Method::DELETE, "/api/v1/projects/a", &json!({})).await, 204);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_given_room_filled_listed_and_removed_from_a_terminal() {
    let stage = Stage::new();
    let _server = Process::start(&stage, "deployments:\n  - { name: filed, engine: echo, project: red }\n").await;
    let says = |words: &[&str]| {
        let done = penstock(&stage).args(words).output().expect("penstock");
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        (done.status.code(), text)
    };
    let good = |words: &[&str]| {
        let (status, text) = says(words);
        assert_eq!(status, Some(0), "{words:?}: {text}");
        text
    };
    good(&["project", "create", "red", "--most-deployments", "2", "--most-models", "1"]);
    good(&["deploy", "one", "--engine", "echo", "--project", "red"]);
    let (status, refused) = says(&["deploy", "two", "--engine", "echo", "--project", "red"]);
    assert!(status != Some(0) && refused.contains("may have 2 deployments, and has 2"), "{refused}");
    assert!(refused.contains("penstock project set red --most-deployments COUNT"), "{refused}");
    good(&["deploy", "two", "--engine", "echo"]);
    let listed = good(&["list", "--project", "red"]);
    assert!(listed.contains("one") && listed.contains("filed") && !listed.contains("two"), "{listed}");
    good(&["import", &tiny(), "m", "--project", "red"]);
    assert!(says(&["import", &tiny(), "n", "--project", "red"]).1.contains("may have 1 model, and has 1"));
    assert!(good(&["model", "list", "--project", "red"]).contains('m'));
    let shown = good(&["project", "set", "red", "--most-models", "5"]);
    assert!(
        shown.contains("most deployments") && good(&["project", "show", "red", "-o", "json"]).contains("\"deployments\": 2"),
        "{shown}"
    );
    let (status, kept) = says(&["project", "rm", "red"]);
    assert!(status != Some(0) && kept.contains("2 deployments (`filed`, `one`), 1 model (`m`)"), "{kept}");
    good(&["deploy", "one", "--project", "none"]);
    good(&["model", "set", "m", "--project", "none"]);
    assert!(!good(&["list", "--project", "red"]).contains("one"));
}
