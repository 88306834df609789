//! The first token, and who is let in.

use std::os::unix::fs::PermissionsExt as _;

use crate::process::Process;
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
async fn an_open_house_asks_nobody_for_a_token() {
    let stage = Stage::new();
    let house = stage.house("auth: { mode: open }\ndeployments:\n  - name: echo\n    engine: echo\n").await;
    let anybody = stage.client(&house).with_token(None);
    anybody.capital("echo").await.said();
    assert_eq!(anybody.get("/api/v1/deployments").await.status, 200);
    stop(house).await;
}
