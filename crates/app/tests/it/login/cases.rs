//! Programs with tokens of the provider, keys that change, and answers that are not to our question.

use std::time::Duration;

use serde_json::{Value, json};

use super::Scene;
use super::people::{Provider, libraries};
use crate::stage::{Stage, stop, until};

const AUDIENCE: &str = "https://penstock.test";

/// Sends a form.
async fn form(scene: &Scene, path: &str, fields: &str) -> (u16, Value) {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let reply = scene.client.with_token(None).ask_with(hyper::Method::POST, path, &headers, fields.to_owned()).await;
    (reply.status, reply.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_brings_a_token_of_the_provider_to_every_face() {
    let Some(scene) = Scene::open().await else { return };
    let token = scene.provider.access_token(AUDIENCE).await;
    let robot = scene.client.with_token(Some(&token));
    assert_eq!(robot.get("/v1/models").await.status, 200);
    let said = robot.post("/v1/chat/completions", &json!({"model": "parrot", "messages": [{"role": "user", "content": "hello"}]})).await;
    assert_eq!(said.status, 200, "{}", said.text);
    let me = robot.get("/api/v1/whoami").await.json();
    assert_eq!((&me["name"], &me["user"]["mapped"]["roles"]), (&json!("robot"), &json!(["developer"])), "{me:#}");
    assert_eq!(robot.get("/api/v1/users").await.status, 403, "a developer may not");
    let made = scene.audited("create", "users", "robot").await;
    assert_eq!(
        (&made["audit"]["user"], &made["audit"]["action"]),
        (&me["user"]["id"], &json!("a token of an identity provider")),
        "{made:#}"
    );

    let other = scene.provider.access_token("https://other.test").await;
    let refused = scene.client.with_token(Some(&other)).get("/v1/models").await;
    assert_eq!(refused.status, 401, "made for another door: {}", refused.text);
    let (head, rest) = token.split_once('.').expect("three parts");
    let forged = format!("{head}.{}", rest.replacen('A', "B", 1));
    assert_eq!(scene.client.with_token(Some(&forged)).get("/v1/models").await.status, 401);

    // A disabled user is let in no more, whatever the provider says.
    let id = me["user"]["id"].as_str().expect("an id");
    let path = format!("/api/v1/users/{id}");
    let patch = |disabled: bool| json!({"disabled": disabled}).to_string();
    assert_eq!(scene.client.ask(hyper::Method::PATCH, &path, patch(true).into()).await.status, 200);
    assert_eq!(robot.get("/v1/models").await.status, 401);
    let fresh = scene.provider.access_token(AUDIENCE).await;
    assert_eq!(scene.client.with_token(Some(&fresh)).get("/v1/models").await.status, 401);
    assert_eq!(scene.client.ask(hyper::Method::PATCH, &path, patch(false).into()).await.status, 200);
    assert_eq!(robot.get("/v1/models").await.status, 200);
    stop(scene.house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_provider_is_exchanged_for_one_of_ours() {
    let Some(scene) = Scene::open().await else { return };
    let token = scene.provider.access_token(AUDIENCE).await;
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let (status, given) = form(&scene, "/auth/token", &format!("{grant}{token}")).await;
    assert_eq!(status, 200, "{given:#}");
    // As long as the provider's, and the minute by which clocks may differ.
    assert!(given["expires_in"].as_u64().is_some_and(|seconds| (560..=660).contains(&seconds)), "{given:#}");
    let ours = scene.client.with_token(given["access_token"].as_str());
    assert_eq!(ours.get("/v1/models").await.status, 200);
    assert_eq!(ours.get("/api/v1/users").await.status, 403, "no more than the robot may");
    for brief in [&ours, &scene.client.with_token(Some(&token))] {
        let refused = brief.post("/api/v1/tokens", &json!({"name": "for good"})).await;
        assert!(refused.status == 403 && refused.text.contains("expires_at"), "{} {}", refused.status, refused.text);
        let soon = base::Timestamp::now().plus(Duration::from_mins(1));
        let made = brief.post("/api/v1/tokens", &json!({"name": "brief", "expires_at": soon})).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let made = scene.audited("create", "tokens", "exchanged").await;
    assert_eq!((&made["audit"]["action"], &made["audit"]["after"]["id"]), (&json!("POST /auth/token"), &given["id"]), "{made:#}");
    let (status, refused) = form(&scene, "/auth/token", &format!("{grant}psk_x")).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")));
    let (status, refused) = form(&scene, "/auth/token", "grant_type=password").await;
    assert_eq!((status, &refused["error"]), (400, &json!("unsupported_grant_type")));
    let (status, refused) = form(&scene, "/auth/token", "grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=x").await;
    assert_eq!((status, &refused["error"]), (400, &json!("expired_token")));
    stop(scene.house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_asks_too_often_is_slowed_down() {
    let Some(scene) = Scene::open().await else { return };
    let (status, shown) = form(&scene, "/auth/device", "").await;
    assert_eq!(status, 200, "{shown:#}");
    let code = shown["device_code"].as_str().expect("a code");
    let ask = format!("grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code={code}");
    let words = [form(&scene, "/auth/token", &ask).await, form(&scene, "/auth/token", &ask).await];
    assert_eq!(words.map(|(_, said)| said["error"].clone()), [json!("authorization_pending"), json!("slow_down")]);
    stop(scene.house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_found_and_unknown_ones_do_not_make_us_ask_without_end() {
    let Some(mut scene) = Scene::open().await else { return };
    let before = scene.provider.access_token(AUDIENCE).await;
    assert_eq!(scene.client.with_token(Some(&before)).get("/v1/models").await.status, 200);
    scene.provider.rotate().await;
    let after = scene.provider.access_token(AUDIENCE).await;
    assert_eq!(scene.client.with_token(Some(&after)).get("/api/v1/whoami").await.status, 200, "by a new key, at the first try");
    let again = scene.provider.access_token(AUDIENCE).await;
    assert_eq!(scene.client.with_token(Some(&again)).get("/v1/models").await.status, 200);

    let (asked, began) = (scene.provider.asked().await, std::time::Instant::now());
    let (_, rest) = after.split_once('.').expect("three parts");
    for n in 0..100 {
        let head = base64(&json!({"alg": "RS256", "typ": "at+jwt", "kid": format!("no-such-key-{n}")}).to_string());
        let robot = scene.client.with_token(Some(&format!("{head}.{rest}")));
        // Some wait for the keys; they are not waited for.
        if let Ok(reply) = tokio::time::timeout(Duration::from_millis(100), robot.get("/v1/models")).await {
            assert!(matches!(reply.status, 401 | 429 | 503), "{}", reply.status);
        }
    }
    let more = scene.provider.asked().await - asked;
    let took = began.elapsed();
    assert!(more <= 7 + took.as_secs() / 10, "its keys were asked for {more} times in {took:?}");
    stop(scene.house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_forges_tokens_of_the_provider_has_to_wait_as_who_guesses_ours() {
    let Some(scene) = Scene::open().await else { return };
    let right = scene.provider.access_token(AUDIENCE).await;
    assert_eq!(scene.client.with_token(Some(&right)).get("/v1/models").await.status, 200);
    let (_, rest) = right.split_once('.').expect("three parts");
    let forged = |number: usize| {
        let head = base64(&json!({"alg": "RS256", "typ": "at+jwt", "kid": format!("forged-{number}")}).to_string());
        scene.client.with_token(Some(&format!("{head}.{rest}")))
    };
    // Each has a key of its own, so that each is asked for; all at once, since that takes a while.
    let asks: Vec<_> = (0..40).map(|number| (number, forged(number))).collect();
    let asks = asks.iter().map(|(number, robot)| robot.get(if number % 2 == 0 { "/v1/models" } else { "/api/v1/whoami" }));
    let statuses: Vec<u16> = futures_util::future::join_all(asks).await.into_iter().map(|reply| reply.status).collect();
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    let last = forged(40).get("/v1/models").await;
    assert_eq!((last.status, last.header("retry-after").is_empty()), (429, false), "{}", last.text);
    assert_eq!(scene.client.with_token(Some(&right)).get("/v1/models").await.status, 200, "one that is known is let in all the same");
    let (status, refused) = form(&scene, "/auth/device", "").await;
    assert_eq!((status, &refused["error"]), (429, &json!("temporarily_unavailable")));
    stop(scene.house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_to_our_question_logs_nobody_in() {
    let Some(scene) = Scene::open().await else { return };
    let nobody = scene.client.with_token(None);
    let get = async |path: &str, cookie: &str| nobody.ask_with(hyper::Method::GET, path, &[("cookie", cookie)], "").await;
    let begun = until("the provider is known", async || {
        let begun = get("/auth/login?provider=corp&return_to=//evil.example", "").await;
        (begun.status == 303).then_some(begun)
    })
    .await;
    let to = begun.header("location").to_owned();
    assert!(to.starts_with(&scene.provider.issuer) && to.contains("code_challenge_method=S256") && to.contains("nonce="), "{to}");
    let carried = begun.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let state = to.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state");
    let mixed_up = format!("/auth/callback?code=x&state={state}&iss=https%3A%2F%2Fevil.example");
    let cases = [
        ("/auth/callback?code=x&state=y".to_owned(), carried.as_str(), "belong to this login"),
        ("/auth/callback?code=x".to_owned(), carried.as_str(), "belong to this login"),
        (mixed_up, carried.as_str(), "belong to this login"),
        (format!("/auth/callback?code=x&state={state}"), "", "not begun in this browser"),
        (format!("/auth/callback?code=x&state={state}"), "penstock-1-login=x.y", "not begun in this browser"),
        (format!("/auth/callback?error=access_denied&state={state}"), carried.as_str(), "access_denied"),
        (format!("/auth/callback?code=guessed&state={state}"), carried.as_str(), "did not log you in"),
        ("/auth/login?provider=nobody".to_owned(), "", "there is no identity provider"),
    ];
    for (path, cookie, words) in cases {
        let reply = get(&path, cookie).await;
        assert!((400..500).contains(&reply.status), "{path}: {}", reply.status);
        assert!(reply.text.contains(words), "{path}: {}", reply.text);
        let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()).collect();
        assert!(cookies.iter().all(|cookie| cookie.contains("-login=;")), "{path}: {cookies:?}");
    }
    stop(scene.house).await;
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            out.push(char::from(LETTERS[usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0)]));
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn several_providers_stand_beside_each_other_and_the_same_name_at_two_is_two_users() {
    let Some(libraries) = libraries() else { return };
    let (stage, elsewhere) = (Stage::new(), Stage::new());
    let (corp, campus) = (Provider::open(&stage, &libraries).await, Provider::open(&elsewhere, &libraries).await);
    let second = format!(
        "    - name: campus\n      label: Campus login\n      issuer: {}\n      client_id: penstock\n      client_secret_file: ./secret\n      \
         allowed_audiences: [{AUDIENCE}]\n      groups:\n        robots: {{ roles: [viewer] }}\n",
        campus.issuer
    );
    let house = stage.house(&format!("{}{second}", corp.config())).await;
    let client = stage.client(&house);
    let page = client.with_token(None).get("/auth/login").await;
    assert!(page.text.contains("Corporate login") && page.text.contains("Campus login"), "{}", page.text);
    let me = async |provider: &Provider| client.with_token(Some(&provider.access_token(AUDIENCE).await)).get("/api/v1/whoami").await.json();
    let (one, other) = (me(&corp).await, me(&campus).await);
    assert_ne!(one["user"]["id"], other["user"]["id"], "{one:#} {other:#}");
    assert_eq!((&one["user"]["mapped"]["roles"], &other["user"]["mapped"]["roles"]), (&json!(["developer"]), &json!(["viewer"])));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let which = client.with_token(None).ask_with(hyper::Method::POST, "/auth/device", &headers, "").await;
    assert!(which.status == 400 && which.text.contains("corp, campus"), "{}", which.text);
    let begun = client.with_token(None).ask_with(hyper::Method::POST, "/auth/device", &headers, "provider=campus").await.json();
    assert!(begun["verification_uri"].as_str().is_some_and(|uri| uri.starts_with(&campus.issuer)), "{begun:#}");
    stop(house).await;
}
