//! Routes through the front door: from the config to the answer, past what is down, and again after a restart.

use serde_json::json;

use crate::process::penstock;
use crate::stage::{Stage, stop};

const QUESTION: &str = "What is the capital of France?";

/// A remote server that nobody runs, and an engine that answers.
const CONFIG: &str = "\
deployments:
  - { name: gone, url: 'http://127.0.0.1:9/v1', timeouts: { connect: 1s } }
  - { name: parrot, engine: echo, replicas: { max: 2 } }
routes:
  - { name: chat, targets: [{ deployment: gone }, { deployment: parrot, weight: 0 }], fallback: [spare] }
  - { name: spare, targets: [{ deployment: parrot }], affinity: session }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_the_config_answers_by_its_fallback_when_its_target_is_down() {
    let stage = Stage::new();
    let house = stage.house(CONFIG).await;
    let client = stage.client(&house);
    for _ in 0..3 {
        assert_eq!(client.capital("chat").await.said(), QUESTION);
    }
    let ids = client.get("/v1/models").await.json();
    let ids: Vec<&str> = ids["data"].as_array().expect("a list").iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!(ids, ["chat", "gone", "parrot", "spare"]);
    let token = client.post("/api/v1/tokens", &json!({"name": "app", "models": ["chat"]})).await.json();
    let app = client.with_token(token["token"].as_str());
    assert_eq!((app.capital("chat").await.status, app.capital("parrot").await.status), (200, 403));
    let shown = client.get("/api/v1/routes/chat").await.json();
    assert_eq!((&shown["status"]["origin"], &shown["status"]["targets"][0]["deployment"]), (&json!("config"), &json!("gone")));
    stop(house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_follow_the_file_and_those_of_the_api_stay() {
    let stage = Stage::new();
    let house = stage.house(CONFIG).await;
    let client = stage.client(&house);
    let made = client.post("/api/v1/routes", &json!({"name": "mine", "targets": [{"deployment": "parrot"}]})).await;
    assert_eq!((made.status, client.capital("mine").await.said().as_str()), (201, QUESTION));
    stop(house).await;
    let changed =
        CONFIG.replace("  - { name: spare, targets: [{ deployment: parrot }], affinity: session }\n", "").replace("fallback: [spare]", "");
    let house = stage.house(&changed).await;
    let client = stage.client(&house);
    assert_eq!((client.capital("mine").await.status, client.capital("spare").await.status), (200, 404));
    stop(house).await;
}

#[test]
fn a_config_whose_routes_lead_nowhere_or_in_circles_is_refused_with_what_was_meant() {
    for (config, said) in [
        (CONFIG.replace("deployment: gone }", "deployment: gona }"), "there is no deployment `gona`"),
        (CONFIG.replace("fallback: [spare]", "fallback: [spar]"), "did you mean `spare`?"),
        (CONFIG.replace("engine: echo,", "engine: echo, fallback: [spare],"), "`spare` leads back to `parrot`"),
        (CONFIG.replace("name: spare,", "name: parrot,"), "there is a deployment or another route `parrot`"),
        (CONFIG.replace("weight: 0", "weight: 100000"), "routes[0].targets[1].weight: more than 10000"),
        (CONFIG.replace("affinity: session", "affinity: sesion"), "did you mean `session`?"),
    ] {
        let stage = Stage::new();
        let file = stage.write_config(&config);
        let output = penstock(&stage).args(["serve", "--config"]).arg(file).output().expect("penstock");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.contains(said), "{said}: {words}");
    }
}
