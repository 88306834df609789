//! A token that is changed or taken back is so for every call that begins after the answer: whatever runs at that moment, and however busy the
//! machine is, since what is compared is what came before what.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base::tasks::{self, Task};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::client::{Client, capital};
use crate::stage::{PATIENCE, Stage, number, stop};

const CALLERS: usize = 4;

/// A call: when it began and was answered, and how.
#[derive(Debug, Clone, Copy)]
struct Call {
    began: Instant,
    ended: Instant,
    status: u16,
}

/// Callers with one token, who ask without a pause, each on a connection of its own.
struct Callers {
    calls: Arc<Mutex<Vec<Call>>>,
    one_more: Arc<Notify>,
    over: Arc<AtomicBool>,
    tasks: Vec<Task>,
}

impl Callers {
    /// From an address of their own: tokens that are taken back are wrong ones, and many wrong ones from one address are guesses.
    fn begin(client: &Client, from: IpAddr) -> Self {
        let (calls, one_more, over) = (Arc::<Mutex<Vec<Call>>>::default(), Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let body = Bytes::from(capital("echo").to_string());
        let caller = |_| {
            let (client, body) = (client.clone(), body.clone());
            let (calls, one_more, over) = (Arc::clone(&calls), Arc::clone(&one_more), Arc::clone(&over));
            tasks::spawn("caller", async move {
                let mut line = client.line_from(from).await;
                while !over.load(Ordering::Acquire) {
                    let began = Instant::now();
                    let status = line.post("/v1/chat/completions", body.clone()).await.status;
                    calls.lock().expect("no panic").push(Call { began, ended: Instant::now(), status });
                    one_more.notify_one();
                }
            })
        };
        let tasks = (0..CALLERS).map(caller).collect();
        Self { calls, one_more, over, tasks }
    }

    /// Waits until as many calls as there are callers have begun after this moment, and been answered.
    async fn go_on_after(&self, moment: Instant) {
        let enough = async {
            while self.calls.lock().expect("no panic").iter().filter(|call| call.began > moment).count() < CALLERS {
                self.one_more.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.expect("they go on");
    }

    async fn end(self) -> Vec<Call> {
        self.over.store(true, Ordering::Release);
        for task in self.tasks {
            task.join().await;
        }
        let calls = self.calls.lock().expect("no panic");
        calls.clone()
    }
}

/// When a change was asked for, and when it was answered.
#[derive(Clone, Copy)]
struct Change {
    asked: Instant,
    answered: Instant,
}

async fn change(admin: &Client, callers: &Callers, (method, path, body): (Method, &str, &Value)) -> Change {
    let asked = Instant::now();
    let reply = admin.ask(method, path, Bytes::from(body.to_string())).await;
    let answered = Instant::now();
    assert!((200..300).contains(&reply.status), "{} {}", reply.status, reply.text);
    callers.go_on_after(answered).await;
    Change { asked, answered }
}

/// What is measured of one token: how long each change took, and how long after it was asked for calls went on as before.
struct Measured {
    answered: Duration,
    went_on: Duration,
}

/// One token, from its first call to its end.
async fn life_of_a_token(admin: &Client, round: usize) -> Measured {
    let made = admin.post("/api/v1/tokens", &json!({"name": format!("t{round}")})).await.json();
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().expect("an id"));
    let [high, low] = u16::try_from(round + 1).expect("a small number").to_be_bytes();
    let callers = Callers::begin(&admin.with_token(made["token"].as_str()), IpAddr::V4(Ipv4Addr::new(127, 77, high, low)));
    callers.go_on_after(Instant::now()).await;
    let narrowed = change(admin, &callers, (Method::PATCH, &path, &json!({"models": ["another"]}))).await;
    let widened = change(admin, &callers, (Method::PATCH, &path, &json!({"models": null}))).await;
    let revoked = change(admin, &callers, (Method::DELETE, &path, &Value::Null)).await;
    let calls = callers.end().await;
    for call in &calls {
        let within = |from: Instant, to: Instant| call.began > from && call.ended < to;
        let wanted = match call {
            _ if call.ended < narrowed.asked || within(widened.answered, revoked.asked) => 200,
            _ if within(narrowed.answered, widened.asked) => 403,
            _ if call.began > revoked.answered => 401,
            _ => continue, // it ran while the change was made
        };
        assert_eq!(call.status, wanted, "round {round}: {:?} after the last change was answered", call.began - revoked.answered);
    }
    let last = calls.iter().filter(|call| call.status == 200).map(|call| call.began).max().expect("calls that were admitted");
    Measured { answered: revoked.answered - revoked.asked, went_on: last.saturating_duration_since(revoked.asked) }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_that_begins_after_the_answer_is_admitted_by_what_the_token_was_before() {
    let stage = Stage::new();
    let house = stage.house("deployments:\n  - { name: echo, engine: echo, parallel: 8, replicas: { min: 1 } }\n").await;
    let admin = stage.client(&house);
    admin.capital("echo").await.said();
    let rounds = usize::try_from(number("PENSTOCK_TEST_REVOCATIONS", 500)).expect("not so many");
    let (mut answered, mut went_on) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let measured = life_of_a_token(&admin, round).await;
        answered.push(measured.answered);
        went_on.push(measured.went_on);
    }
    println!(
        "revocations: {rounds} tokens, {CALLERS} callers each, 3 changes each; none of the calls that began after an answer went by what was before"
    );
    for (what, mut all) in [("answered after", answered), ("last admitted call began, after it was asked for,", went_on)] {
        all.sort_unstable();
        let at = |share: usize| all[(all.len() - 1) * share / 100];
        let soon = all.iter().filter(|one| **one <= Duration::from_millis(5)).count();
        println!("  {what} p50 {:?}, p90 {:?}, p99 {:?}, most {:?}; within 5 ms {soon} of {rounds}", at(50), at(90), at(99), at(100));
    }
    stop(house).await;
}
