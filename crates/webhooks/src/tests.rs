//! Receivers that fail in every way there is, and what they have got in the end.

mod receiver;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Secret;
use spec::{Cause, Event, EventKind, Phase};
use store::Store;
use tempfile::TempDir;
use tokio::sync::broadcast;

use crate::{Error, Running, Standing, State, Tell, Webhook, Webhooks};
use receiver::{Receiver, Reply, SECRET};

/// Longer than anything here takes; a test that waits so long has failed.
const SOON: Duration = Duration::from_mins(2);

/// A house as far as webhooks see it.
struct House {
    dir: TempDir,
    store: Store,
    bell: broadcast::Sender<Event>,
    told: Arc<Mutex<Vec<Event>>>,
    running: Option<Running>,
}

fn webhook(url: &str, more: &str) -> Webhook {
    let usual = r#""retry": {"first": "5ms", "most": "20ms", "give_up": "1h"}, "timeout": "5s""#;
    let more = if more.is_empty() { usual } else { more };
    serde_json::from_str(&format!(r#"{{"name": "r", "url": "{url}", "secret_env": "HOOK", {more}}}"#)).unwrap()
}

fn secret(variable: &str) -> Option<Secret> {
    (variable == "HOOK").then(|| Secret::new(SECRET))
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("penstock.db")).await.unwrap();
        Self { dir, store, bell: broadcast::Sender::new(64), told: Arc::default(), running: None }
    }

    async fn start(&mut self, webhook: &Webhook) {
        self.start_all(std::slice::from_ref(webhook)).await;
    }

    async fn start_all(&mut self, webhooks: &[Webhook]) {
        let told = Arc::clone(&self.told);
        let tell: Tell = Arc::new(move |event| {
            told.lock().unwrap().push(event);
            Box::pin(std::future::ready(()))
        });
        let opened = Webhooks::open(&self.store, webhooks, &secret).await.unwrap();
        self.running = Some(opened.start(self.bell.subscribe(), &tell));
    }

    /// The process ends and comes again.
    async fn restart(&mut self, webhook: &Webhook, killed: bool) {
        let running = self.running.take().unwrap();
        if killed {
            drop(running);
        } else {
            running.end().await;
        }
        self.store.close().await;
        self.store = Store::open(self.dir.path().join("penstock.db")).await.unwrap();
        self.start(webhook).await;
    }

    async fn happens(&self, events: impl IntoIterator<Item = Event>) {
        for mut event in events {
            event.id = self.store.append_events(std::slice::from_ref(&event)).await.unwrap()[0];
            let _ = self.bell.send(event);
        }
    }

    async fn numbers(&self, numbers: std::ops::Range<u32>) {
        self.happens(numbers.map(|n| Event::now(EventKind::ModelRegistered, Cause::Config, n.to_string()))).await;
    }

    fn standing(&self) -> Standing {
        self.running.as_ref().unwrap().handle().all().remove(0)
    }

    async fn until_all(&self, what: &str, is: impl Fn(&[Standing]) -> bool) {
        let all = || self.running.as_ref().unwrap().handle().all();
        let looks = async {
            while !is(&all()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(SOON, looks).await;
        found.unwrap_or_else(|_| panic!("it was never so that {what}: {:?}", all()));
    }

    async fn until(&self, what: &str, is: impl Fn(&Standing) -> bool) -> Standing {
        let looks = async {
            loop {
                let standing = self.standing();
                if is(&standing) {
                    return standing;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(SOON, looks).await;
        found.unwrap_or_else(|_| panic!("it was never so that {what}: {:?}", self.standing()))
    }
}

fn texts(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn an_event_is_a_cloud_event_and_its_signature_holds() {
    let (mut house, receiver) = (House::new().await, Receiver::start());
    house.start(&webhook(&receiver.url(), "")).await;
    let name = spec::Name::parse("tiny").unwrap();
    let moved = Event::now(EventKind::InstancePhase, Cause::Demand { waiting: 2 }, "m").of(&name);
    house.happens([Event { phase: Some((Phase::Pending, Phase::Starting)), ..moved }]).await;
    house.until("it has it", |standing| standing.sent == 1 && standing.state == State::Idle).await;
    let got = &receiver.got()[0];
    let installation = house.store.installation_id().await.unwrap();
    assert_eq!(got.headers["content-type"], "application/cloudevents+json; charset=utf-8");
    assert_eq!(got.headers["webhook-id"], format!("{installation}-1"));
    let document = &got.document;
    let attributes =
        ["specversion", "id", "source", "type", "subject", "datacontenttype"].map(|key| document[key].as_str().unwrap().to_owned());
    let source = format!("urn:penstock:{installation}");
    assert_eq!(attributes, ["1.0", "1", &source, "com.github.penstock.instance_phase", "deployments/tiny", "application/json"]);
    assert!(document["time"].as_str().unwrap().parse::<base::Timestamp>().is_ok());
    assert_eq!(document["data"]["cause"], serde_json::json!({"kind": "demand", "waiting": 2}));
    assert_eq!(document["data"]["phase"], serde_json::json!(["pending", "starting"]));
}

#[tokio::test]
async fn a_receiver_that_was_down_gets_everything_once_and_in_order() {
    let (mut house, receiver) = (House::new().await, Receiver::start());
    let url = receiver.url();
    house.start(&webhook(&url, "")).await;
    let place = receiver.stop().await;
    house.numbers(0..200).await;
    let down = house.until("it fails", |standing| standing.failed > 2 && standing.lag == 200).await;
    assert!(down.last_failure.as_ref().is_some_and(|failure| failure.tries > 2) && down.state == State::Failing, "{down:?}");
    let receiver = Receiver::start_at(place);
    let up = house.until("it has them", |standing| standing.sent == 200).await;
    assert_eq!(receiver.messages(), texts(0..200));
    assert_eq!((up.dropped, up.lag), (0, 0));
}

#[tokio::test]
async fn every_refusal_is_tried_again_under_the_same_id_and_nothing_overtakes() {
    let (mut house, receiver) = (House::new().await, Receiver::start());
    let redirect = Reply::Redirect(format!("{}/elsewhere", receiver.url()));
    receiver.will([Reply::Status(500), Reply::Status(503), redirect, Reply::Status(400), Reply::HangUp, Reply::Status(429)]);
    house.start(&webhook(&receiver.url(), "")).await;
    house.numbers(0..3).await;
    house.until("it has them", |standing| standing.sent == 3).await;
    let (tried, got) = (receiver.tried(), receiver.got());
    assert_eq!(receiver.messages(), texts(0..3));
    assert_eq!(tried.len(), 9, "six refusals, three that were taken; no redirect was followed: {tried:?}");
    assert!(tried[..7].iter().all(|id| *id == tried[0]), "{tried:?}");
    assert!(got.iter().all(|got| got.path == "/"));
    assert_eq!(house.standing().failed, 6);
}

#[tokio::test]
async fn who_answers_410_is_left_alone_until_somebody_resumes_it() {
    let (mut house, receiver) = (House::new().await, Receiver::start());
    receiver.will([Reply::Status(200), Reply::Status(410)]);
    let hook = webhook(&receiver.url(), "");
    house.start(&hook).await;
    house.numbers(0..3).await;
    let gone = house.until("it is disabled", |standing| standing.state == State::Disabled).await;
    assert!(gone.disabled.is_some_and(|why| why.contains("410")) && gone.sent == 1);
    let told = house.told.lock().unwrap()[0].clone();
    assert_eq!((told.kind, told.cause), (EventKind::WebhookDisabled, Cause::Webhook { name: "r".into() }));
    house.restart(&hook, false).await;
    house.numbers(3..4).await;
    house.until("it stays so after a restart, and falls behind", |standing| standing.state == State::Disabled && standing.lag == 3).await;
    assert_eq!(receiver.messages(), texts(0..1));
    assert!(house.running.as_ref().unwrap().handle().resume(&hook.name));
    house.until("it has them", |standing| standing.sent == 4).await;
    assert_eq!(receiver.messages(), texts(0..4));
    assert_eq!(house.told.lock().unwrap().last().unwrap().kind, EventKind::WebhookEnabled);
    assert!(!house.running.as_ref().unwrap().handle().resume(&spec::Name::parse("nobody").unwrap()));
}

#[tokio::test]
async fn a_receiver_that_is_slow_is_given_up_on_in_time_and_keeps_nobody_waiting() {
    let (mut house, receiver) = (House::new().await, Receiver::start());
    receiver.will([Reply::Never]);
    house.start(&webhook(&receiver.url(), r#""timeout": "1s", "retry": {"first": "5ms", "most": "5ms"}"#)).await;
    let before = tokio::time::Instant::now();
    house.numbers(0..20).await;
    assert!(before.elapsed() < SOON, "telling waits for nobody");
    let late = house.until("it has them", |standing| standing.sent == 20).await;
    assert_eq!(receiver.messages(), texts(0..20));
    assert!(late.last_failure.is_some_and(|failure| failure.what.contains("1s")));
}

#[tokio::test]
async fn an_end_in_the_middle_loses_nothing_and_what_comes_twice_has_the_same_id() {
    for killed in [false, true] {
        let (mut house, receiver) = (House::new().await, Receiver::start());
        let hook = webhook(&receiver.url(), "");
        house.start(&hook).await;
        house.numbers(0..30).await;
        house.until("some are sent", |standing| standing.sent > 5).await;
        house.restart(&hook, killed).await;
        house.numbers(30..40).await;
        house.until("all are sent", |standing| standing.lag == 0 && standing.state == State::Idle).await;
        let by_id: BTreeMap<u64, String> = receiver.got().iter().map(|got| (got.number(), got.message())).collect();
        assert_eq!(by_id.values().cloned().collect::<Vec<_>>(), texts(0..40), "killed: {killed}");
        let ids: Vec<u64> = receiver.got().iter().map(receiver::Got::number).collect();
        assert!(ids.is_sorted(), "in order, and at most the last one twice: {ids:?}");
        assert!(ids.len() <= 41, "{ids:?}");
    }
}

#[tokio::test]
async fn what_was_told_while_nobody_sent_is_sent_after_the_start() {
    let (mut house, receiver) = (House::new().await, Receiver::start());
    let hook = webhook(&receiver.url(), "");
    house.numbers(0..5).await;
    house.start(&hook).await;
    house.running.take().unwrap().end().await;
    house.numbers(5..8).await;
    house.start(&hook).await;
    house.until("it has them", |standing| standing.sent == 3).await;
    assert_eq!(receiver.messages(), texts(5..8), "a new one begins with what happens next, an old one goes on");
}

#[tokio::test]
async fn only_what_is_wanted_is_sent() {
    let (mut house, receiver) = (House::new().await, Receiver::start());
    house.start(&webhook(&receiver.url(), r#""kinds": ["instance_phase:failed", "model_removed"]"#)).await;
    let moved = |to| Event { phase: Some((Phase::Loading, to)), ..Event::now(EventKind::InstancePhase, Cause::Engine, format!("{to}")) };
    let removed = Event::now(EventKind::ModelRemoved, Cause::Config, "removed");
    house.happens([moved(Phase::Ready), moved(Phase::Failed), Event::now(EventKind::Started, Cause::Penstock, "up"), removed]).await;
    house.until("it has them", |standing| standing.lag == 0 && standing.sent == 2).await;
    assert_eq!(receiver.messages(), ["failed", "removed"]);
}

#[tokio::test]
async fn a_line_that_is_too_long_loses_its_oldest_and_says_how_many() {
    let (mut house, receiver) = (House::new().await, Receiver::start());
    let url = receiver.url();
    let place = receiver.stop().await;
    house.start(&webhook(&url, r#""queue": 10, "retry": {"first": "5ms", "most": "20ms"}"#)).await;
    house.numbers(0..50).await;
    house.until("the oldest are dropped", |standing| standing.dropped == 40).await;
    let receiver = Receiver::start_at(place);
    house.until("it has the rest", |standing| standing.sent == 10).await;
    assert_eq!(receiver.messages(), texts(40..50));
    let hook = webhook(&url, r#""queue": 10"#);
    house.restart(&hook, false).await;
    assert_eq!((house.standing().dropped, house.standing().sent), (40, 10), "the counts survive");
}

#[tokio::test]
async fn an_event_that_nobody_takes_for_too_long_is_dropped_and_the_next_has_its_turn() {
    let (mut house, receiver) = (House::new().await, Receiver::start());
    receiver.refuse("0");
    house.start(&webhook(&receiver.url(), r#""retry": {"first": "5ms", "most": "10ms", "give_up": "200ms"}"#)).await;
    house.numbers(0..3).await;
    house.until("the others are there", |standing| standing.sent == 2).await;
    assert_eq!((receiver.messages(), house.standing().dropped), (texts(1..3), 1));
}

#[tokio::test]
async fn without_a_good_secret_nothing_is_sent_and_no_word_of_it_is_said() {
    let house = House::new().await;
    let hook = webhook("http://127.0.0.1:9/", "");
    let none = Webhooks::open(&house.store, std::slice::from_ref(&hook), &|_| None).await.unwrap_err();
    assert!(matches!(&none, Error::NoSecret { from, .. } if from == "HOOK"), "{none}");
    let bad = Webhooks::open(&house.store, std::slice::from_ref(&hook), &|_| Some(Secret::new("hunter2"))).await.unwrap_err();
    assert!(matches!(bad, Error::BadSecret { .. }) && !format!("{bad} {bad:?}").contains("hunter2"));
    let path = house.dir.path().join("secret");
    let filed = Webhook { secret_env: None, secret_file: Some(path.clone()), ..hook };
    let missing = Webhooks::open(&house.store, std::slice::from_ref(&filed), &|_| None).await.unwrap_err();
    assert!(matches!(missing, Error::SecretFile { .. }), "{missing}");
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    Webhooks::open(&house.store, &[filed], &|_| None).await.unwrap();
}

#[test]
fn what_is_wrong_with_an_entry_is_said_all_at_once() {
    let bad: Webhook =
        serde_json::from_str(r#"{"name": "r", "url": "ftp://x", "timeout": 0, "queue": 0, "retry": {"first": "2m", "most": "1m"}}"#)
            .unwrap();
    let fields: Vec<String> = bad.check().unwrap_err().0.into_iter().map(|problem| problem.field).collect();
    assert_eq!(fields, ["timeout", "url", "secret_env", "queue", "retry.first"]);
    let both = Webhook { secret_file: Some("f".into()), url: "https://me:pw@host/x?token=1".into(), ..webhook("x", "") };
    let problems = both.check().unwrap_err();
    assert_eq!(problems.0.iter().map(|problem| problem.field.as_str()).collect::<Vec<_>>(), ["url", "secret_file"]);
    assert!(!problems.to_string().contains("pw"));
    assert_eq!(webhook("https://host:8443/secret/path?token=1", "").origin(), "https://host:8443");
    for (kind, said) in [("instance_fase", "did you mean"), ("instance_phase:dead", "no phase"), ("started:ready", "only instance_phase")] {
        let error = serde_json::from_str::<crate::Topic>(&format!("\"{kind}\"")).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_changed_list_brings_new_receivers_in_lets_others_go_and_the_rest_notice_nothing() {
    let (mut house, stays, goes, comes) = (House::new().await, Receiver::start(), Receiver::start(), Receiver::start());
    let named = |name: &str, receiver: &Receiver| Webhook { name: spec::Name::parse(name).unwrap(), ..webhook(&receiver.url(), "") };
    house.start_all(&[named("stays", &stays), named("goes", &goes)]).await;
    house.numbers(0..3).await;
    house.until_all("both have them", |all| all.iter().all(|one| one.sent == 3 && one.lag == 0)).await;
    let running = house.running.as_mut().unwrap();
    let without = [Webhook { secret_env: Some("UNSET".into()), ..named("comes", &comes) }];
    assert!(matches!(running.change(&without, &secret).await, Err(Error::NoSecret { .. })));
    assert_eq!(running.handle().all().len(), 2, "what cannot be changes nothing");
    let handle = running.handle();
    running.change(&[named("stays", &stays), named("comes", &comes)], &secret).await.unwrap();
    let names: Vec<String> = handle.all().iter().map(|one| one.name.to_string()).collect();
    assert_eq!(names, ["comes", "stays"], "whoever asked before is told of the new ones");
    house.numbers(3..6).await;
    house.until_all("they have the rest", |all| all.iter().all(|one| one.sent >= 3 && one.lag == 0)).await;
    assert_eq!((stays.messages(), goes.messages(), comes.messages()), (texts(0..6), texts(0..3), texts(3..6)));
    let places: Vec<String> = house.store.list_webhooks().await.unwrap().into_iter().map(|place| place.name).collect();
    assert_eq!(places, ["comes", "stays"]);
}

#[tokio::test]
async fn a_receiver_that_moves_goes_on_where_it_was_and_so_does_one_whose_secret_changes() {
    const OTHER: &str = "whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI=";
    let (mut house, first, second) = (House::new().await, Receiver::start(), Receiver::start());
    house.start(&webhook(&first.url(), "")).await;
    house.numbers(0..2).await;
    house.until("it has two", |standing| standing.sent == 2).await;
    let _nobody = first.stop().await;
    house.numbers(2..4).await;
    house.until("it fails", |standing| standing.state == State::Failing).await;
    let moved = webhook(&second.url(), "");
    house.running.as_mut().unwrap().change(std::slice::from_ref(&moved), &secret).await.unwrap();
    house.until("it has all", |standing| standing.sent == 4 && standing.lag == 0).await;
    assert_eq!(second.messages(), texts(2..4));
    let same = |house: &House| house.running.as_ref().unwrap().handle().get(&moved.name).unwrap().last_sent;
    house.running.as_mut().unwrap().change(std::slice::from_ref(&moved), &secret).await.unwrap();
    assert!(same(&house).is_some(), "one that is as it was is not begun anew");
    let other = |_: &str| Some(Secret::new(OTHER));
    house.running.as_mut().unwrap().change(std::slice::from_ref(&moved), &other).await.unwrap();
    assert!(same(&house).is_none(), "a new secret signs from now on");
}
