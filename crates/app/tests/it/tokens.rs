//! The first token, and who is let in.

use std::os::unix::fs::PermissionsExt as _;

use base::Timestamp;
use bytes::Bytes;
use hyper::Method;
use serde_json::json;

use crate::process::{Process, penstock};
use crate::stage::{Stage, stop};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_makes_an_admin_token_shows_it_once_and_writes_it_down() {
    let stage = Stage::new();
    let process = Process::start(&stage, "").await;
    let file = stage.data_dir().join("admin-token");
    let token = stage.token().expect("a token");
    assert!(token.starts_with("psk_"));
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(stage.data_dir()).expect("the folder").permissions().mode() & 0o777, 0o700);
    assert_eq!(process.log().matches(&token).count(), 1, "{}", process.log());
    assert_eq!(process.client.get("/api/v1/tokens").await.status, 200);
    for wrong in [None, Some("psk_wrong")] {
        let stranger = process.client.with_token(wrong);
        for path in ["/api/v1/tokens", "/v1/models", "/status"] {
            assert_eq!(stranger.get(path).await.status, 401, "{path}");
        }
        assert_eq!(stranger.get("/healthz").await.status, 200);
    }
    drop(process);
    let again = Process::start(&stage, "").await;
    assert!(!again.log().contains(&token), "it is shown only once");
    assert_eq!(again.client.get("/api/v1/tokens").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_admin_token_is_the_only_one_and_is_written_nowhere() {
    let stage = Stage::new();
    let given = "psk_given-by-the-environment-0123456789abcdef";
    let process = Process::start_with(&stage, "", &[("PENSTOCK_ADMIN_TOKEN", given)]).await;
    assert_eq!(process.client.with_token(Some(given)).get("/api/v1/tokens").await.status, 200);
    assert!(stage.token().is_none() && !process.log().contains(given));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_token_that_was_lost_is_told_with_what_brings_a_new_one() {
    let stage = Stage::new();
    let process = Process::start(&stage, "").await;
    assert!(!process.log().contains("PENSTOCK_ADMIN_TOKEN"));
    drop(process);
    std::fs::write(stage.data_dir().join("admin-token"), "").expect("the file");
    let process = Process::start(&stage, "").await;
    assert!(process.log().contains("PENSTOCK_ADMIN_TOKEN"), "{}", process.log());
    let listed = penstock(&stage).arg("list").output().expect("penstock");
    let told = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(listed.status.code() == Some(4) && told.contains("PENSTOCK_ADMIN_TOKEN"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_house_asks_nobody_for_a_token() {
    let stage = Stage::new();
    let house = stage.house("auth: { mode: open }\ndeployments:\n  - name: echo\n    engine: echo\n").await;
    let anybody = stage.client(&house).with_token(None);
    anybody.capital("echo").await.said();
    assert_eq!(anybody.get("/api/v1/deployments").await.status, 200);
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_token_is_given_no_end_and_a_token_with_a_budget_makes_no_other_budget() {
    let stage = Stage::new();
    let house = stage.house("").await;
    let admin = stage.client(&house);
    let soon = Timestamp::now().plus(std::time::Duration::from_mins(1));
    let ends = json!({"expires_at": soon}).to_string();
    let refused = admin.ask(Method::PATCH, "/api/v1/tokens/admin", Bytes::from(ends.clone())).await;
    assert!(refused.status == 409 && refused.text.contains("without an end"), "{} {}", refused.status, refused.text);
    for bound in [json!({"budget": {"tokens_per_day": 30}}), json!({"limits": {"requests_per_minute": 1}})] {
        let mut wish = json!({"name": "bounded", "scopes": ["admin"]});
        wish.as_object_mut().expect("an object").extend(bound.as_object().expect("an object").clone());
        let made = admin.post("/api/v1/tokens", &wish).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let bounded = admin.with_token(made.json()["token"].as_str());
        let refused = bounded.post("/api/v1/tokens", &wish).await;
        assert!(refused.status == 403 && refused.text.contains("penstock login"), "{} {}", refused.status, refused.text);
    }
    assert_eq!(admin.ask(Method::PATCH, "/api/v1/tokens/admin", Bytes::from(ends)).await.status, 200, "there are others without one");
    stop(house).await;
}
