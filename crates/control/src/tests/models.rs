//! Models: what is said of them, their versions and tags, and deployments that follow a tag.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use registry::Digest;
use serde_json::{Value, json};

use super::room::{Answer, Room, model_of};

const MODEL: &str = "/api/v1/models/tiny";

async fn register(room: &Room, more: &Value) -> Value {
    let mut body = json!({"name": "tiny", "source": format!("file:{}", room.model("tiny.gguf")), "keep": "copy"});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    room.ask("POST", "/api/v1/models", &body.to_string()).await.expect(201)
}

/// Another version of the model, and its digest.
async fn second(room: &Room, description: &str) -> String {
    room.file("next.gguf", &model_of(description));
    let body = json!({"name": "tiny", "source": "file:next.gguf", "keep": "move", "note": description}).to_string();
    let made = room.ask("POST", "/api/v1/models", &body).await.expect(201);
    made["status"]["versions"][0]["digest"].as_str().unwrap().to_owned()
}

fn names(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_is_said_of_a_model_is_stored_changed_and_found() {
    let room = Room::open().await;
    let card = json!({"description": "Knows capitals", "licence": "Apache-2.0", "labels": {"team": "red"}, "parameters": {"temperature": 0.5},
        "input_schema": {"type": "object"}, "tags": ["v1"], "note": "the first"});
    let made = register(&room, &card).await;
    assert_eq!((&made["generation"], &made["spec"]["licence"]), (&json!(1), &json!("Apache-2.0")));
    assert_eq!(made["status"]["capabilities"], json!(["completion"]));
    assert_eq!(
        (&made["status"]["versions"][0]["note"], &made["status"]["versions"][0]["contents"]["keep"]),
        (&json!("the first"), &json!("blobs"))
    );
    assert_eq!(made["status"]["tags"]["v1"], made["status"]["tags"]["latest"]);

    let change = json!({"labels": {"team": null, "tier": "gold"}, "capabilities": ["chat", "tools"], "deprecated": "use tiny-2", "parameters": null});
    let stale = room.ask_with(&[("if-match", "\"7\"")], "PATCH", MODEL, &change.to_string()).await.expect(412);
    assert_eq!(stale["code"], "stale_generation");
    let changed = room.ask_with(&[("if-match", "\"1\"")], "PATCH", MODEL, &change.to_string()).await;
    assert_eq!(changed.header("etag"), "\"2\"");
    let changed = changed.expect(200);
    assert_eq!((&changed["spec"]["labels"], &changed["spec"]["description"]), (&json!({"tier": "gold"}), &json!("Knows capitals")));
    assert_eq!((&changed["spec"]["parameters"], &changed["status"]["capabilities"]), (&Value::Null, &json!(["chat", "tools"])));
    assert!(changed["status"]["deprecated_at"].is_string());

    let other = json!({"name": "other", "source": format!("file:{}", room.model("other.gguf"))}).to_string();
    room.ask("POST", "/api/v1/models", &other).await.expect(201);
    for (query, found) in [
        ("q=capitals%20APACHE", vec!["tiny"]),
        ("labels=tier%3Dgold", vec!["tiny"]),
        ("labels=team", vec![]),
        ("capability=chat,tools", vec!["tiny"]),
        ("deprecated=false", vec!["other"]),
        ("format=gguf&limit=1", vec!["other"]),
        ("format=gguf&limit=1&after=other", vec!["tiny"]),
        ("format=onnx", vec![]),
    ] {
        assert_eq!(names(&room.get(&format!("/api/v1/models?{query}")).await), found, "{query}");
    }
    assert_eq!(room.get("/api/v1/models?limit=1").await["next"], "other");
    for (query, word) in [("format=zip", "format"), ("capability=fly", "chat"), ("colour=red", "colour")] {
        let refused = room.ask("GET", &format!("/api/v1/models?{query}"), "").await.expect(400).to_string();
        assert!(refused.contains(word), "{refused}");
    }
    let told = room.until("/api/v1/events", |answer| answer.text.contains("model_updated")).await;
    assert!(told.text.contains("was deprecated by token `ops`: use tiny-2"), "{}", told.text);
}

#[tokio::test]
async fn a_card_that_cannot_be_is_refused_with_every_reason() {
    let room = Room::open().await;
    register(&room, &json!({})).await;
    let wrong = json!({"parameters": {"temperature": 9}, "context_limit": 0, "labels": {"a=b": "c"}});
    let refused = room.ask("PATCH", MODEL, &wrong.to_string()).await.expect(400);
    assert_eq!(refused["problems"].as_array().map(Vec::len), Some(3), "{refused}");
    for (method, path, body) in [
        ("PATCH", MODEL, r#"{"colour":"red"}"#),
        ("POST", "/api/v1/models", r#"{"name":"x"}"#),
        ("POST", "/api/v1/models", r#"{"name":"x","source":"file:tiny.gguf","keep":"burn"}"#),
        ("POST", "/api/v1/models", r#"{"name":"x","source":"file:tiny.gguf","tags":"v1"}"#),
        ("PUT", "/api/v1/models/tiny/tags/a:b", r#"{"version":"latest"}"#),
    ] {
        room.ask(method, path, body).await.expect(400);
    }
    for (method, path, body) in [
        ("GET", "/api/v1/models/none", ""),
        ("PATCH", "/api/v1/models/none", "{}"),
        ("GET", "/api/v1/models/none/history", ""),
        ("PUT", "/api/v1/models/tiny/tags/prod", r#"{"version":"none"}"#),
        ("DELETE", "/api/v1/models/tiny/tags/none", ""),
        ("DELETE", "/api/v1/models/tiny/versions/sha256:000000000000", ""),
    ] {
        room.ask(method, path, body).await.expect(404);
    }
}

#[tokio::test]
async fn a_moved_tag_is_a_rollout_with_its_history_and_its_way_back() {
    let room = Room::open().await;
    let first = register(&room, &json!({"tags": ["prod"]})).await["status"]["tags"]["prod"].as_str().unwrap().to_owned();
    for (name, more) in [("follows", ""), ("stays", r#","rollout":{"follow":false}"#), ("pinned", "")] {
        let source = if name == "pinned" { format!("tiny@{first}") } else { "tiny:prod".to_owned() };
        let body = format!(r#"{{"name":"{name}","model":"{source}","replicas":{{"min":1}}{more}}}"#);
        room.ask("POST", "/api/v1/deployments", &body).await.expect(202);
        room.until_state(name, "ready").await;
    }
    let next = second(&room, "better").await;
    assert_eq!(room.get("/api/v1/deployments/follows").await["generation"], 1, "`latest` is not what it names");
    room.ask("PUT", "/api/v1/models/tiny/tags/prod", &json!({ "version": next }).to_string()).await.expect(200);

    let path = "/api/v1/deployments/follows";
    room.until(&format!("{path}/rollout"), |answer| answer.json()["state"] == "complete" && answer.json()["to"] == 2).await;
    let revisions = room.get(&format!("{path}/revisions")).await;
    assert_eq!((&revisions["items"][0]["digest"], &revisions["items"][1]["digest"]), (&json!(next), &json!(first)));
    assert_eq!(revisions["items"][0]["cause"], "the tag `prod` of the model `tiny`, moved by token `ops`");
    let told = room.get("/api/v1/events?deployment=follows&limit=500").await;
    let event = told["items"].as_array().unwrap().iter().find(|event| event["cause"]["kind"] == "tag").expect("its cause is told").clone();
    assert_eq!((&event["cause"]["model"], &event["cause"]["digest"]), (&json!("tiny"), &json!(next)));
    for name in ["stays", "pinned"] {
        assert_eq!(room.get(&format!("/api/v1/deployments/{name}")).await["generation"], 1, "{name}");
    }

    let undone = room.ask("POST", &format!("{path}/rollout/undo"), "{}").await.expect(202);
    assert_eq!(undone["spec"]["model"], format!("tiny@{first}"), "by digest, so that it does not follow the tag again at once");
    room.until(&format!("{path}/rollout"), |answer| answer.json()["state"] == "complete" && answer.json()["to"] == 3).await;
    let history = room.get(&format!("{MODEL}/history")).await;
    let moves: Vec<_> = history["items"].as_array().unwrap().iter().map(|moved| (moved["tag"].as_str().unwrap(), &moved["to"])).collect();
    assert_eq!(moves, [("prod", &json!(next)), ("latest", &json!(next)), ("prod", &json!(first)), ("latest", &json!(first))]);
}

#[tokio::test]
async fn a_changed_card_reaches_its_deployments_by_a_rollout_and_its_other_words_do_not() {
    let room = Room::open().await;
    register(&room, &json!({})).await;
    room.ask("POST", "/api/v1/deployments", r#"{"name":"a","model":"tiny","replicas":{"min":1}}"#).await.expect(202);
    room.until_state("a", "ready").await;
    room.ask("PATCH", MODEL, r#"{"description":"Knows capitals","labels":{"team":"red"}}"#).await.expect(200);
    room.ask("PATCH", MODEL, r#"{"parameters":{"temperature":0.1}}"#).await.expect(200);
    let rolled = room.until("/api/v1/deployments/a/revisions", |answer| answer.json()["items"][0]["number"] == 2).await.json();
    assert_eq!(rolled["items"][0]["version"]["contents"]["serving"]["parameters"]["temperature"], 0.1);
    let undo = room.ask("POST", "/api/v1/deployments/a/rollout/undo", r#"{"to":1}"#).await.expect(400);
    assert!(undo["hint"].as_str().unwrap().contains("PATCH /api/v1/models"), "{undo}");
    room.ask("PATCH", MODEL, r#"{"context_limit":100}"#).await.expect(200);
    let refused = room.ask("PATCH", "/api/v1/deployments/a", r#"{"context":101}"#).await.expect(400);
    assert_eq!(refused["problems"][0]["field"], "context", "{refused}");
}

#[tokio::test]
async fn whoever_deploys_a_deprecated_model_is_warned_and_served() {
    let room = Room::open().await;
    register(&room, &json!({"deprecated": "use tiny-2"})).await;
    let answer = room.ask("POST", "/api/v1/deployments", r#"{"name":"a","model":"tiny","replicas":{"min":1}}"#).await;
    assert_eq!(answer.header("warning"), r#"299 - "the model `tiny` is deprecated: use tiny-2""#);
    answer.expect(202);
    room.until_state("a", "ready").await;
    let noticed = || room.parts.board.table().deployments.get("a").and_then(|entry| entry.notice.clone());
    assert!(noticed().is_some_and(|notice| notice.contains("use tiny-2")));
    room.ask("PATCH", MODEL, r#"{"deprecated":null}"#).await.expect(200);
    room.until("/api/v1/deployments/a", |_| noticed().is_none()).await;
    assert_eq!(room.ask("PATCH", "/api/v1/deployments/a", r#"{"max_queue":3}"#).await.header("warning"), "");
}

#[tokio::test]
async fn what_is_used_is_not_forgotten_and_who_uses_it_is_told() {
    let room = Room::open().await;
    let first = register(&room, &json!({"tags": ["prod"]})).await["status"]["tags"]["prod"].as_str().unwrap().to_owned();
    room.ask("POST", "/api/v1/deployments", r#"{"name":"a","model":"tiny:prod","replicas":{"min":1}}"#).await.expect(202);
    room.until_state("a", "ready").await;
    let next = second(&room, "better").await;
    assert_eq!(room.get(MODEL).await["status"]["used_by"], json!(["a"]));
    for (path, who) in
        [(MODEL.to_owned(), "`a`"), (format!("{MODEL}/tags/prod"), "`a`"), (format!("{MODEL}/versions/{first}"), "`a` (revision 1)")]
    {
        let refused = room.ask("DELETE", &path, "").await.expect(409);
        assert_eq!(refused["code"], "in_use", "{path}: {refused}");
        assert!(refused["detail"].as_str().unwrap().contains(who), "{refused}");
    }
    let noted = room.ask("PATCH", &format!("{MODEL}/versions/{}", &next[..19]), r#"{"note":"not used"}"#).await.expect(200);
    assert_eq!(noted["status"]["versions"][0]["note"], "not used");
    let less = room.ask("DELETE", &format!("{MODEL}/versions/{next}"), "").await.expect(200);
    assert_eq!((less["status"]["versions"].as_array().map(Vec::len), &less["status"]["tags"]["latest"]), (Some(1), &json!(first)));
    room.ask("DELETE", "/api/v1/deployments/a", "").await.expect(202);
    room.until("/api/v1/deployments/a", |answer| answer.status == 404).await;
    room.ask_with(&[("if-match", "\"1\"")], "DELETE", MODEL, "").await.expect(412);
    room.ask("DELETE", MODEL, "").await.expect(204);
}

#[tokio::test]
async fn a_model_that_no_engine_serves_is_registered_and_not_deployed() {
    let room = Room::open().await;
    let header = br#"{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}"#;
    let path = room.file("encoder/model.safetensors", &[&(header.len() as u64).to_le_bytes()[..], header, &[0; 2]].concat());
    room.file("encoder/config.json", br#"{"model_type":"bert","architectures":["BertModel"]}"#);
    let folder = path.trim_end_matches("/model.safetensors");
    let body = json!({"name": "encoder", "source": format!("file:{folder}")}).to_string();
    let made = room.ask("POST", "/api/v1/models", &body).await.expect(201);
    assert_eq!((&made["status"]["versions"][0]["format"], &made["status"]["capabilities"]), (&json!("safetensors"), &json!(["embedding"])));
    let refused = room.ask("POST", "/api/v1/deployments", r#"{"name":"e","model":"encoder"}"#).await.expect(400);
    let said = refused["detail"].as_str().unwrap();
    assert!(said.contains("`llama-server` cannot serve") && said.contains("it serves gguf"), "{said}");
    let pickle = room.file("model.bin", b"\x80\x02}q\x00.");
    let body = json!({"name": "bad", "source": format!("file:{pickle}"), "format": "opaque"}).to_string();
    let refused = room.ask("POST", "/api/v1/models", &body).await.expect(422);
    assert!(refused["detail"].as_str().unwrap().contains("a Python pickle"), "{refused}");
}

/// Speaks tus.
async fn tus(room: &Room, (method, path): (&str, &str), headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {}", room.admin));
    for (name, value) in [("tus-resumable", "1.0.0")].iter().chain(headers).filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let (parts, body) = room.send(request.body(Body::from(body.to_vec())).unwrap()).await.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, text }
}

#[tokio::test]
async fn a_model_is_sent_in_pieces_and_becomes_a_version() {
    const ALL: &str = "/api/v1/models/sent/versions/upload";
    const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");
    let room = Room::open().await;
    let model = model_of("sent");
    let (length, digest) = (model.len().to_string(), Digest::of(&model));
    let offer = tus(&room, ("OPTIONS", ALL), &[], b"").await;
    assert_eq!((offer.status.as_u16(), offer.header("tus-version")), (204, "1.0.0"));
    let metadata = format!("filename bS5nZ3Vm,sha256 {}", base64(digest.hex().as_bytes()));
    let begun = tus(&room, ("POST", ALL), &[("upload-length", &length), ("upload-metadata", &metadata)], b"").await;
    assert_eq!((begun.status.as_u16(), begun.header("upload-offset")), (201, "0"));
    let one = begun.header("location").to_owned();
    assert_eq!(one, format!("{ALL}/{}", digest.hex()));

    let half = model.len() / 2;
    let sent = tus(&room, ("PATCH", &one), &[BYTES, ("upload-offset", "0")], &model[..half]).await;
    assert_eq!((sent.status.as_u16(), sent.header("upload-offset")), (204, half.to_string().as_str()));
    let again = tus(&room, ("PATCH", &one), &[BYTES, ("upload-offset", "0")], &model[..half]).await;
    assert_eq!(again.status.as_u16(), 409, "from where it is, and from nowhere else: {}", again.text);
    let look = tus(&room, ("HEAD", &one), &[], b"").await;
    assert_eq!((look.header("upload-offset"), look.header("upload-length")), (half.to_string().as_str(), length.as_str()));
    assert_eq!(look.header("cache-control"), "no-store");
    let early = json!({"files": [{"name": "m.gguf", "digest": digest.to_string()}]}).to_string();
    room.ask("POST", "/api/v1/models/sent/versions", &early).await.expect(422);
    let rest = tus(&room, ("PATCH", &one), &[BYTES, ("upload-offset", &half.to_string())], &model[half..]).await;
    assert_eq!((rest.status.as_u16(), rest.header("upload-offset")), (204, length.as_str()));

    let body = json!({"files": [{"name": "m.gguf", "digest": digest.to_string()}], "tags": ["v1"], "note": "by tus",
        "card": {"licence": "MIT"}});
    let made = room.ask("POST", "/api/v1/models/sent/versions", &body.to_string()).await.expect(201);
    assert_eq!((&made["spec"]["source"], &made["spec"]["licence"]), (&json!("upload:"), &json!("MIT")));
    assert_eq!(made["status"]["tags"]["v1"], digest.to_string());
    room.ask("POST", "/api/v1/deployments", r#"{"name":"a","model":"sent:v1","replicas":{"min":1}}"#).await.expect(202);
    room.until_state("a", "ready").await;
    let repr = format!("sha-256=:{}:", base64(&bytes_of(digest.hex())));
    let twice = tus(&room, ("POST", ALL), &[("upload-length", &length), ("repr-digest", &repr)], b"").await;
    assert_eq!((twice.status.as_u16(), twice.header("upload-offset")), (201, length.as_str()), "it is here");
}

#[tokio::test]
async fn a_piece_that_is_too_long_is_refused_and_how_far_the_file_is_is_told_at_once() {
    const ALL: &str = "/api/v1/models/sent/versions/upload";
    const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");
    const PIECE: usize = 600_000;
    let room = Room::open().await;
    let file: Vec<u8> = (0..=250).cycle().take(4 * PIECE - 10).collect();
    let (length, digest) = (file.len().to_string(), Digest::of(&file));
    let repr = format!("sha-256=:{}:", base64(&bytes_of(digest.hex())));
    let one = format!("{ALL}/{}", digest.hex());
    assert_eq!(tus(&room, ("POST", ALL), &[("upload-length", &length), ("repr-digest", &repr)], b"").await.status.as_u16(), 201);

    let longer = [&file[..], &[0; 10]].concat();
    let pieces: Vec<_> = longer.chunks(PIECE).map(|piece| Ok::<_, std::io::Error>(bytes::Bytes::copy_from_slice(piece))).collect();
    let request = Request::patch(&one).header("authorization", format!("Bearer {}", room.admin)).header("tus-resumable", "1.0.0");
    let request = request.header(BYTES.0, BYTES.1).header("upload-offset", "0");
    let refused = room.send(request.body(Body::from_stream(futures_util::stream::iter(pieces))).unwrap()).await;
    assert_eq!(refused.status().as_u16(), 400);
    let have = 3 * PIECE;
    let look = tus(&room, ("HEAD", &one), &[], b"").await;
    assert_eq!(look.header("upload-offset"), have.to_string(), "what came before it is here");
    let rest = tus(&room, ("PATCH", &one), &[BYTES, ("upload-offset", look.header("upload-offset"))], &file[have..]).await;
    assert_eq!((rest.status.as_u16(), rest.header("upload-offset")), (204, length.as_str()), "{}", rest.text);
}

#[tokio::test]
async fn what_does_not_speak_tus_or_promises_nothing_is_refused() {
    const ALL: &str = "/api/v1/models/sent/versions/upload";
    const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");
    let room = Room::open().await;
    let digest = Digest::of(b"promised");
    let repr = format!("sha-256=:{}:", base64(&bytes_of(digest.hex())));
    let one = format!("{ALL}/{}", digest.hex());
    assert_eq!(room.ask("POST", ALL, "").await.expect(412)["code"], "wrong_tus_version");
    for headers in
        [&[("repr-digest", repr.as_str())][..], &[("upload-length", "8")], &[("upload-length", "x"), ("repr-digest", repr.as_str())]]
    {
        assert_eq!(tus(&room, ("POST", ALL), headers, b"").await.status.as_u16(), 400, "{headers:?}");
    }
    assert_eq!(tus(&room, ("HEAD", &one), &[], b"").await.status.as_u16(), 404);
    let whole = [BYTES, ("upload-length", "8"), ("repr-digest", repr.as_str())];
    let refused = tus(&room, ("POST", ALL), &whole, b"pro-ised").await;
    assert_eq!(refused.status.as_u16(), 422, "{}", refused.text);
    assert!(refused.text.contains("was promised"), "{}", refused.text);
    let begun = tus(&room, ("POST", ALL), &[("upload-length", "8"), ("repr-digest", &repr)], b"").await;
    assert_eq!(begun.status.as_u16(), 201);
    assert_eq!(tus(&room, ("PATCH", &one), &[("upload-offset", "0")], b"promised").await.status.as_u16(), 415);
    assert_eq!(tus(&room, ("DELETE", &one), &[], b"").await.status.as_u16(), 204);
    assert_eq!(tus(&room, ("HEAD", &one), &[], b"").await.status.as_u16(), 404);
    let created = tus(&room, ("POST", ALL), &whole, b"promised").await;
    assert_eq!((created.status.as_u16(), created.header("upload-offset")), (201, "8"), "creation with upload: {}", created.text);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
