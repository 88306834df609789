//! Over HTTP: nobody gets more by what they give to others, or to themselves.

use serde_json::{Value, json};

use super::room::{Answer, Room};

struct Asker<'a> {
    room: &'a Room,
    bearer: String,
}

impl<'a> Asker<'a> {
    /// With a new token.
    async fn with(room: &'a Room, wanted: &Value) -> (Self, String) {
        let made = room.ask("POST", "/api/v1/tokens", &wanted.to_string()).await.expect(201);
        let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
        (Self { room, bearer }, format!("/api/v1/tokens/{}", made["id"].as_str().unwrap()))
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.room.ask_with(&[("authorization", &self.bearer)], method, path, &body.to_string()).await
    }

    #[track_caller]
    fn is_refused(answer: Answer, words: &str) {
        let said = answer.expect(403);
        assert!(said["detail"].as_str().unwrap().contains(words), "{said}");
    }
}

async fn user(room: &Room, name: &str, roles: &[&str]) -> Value {
    room.ask("POST", "/api/v1/users", &json!({"name": name, "roles": roles}).to_string()).await.expect(201)["id"].clone()
}

#[tokio::test]
async fn who_makes_tokens_and_changes_users_gets_nothing_that_they_have_not() {
    let room = Room::open().await;
    let rights = json!({"tokens": ["create", "update", "get", "list"], "users": ["update", "get"], "calls": ["use"]});
    room.ask("POST", "/api/v1/roles", &json!({"name": "clerk", "rights": rights}).to_string()).await.expect(201);
    let (bob, boss) = (user(&room, "bob", &[]).await, user(&room, "boss", &["admin"]).await);
    let clerk = user(&room, "clerk", &["clerk"]).await;
    let place = |user: &Value| format!("/api/v1/users/{}", user.as_str().unwrap());
    room.ask("PATCH", &place(&boss), r#"{"disabled": true}"#).await.expect(200);
    let (asker, _) = Asker::with(&room, &json!({"name": "of clerk", "owner": clerk, "scopes": ["admin"]})).await;

    let all_of = |owner: &Value| json!({"name": "all", "owner": owner, "scopes": ["admin"]});
    let beyond = "give what it may not do itself";
    Asker::is_refused(asker.ask("POST", "/api/v1/tokens", &all_of(&bob)).await, beyond);
    Asker::is_refused(asker.ask("POST", "/api/v1/tokens", &all_of(&boss)).await, beyond);
    Asker::is_refused(asker.ask("PATCH", &place(&boss), &json!({"disabled": false})).await, beyond);
    let small = asker.ask("POST", "/api/v1/tokens", &json!({"name": "calls", "owner": bob})).await.expect(201);
    let small = format!("/api/v1/tokens/{}", small["id"].as_str().unwrap());
    Asker::is_refused(asker.ask("PATCH", &small, &json!({"scopes": ["admin"]})).await, beyond);
    asker.ask("PATCH", &small, &json!({"name": "renamed"})).await.expect(200);
    asker.ask("POST", "/api/v1/tokens", &all_of(&clerk)).await.expect(201);
}

#[tokio::test]
async fn what_a_user_makes_is_theirs_and_ends_with_them_unless_they_say_that_it_is_nobodys() {
    let room = Room::open().await;
    let (ann, bob) = (user(&room, "ann", &["admin"]).await, user(&room, "bob", &["developer"]).await);
    let (of_ann, _) = Asker::with(&room, &json!({"name": "of ann", "owner": ann, "scopes": ["admin"]})).await;
    let (of_bob, _) = Asker::with(&room, &json!({"name": "of bob", "owner": bob, "scopes": ["admin"]})).await;
    let made = async |asker: &Asker<'_>, wanted: Value| asker.ask("POST", "/api/v1/tokens", &wanted).await.expect(201);
    let laptop = made(&of_ann, json!({"name": "laptop", "scopes": ["admin"]})).await;
    let machine = made(&of_ann, json!({"name": "machine", "scopes": ["admin"], "owner": null})).await;
    assert_eq!((&laptop["owner"], &machine["owner"]), (&ann, &Value::Null));
    assert_eq!(made(&of_bob, json!({"name": "mine"})).await["owner"], bob);
    Asker::is_refused(of_bob.ask("POST", "/api/v1/tokens", &json!({"name": "machine", "owner": null})).await, "create tokens");
    assert_eq!(room.ask("POST", "/api/v1/tokens", r#"{"name": "first"}"#).await.expect(201)["owner"], Value::Null, "nobody made it");

    room.ask("PATCH", &format!("/api/v1/users/{}", ann.as_str().unwrap()), r#"{"disabled": true}"#).await.expect(200);
    for (token, status) in [(laptop, 401), (machine, 200)] {
        let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
        room.ask_with(&[("authorization", &bearer)], "GET", "/api/v1/users", "").await.expect(status);
    }
}

#[tokio::test]
async fn nobody_is_given_a_name_that_is_not_seen_as_it_is() {
    let room = Room::open().await;
    let ann = user(&room, "ann", &[]).await;
    for name in ["\u{202e}nna", "a\u{200b}nn", "ann\u{2069}"] {
        let body = json!({ "name": name }).to_string();
        let made = room.ask("POST", "/api/v1/users", &body).await.expect(400);
        assert_eq!(made["problems"][0]["field"], "name", "{made}");
        room.ask("PATCH", &format!("/api/v1/users/{}", ann.as_str().unwrap()), &body).await.expect(400);
    }
}

#[tokio::test]
async fn a_bounded_token_rids_itself_of_no_bound() {
    let room = Room::open().await;
    let ann = user(&room, "ann", &["admin"]).await;
    let bounded = json!({
        "name": "bounded", "owner": ann, "scopes": ["admin"], "models": ["tiny", "small"],
        "expires_at": base::Timestamp::now().plus(std::time::Duration::from_hours(1)),
    });
    let (asker, itself) = Asker::with(&room, &bounded).await;
    let free = [
        ("models", json!({"models": null})),
        ("models", json!({"models": ["tiny", "large"]})),
        ("expires_at", json!({"expires_at": null})),
    ];
    for (field, patch) in &free {
        Asker::is_refused(asker.ask("PATCH", &itself, patch).await, &format!("wider `{field}` than its own"));
    }
    let unbounded = json!({"name": "free", "owner": ann, "scopes": ["admin"]});
    Asker::is_refused(asker.ask("POST", "/api/v1/tokens", &unbounded).await, "than its own");
    asker.ask("POST", "/api/v1/tokens", &bounded).await.expect(201);
    asker.ask("PATCH", &itself, &json!({"models": ["tiny"], "limits": {"requests_per_minute": 1}})).await.expect(200);
    let stored = room.get(&itself).await;
    assert_eq!((&stored["models"], &stored["limits"]), (&json!(["tiny"]), &json!({"requests_per_minute": 1})), "{stored}");
    // From here on whatever it made would be counted by another meter.
    Asker::is_refused(asker.ask("POST", "/api/v1/tokens", &stored_bounds(&stored)).await, "limits or a budget of its own");
    Asker::is_refused(asker.ask("PATCH", &itself, &json!({"limits": {}})).await, "limits or a budget of its own");
    asker.ask("PATCH", &itself, &json!({"name": "renamed"})).await.expect(200);
}

/// A wish for one that is bounded just as this one.
fn stored_bounds(token: &Value) -> Value {
    let fields = ["name", "owner", "scopes", "models", "limits", "expires_at"];
    fields.iter().map(|field| ((*field).to_owned(), token[*field].clone())).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn what_this_server_fetches_and_what_it_shows_of_itself_for_that_takes_the_right_to_it() {
    let room = Room::open().await;
    let of_role = async |role: &str| Asker::with(&room, &json!({"name": role, "role": role})).await.0;
    let (viewer, developer, operator) = (of_role("viewer").await, of_role("developer").await, of_role("operator").await);
    for source in ["hf:me/model", "https://models.example/m.gguf", "ollama:tiny"] {
        Asker::is_refused(viewer.ask("POST", "/api/v1/fit", &json!({"model": source})).await, "create models");
    }
    let path = room.model("m.gguf");
    operator.ask("POST", "/api/v1/models", &json!({"name": "m", "source": format!("file:{path}")})).await.expect(201);
    viewer.ask("POST", "/api/v1/fit", &json!({"model": "m"})).await.expect(200);

    let named = |source: &str| {
        [
            ("/api/v1/models", json!({"name": "theirs", "source": source})),
            ("/api/v1/deployments", json!({"name": "theirs", "model": source})),
            ("/api/v1/fit", json!({"model": source})),
        ]
    };
    for (path, body) in ["s3://private/m.gguf", "s3://shared/m.gguf", "gs://shared/models/m.gguf"].into_iter().flat_map(named) {
        Asker::is_refused(developer.ask("POST", path, &body).await, "pull.buckets");
    }
    // It is no name of an object, so nobody is asked for it; who may not is told so before.
    for (asker, source) in [(&developer, "s3://shared/models/"), (&operator, "s3://private/")] {
        let answer = asker.ask("POST", "/api/v1/fit", &json!({"model": source})).await;
        assert!(answer.status != 403 && answer.text.contains("is not s3://BUCKET/KEY"), "{}", answer.text);
    }
}
