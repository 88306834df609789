//! The service API, as its older clients use it.

use serde_json::{Value, json};

use super::room::Room;

const DEPLOY: &str = "/api/v1/modserv/deploy";

fn ask(room: &Room, more: &Value) -> String {
    let mut body = json!({
        "modelName": "tiny",
        "modelFileDir": room.dir.path().join("models/tiny").display().to_string(),
        "resourceRequirements": {"acceleratorType": "cpu", "acceleratorCount": 0},
        "replicaCount": 1,
    });
    crate::json::merge(&mut body, more.clone());
    body.to_string()
}

async fn deployed(room: &Room, more: &Value) -> String {
    let answer = room.ask("POST", DEPLOY, &ask(room, more)).await.expect(200);
    assert_eq!((&answer["code"], &answer["message"]), (&json!(0), &json!("deploy submit success")));
    let id = answer["data"]["serviceId"].as_str().unwrap().to_owned();
    assert!(id.len() == 8 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    id
}

async fn until(room: &Room, id: &str, status: &str) -> Value {
    let path = format!("/api/v1/modserv/{id}");
    room.until(&path, |answer| answer.json()["data"]["status"] == status).await.json()["data"].clone()
}

#[tokio::test]
async fn a_service_goes_from_deploy_to_running_to_terminated() {
    let room = Room::open().await;
    room.model("models/tiny/tiny.gguf");
    let more = json!({"contextLength": 256, "env": [{"key": "K", "value": "V"}],
        "resourceRequirements": {"cpu": "500m", "memory": "1Gi"}, "pipeline": "opensourcellm", "runtime": "process"});
    let id = deployed(&room, &more).await;
    let running = until(&room, &id, "running").await;
    assert_eq!(running["endpoint"], "http://127.0.0.1:8080/v1/chat/completions");
    assert_eq!((&running["currentStep"], &running["totalSteps"]), (&json!(8), &json!(8)));
    let time = running["updateTime"].as_str().unwrap();
    assert!(time.len() == 19 && time.as_bytes()[10] == b' ', "{time}");
    let native = room.get("/api/v1/deployments/tiny").await;
    let spec = &native["spec"];
    assert_eq!(
        (&spec["context"], &spec["threads"], &spec["gpu_layers"], &spec["env"]),
        (&json!(256), &json!(1), &json!(0), &json!({"K": "V"}))
    );
    assert_eq!((&spec["replicas"]["min"], &spec["replicas"]["max"]), (&json!(1), &json!(1)));
    // A state is shown at once, and written into the story, which has its times, right after.
    let timed = |steps: &Value| steps.as_array().is_some_and(|steps| steps.iter().all(|step| step["finishedAt"].is_string()));
    let answer = room.until(&format!("/api/v1/modserv/{id}/pipeline"), |answer| timed(&answer.json()["data"]["steps"])).await;
    let steps = answer.json()["data"].clone();
    assert_eq!((&steps["pipeline"], steps["steps"].as_array().unwrap().len()), (&json!("opensourcellm"), 8));
    for step in steps["steps"].as_array().unwrap() {
        assert_eq!(step["state"], "done", "{step}");
        assert!(step["startedAt"].is_string() && step["finishedAt"].is_string(), "{step}");
    }
    let list = room.get("/api/v1/modserv/list").await["data"].clone();
    assert_eq!((&list[0]["serviceId"], &list[0]["modelName"]), (&json!(id), &json!("tiny")));
    let figures = room.ask("GET", "/api/v1/modserv/metrics", "").await;
    assert!(figures.text.contains("modserv_services{status=\"running\"} 1\n"), "{}", figures.text);
    assert!(
        figures.text.contains(&format!("modserv_service_ready_replicas{{service_id=\"{id}\",model=\"tiny\"}} 1\n")),
        "{}",
        figures.text
    );
    for _ in 0..2 {
        let gone = room.ask("DELETE", &format!("/api/v1/modserv/{id}"), "").await.expect(200);
        assert_eq!(gone, json!({"code": 0, "message": "delete submit success", "data": {"serviceId": id}}));
    }
    until(&room, &id, "terminated").await;
    assert_eq!(room.runtime.alive(), 0);
    room.ask("DELETE", &format!("/api/v1/modserv/{id}"), "").await.expect(200);
}

#[tokio::test]
async fn a_new_model_moves_the_service_and_leaves_nothing_behind() {
    let room = Room::open().await;
    room.model("models/tiny/tiny.gguf");
    room.model("models/other/other.gguf");
    let id = deployed(&room, &json!({})).await;
    until(&room, &id, "running").await;
    let other = room.dir.path().join("models/other").display().to_string();
    let path = format!("/api/v1/modserv/{id}");
    let same_name = ask(&room, &json!({"modelFileDir": other, "serviceId": id}));
    assert_eq!(room.ask("PUT", &path, &same_name).await.expect(200)["message"], "update submit success");
    let moved = |answer: &super::room::Answer| {
        let data = answer.json()["data"].clone();
        data["status"] == "running" && data["modelPath"].as_str().is_some_and(|path| path.ends_with("other.gguf"))
    };
    room.until(&path, moved).await;
    let another_name = ask(&room, &json!({"modelName": "other", "modelFileDir": other}));
    room.ask("PUT", &path, &another_name).await.expect(200);
    room.until("/api/v1/deployments/tiny", |answer| answer.status == 404).await;
    let running = until(&room, &id, "running").await;
    assert_eq!(running["modelName"], "other");
    room.until("/api/v1/instances", |answer| answer.json()["items"].as_array().unwrap().len() == 1).await;
    assert_eq!(room.get("/api/v1/modserv/list").await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_service_that_moves_is_served_by_the_old_model_until_the_new_one_serves() {
    let room = Room::open().await;
    for name in ["tiny", "broken", "better"] {
        room.model(&format!("models/{name}/{name}.gguf"));
    }
    let dir = |name: &str| room.dir.path().join("models").join(name).display().to_string();
    let id = deployed(&room, &json!({})).await;
    until(&room, &id, "running").await;
    let path = format!("/api/v1/modserv/{id}");
    let moves = async |name: &str| {
        let body = ask(&room, &json!({"modelName": name, "modelFileDir": dir(name)}));
        room.ask("PUT", &path, &body).await.expect(200);
    };
    room.runtime.script(testkit::Script { refuse: Some((1, "error: failed to load model".into())), ..testkit::Script::default() });
    moves("broken").await;
    assert_eq!(until(&room, &id, "failed").await["modelName"], "broken");
    assert_eq!(room.get("/api/v1/deployments/tiny").await["status"]["state"], "ready", "callers of the old one notice nothing");
    assert_eq!(room.runtime.launches().iter().filter(|order| order.deployment.as_str() == "tiny").count(), 1);

    room.runtime.script(testkit::Script::default());
    moves("better").await;
    assert_eq!(until(&room, &id, "running").await["modelName"], "better");
    for gone in ["tiny", "broken"] {
        room.until(&format!("/api/v1/deployments/{gone}"), |answer| answer.status == 404).await;
    }
    // To one that is on its way out, or has gone, and back again.
    moves("tiny").await;
    moves("better").await;
    room.until("/api/v1/deployments/tiny", |answer| answer.status == 404).await;
    let running = until(&room, &id, "running").await;
    assert_eq!(running["modelName"], "better");
    let labels = room.get("/api/v1/deployments/better").await["spec"]["labels"].clone();
    assert_eq!(labels, json!({"modserv.service-id": id}), "it makes way for nobody");

    let taken = ask(&room, &json!({"modelName": "other", "modelFileDir": dir("tiny")}));
    room.ask("POST", DEPLOY, &taken).await.expect(200);
    let body = ask(&room, &json!({"modelName": "other", "modelFileDir": dir("tiny")}));
    room.ask("PUT", &path, &body).await.expect(409);
    let labels = room.get("/api/v1/deployments/better").await["spec"]["labels"].clone();
    assert_eq!(labels, json!({"modserv.service-id": id}), "it stays");
    room.ask("DELETE", &path, "").await.expect(200);
    until(&room, &id, "terminated").await;
}

#[tokio::test]
async fn a_failing_engine_makes_a_failed_service_with_its_words() {
    let room = Room::open().await;
    room.model("models/tiny/tiny.gguf");
    room.runtime.script(testkit::Script { refuse: Some((1, "error: failed to load model".into())), ..testkit::Script::default() });
    let id = deployed(&room, &json!({})).await;
    let failed = until(&room, &id, "failed").await;
    assert!(failed["reason"].as_str().unwrap().contains("failed to load model"), "{failed}");
    let steps = room.get(&format!("/api/v1/modserv/{id}/pipeline")).await["data"]["steps"].clone();
    assert!(steps.as_array().unwrap().iter().any(|step| step["state"] == "failed"), "{steps}");
}

#[tokio::test]
async fn every_field_is_honoured_or_refused() {
    let room = Room::open().await;
    room.model("models/tiny/tiny.gguf");
    room.model("models/two/a.gguf");
    room.model("models/two/b.gguf");
    room.file("models/none/readme.txt", b"nothing");
    let dir = room.dir.path().display().to_string();
    let resources = |more: Value| json!({"resourceRequirements": more});
    let wrong = [
        json!({"modelName": "a b"}),
        json!({"modelName": null}),
        json!({"modelFileDir": "relative/path"}),
        json!({"modelFileDir": null}),
        json!({"modelFileDir": format!("{dir}/models/two")}),
        json!({"modelFileDir": format!("{dir}/models/none")}),
        json!({"modelFileDir": format!("{dir}/models/missing")}),
        json!({"resourceRequirements": null}),
        resources(json!({"acceleratorType": "NVIDIA GPU", "acceleratorCount": 1})),
        resources(json!({"acceleratorType": "gpu", "acceleratorCount": 0})),
        resources(json!({"acceleratorType": "tpu", "acceleratorCount": 1})),
        resources(json!({"acceleratorCount": 2})),
        resources(json!({"acceleratorCount": -1})),
        resources(json!({"cpu": "many"})),
        resources(json!({"cpu": 0})),
        resources(json!({"cpu": 64})),
        resources(json!({"memory": "lots"})),
        resources(json!({"memory": "1Ki"})),
        resources(json!({"memory": "64Gi"})),
        resources(json!({"disk": 1})),
        json!({"replicaCount": 0}),
        json!({"replicaCount": 1000}),
        json!({"contextLength": 3}),
        json!({"env": [{"key": "", "value": ""}]}),
        json!({"env": [{"key": "A", "value": "1"}, {"key": "A", "value": "2"}]}),
        json!({"pipeline": "edge"}),
        json!({"runtime": "k8s"}),
        json!({"runtime": "external"}),
        json!({"serviceId": "12345678"}),
        json!({"modelfile": "x"}),
    ];
    let mut table = String::new();
    for more in wrong {
        let answer = room.ask("POST", DEPLOY, &ask(&room, &more)).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, "application/json"), "{more}: {}", answer.text);
        let envelope = answer.json();
        assert_eq!((&envelope["code"], &envelope["data"]), (&json!(400), &Value::Null), "{more}");
        table.push_str(&format!("{more}\n  {}\n", envelope["message"].as_str().unwrap()).replace(&dir, "DIR"));
    }
    insta::assert_snapshot!(table);
    assert_eq!(room.get("/api/v1/modserv/list").await["data"], json!([]), "a refused service leaves nothing");
    assert_eq!(room.get("/api/v1/deployments").await["items"], json!([]));
}

#[tokio::test]
async fn errors_come_in_the_envelope() {
    let room = Room::open().await;
    room.model("models/tiny/tiny.gguf");
    for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/pipeline")] {
        let answer = room.ask(method, &format!("/api/v1/modserv/00000000{path}"), "").await.expect(404);
        assert_eq!((&answer["code"], &answer["data"]), (&json!(404), &Value::Null));
        assert!(answer["message"].as_str().unwrap().ends_with("GET /api/v1/modserv/list lists what there is"), "{answer}");
    }
    room.ask("PUT", "/api/v1/modserv/00000000", &ask(&room, &json!({}))).await.expect(404);
    let id = deployed(&room, &json!({})).await;
    let taken = room.ask("POST", DEPLOY, &ask(&room, &json!({}))).await.expect(409);
    assert!(taken["message"].as_str().unwrap().contains("tiny"), "{taken}");
    assert_eq!(room.get("/api/v1/modserv/list").await["data"].as_array().unwrap().len(), 1, "only {id}");
    room.ask("POST", DEPLOY, "{").await.expect(400);
    let any = [("content-type", "text/plain")];
    assert_eq!(room.ask_with(&any, "POST", DEPLOY, "{}").await.expect(400)["code"], 400, "its media type is not looked at");
    let nobody = room.ask_with(&[("authorization", "")], "GET", "/api/v1/modserv/list", "").await.expect(401);
    assert_eq!(nobody["code"], 401);
    assert_eq!(room.ask("GET", "/api/v1/modserv/a/b/c", "").await.expect(404)["code"], 404);
}

#[tokio::test]
async fn a_registered_model_needs_no_path() {
    let room = Room::open().await;
    room.model("tiny.gguf");
    room.ask("POST", "/api/v1/models", r#"{"name":"tiny","source":"file:tiny.gguf"}"#).await.expect(201);
    let id = deployed(&room, &json!({"modelFileDir": null})).await;
    until(&room, &id, "running").await;
    assert_eq!(room.get("/api/v1/deployments/tiny").await["spec"]["model"], "tiny");
}
