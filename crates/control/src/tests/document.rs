//! The OpenAPI document: complete, and as it was agreed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::room::Room;
use crate::openapi;

fn document() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

#[test]
fn the_document_is_as_it_was_agreed() {
    let mut document = document();
    document["info"]["version"] = "VERSION".into();
    insta::assert_json_snapshot!(document);
}

#[tokio::test]
async fn every_route_is_in_the_document_and_nothing_else() {
    let room = Room::open().await;
    // The router prints its paths; there is no other way to ask it.
    let printed = format!("{:?}", room.app);
    let routed: BTreeSet<&str> = printed.split('"').filter(|text| text.starts_with("/api/") || text.starts_with("/auth/")).collect();
    let document = document();
    let mut wanted: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    // Not operations: the document itself, and what answers for paths that are not there.
    wanted.extend(["/api/v1/openapi.json", "/api/v1/{*path}"]);
    assert_eq!(routed, wanted);
}

#[test]
fn every_operation_has_a_name_of_its_own_a_summary_and_a_tag_that_is_explained() {
    let document = document();
    let tags: BTreeSet<&str> = document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} twice");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
            assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{method} {path}");
            assert!(operation["responses"]["default"]["content"].is_object(), "{method} {path} does not say how it fails");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{method} {path} {parameter}");
            }
        }
    }
}

#[test]
fn every_field_is_described_and_every_reference_leads_somewhere() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            // What may be null is described beside its reference.
            let described = property["description"].is_string() || property["oneOf"][0]["description"].is_string();
            assert!(described, "{name}.{field}");
        }
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}

#[test]
fn only_the_name_of_a_deployment_must_be_given() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let required = |schema: &str| document["components"]["schemas"][schema]["required"].clone();
    assert_eq!(required("DeploymentSpec"), serde_json::json!(["name"]));
    assert_eq!(required("Replicas"), Value::Null);
    assert_eq!(required("Timeouts"), Value::Null);
    assert_eq!(required("NewToken"), serde_json::json!(["name"]));
}

#[test]
fn logins_need_no_token_and_fail_in_the_words_of_their_kind() {
    let document = document();
    let of = |path: &str, method: &str| document["paths"][path][method].clone();
    for (path, method, media_type) in [
        ("/auth/login", "get", "text/html"),
        ("/auth/callback", "get", "text/html"),
        ("/auth/enter", "post", "text/html"),
        ("/auth/logout", "post", "application/problem+json"),
        ("/auth/session", "get", "application/problem+json"),
        ("/auth/device", "post", "application/json"),
        ("/auth/token", "post", "application/json"),
    ] {
        let operation = of(path, method);
        assert_eq!(operation["security"], serde_json::json!([{}]), "{path}");
        assert!(operation["responses"]["default"]["content"][media_type].is_object(), "{path} {operation}");
        let form = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"];
        assert_eq!(form.is_object(), method == "post", "{path}");
    }
}
