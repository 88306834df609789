//! Are the bodies of the older service API read and written as its clients know them?

use base::{Fault as _, Timestamp};

use super::{Deploy, Envelope, Quantity, Service, Status, Step, StepState, Submitted};

const FULL: &str = r#"{"modelName":"qwen","modelFileDir":"/opt/q","resourceRequirements":{"acceleratorType":"NVIDIA GPU","acceleratorCount":1,
    "cpu":"500m","memory":"16Gi"},"replicaCount":2,"contextLength":4096,"env":[{"key":"K","value":"V"}],"pipeline":"edge","runtime":"docker"}"#;

#[test]
fn every_field_of_a_deploy_is_read() {
    let deploy = Deploy::parse(FULL.as_bytes()).unwrap();
    assert_eq!(deploy.resource_requirements.cpu.as_ref().and_then(Quantity::amount), Some(0.5));
    assert_eq!(deploy.resource_requirements.memory.as_ref().and_then(Quantity::amount), Some(17_179_869_184.0));
    let written: serde_json::Value = serde_json::to_value(&deploy).unwrap();
    assert_eq!(written, serde_json::from_str::<serde_json::Value>(FULL).unwrap());
}

#[test]
fn the_smallest_deploy_is_enough() {
    let deploy = Deploy::parse(br#"{"modelName":"q","resourceRequirements":{},"replicaCount":1}"#).unwrap();
    assert_eq!((deploy.resource_requirements.accelerator_count, deploy.context_length, deploy.env.len()), (0, None, 0));
}

#[test]
fn a_field_that_is_not_known_is_refused_not_dropped() {
    let said = |body: &str| Deploy::parse(body.as_bytes()).unwrap_err().public();
    assert!(said(&FULL.replace("\"pipeline\"", "\"pipelin\"")).contains("unknown field `pipelin`, expected one of"));
    assert!(said(r#"{"modelName":"q","replicaCount":1}"#).contains("missing field `resourceRequirements`"));
    assert!(said(&FULL.replace("\"replicaCount\":2", "\"replicaCount\":-2")).contains("invalid value: integer `-2`"));
    assert_eq!(said(&FULL.replace("\"qwen\"", "\" \"")), "`modelName` must name a model");
    assert_eq!(said(&FULL.replace("16Gi", "much")), "`resourceRequirements.memory` must be a number of bytes or a size such as \"16Gi\"");
    assert_eq!(said(&FULL.replace("\"500m\"", "-1")), "`resourceRequirements.cpu` must be a number of cores such as 4 or \"500m\"");
    assert_eq!(said(&FULL.replace("\"K\"", "\"A=B\"")), "`env` has a key that cannot be a variable's name");
}

#[test]
fn amounts_are_read_as_kubernetes_writes_them() {
    let amount = |text: &str| Quantity::Text(text.to_owned()).amount();
    assert_eq!((amount("4"), amount("1.5k"), amount("2MiB"), amount("3 GB")), (Some(4.0), Some(1500.0), Some(2_097_152.0), Some(3e9)));
    assert_eq!((amount(""), amount("-1"), amount("x"), amount("nan")), (None, None, None, None));
}

#[test]
fn answers_come_in_one_envelope() {
    let write = |value: serde_json::Value| value.to_string();
    let submitted = Envelope::ok("deploy submit success", Submitted { service_id: "a6add090".to_owned() });
    assert_eq!(
        write(serde_json::to_value(&submitted).unwrap()),
        r#"{"code":0,"message":"deploy submit success","data":{"serviceId":"a6add090"}}"#
    );
    let error: Envelope<Submitted> = Envelope::error(404, "no such service");
    assert_eq!(write(serde_json::to_value(&error).unwrap()), r#"{"code":404,"message":"no such service","data":null}"#);
    let service = Service {
        service_id: "a6add090".to_owned(),
        status: Status::Running,
        endpoint: "http://127.0.0.1:8080/v1/chat/completions".to_owned(),
        update_time: Timestamp::from_millis(0),
        current_step: 8,
        total_steps: 8,
    };
    assert_eq!(
        write(serde_json::to_value(&service).unwrap()),
        r#"{"serviceId":"a6add090","status":"running","endpoint":"http://127.0.0.1:8080/v1/chat/completions","updateTime":"1970-01-01T00:00:00.000Z","currentStep":8,"totalSteps":8}"#
    );
    let step = Step { name: "fetch".to_owned(), state: StepState::Pending, start_time: None, end_time: None, message: None };
    assert_eq!(write(serde_json::to_value(&step).unwrap()), r#"{"name":"fetch","state":"pending"}"#);
}
