//! Load, unload, crash, over and over: what Penstock holds is in the end what it held at first.

use std::time::Instant;

use hyper::Method;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::depot::{Depot, Model, ask, model, order};
use super::processes;
use crate::client::Client;
use crate::process::Process;
use crate::stage::{number, until};

/// Ways in which a life ends.
const ENDS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn loads_unloads_and_crashes_leave_descriptors_processes_and_memory_as_they_were() {
    let cycles = number("PENSTOCK_TEST_CYCLES", 30);
    let depot = Depot::with_room_for(5);
    let models = [model("plain"), model("deaf").does("IGNORE_TERM", 1), model("forks").does("LEAVE", "session")];
    let mut process = Process::start(&depot.stage, &depot.config(&models)).await;
    let client = process.client.clone();
    // The first cycles open what stays open.
    for cycle in 0..ENDS {
        live(&depot, &process, cycle).await;
    }
    let resting = || (processes::descriptors(process.pid()), processes::children(process.pid()).len());
    until("all has ended", async || (processes::children(process.pid()).is_empty()).then_some(())).await;
    let (before, begun) = (resting(), Instant::now());
    for cycle in 0..usize::try_from(cycles).expect("a number") {
        live(&depot, &process, cycle).await;
    }
    until("connections are closed, and keepers gone", async || {
        let now = resting();
        (now.0 <= before.0 && now.1 <= before.1).then_some(())
    })
    .await;
    println!("{cycles} cycles in {:?}; descriptors and children {before:?} before, {:?} after", begun.elapsed(), resting());
    let zombies: Vec<_> = processes::children(process.pid()).into_iter().filter(|child| child.state == 'Z').collect();
    assert!(zombies.is_empty(), "{zombies:?}");
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    assert_eq!(client.get("/readyz").await.status, 200);
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    depot.is_empty("penstock has ended").await;
}

/// One life of one model, and its end.
async fn live(depot: &Depot, process: &Process, cycle: usize) {
    let client = &process.client;
    match cycle % ENDS {
        0 => unloaded(depot, client, "plain").await,
        1 => unloaded(depot, client, "forks").await,
        2 => {
            // It takes TERM, TERM and KILL; nobody waits for that but the end of the test.
            ask(client, "deaf").await.said();
            order(client, "deaf", "unload").await;
        }
        3 => {
            made(depot, client, &model("crashes").does("CRASH_AT_TOKEN", 3)).await;
            assert_eq!(ask(client, "crashes").await.status, 502);
            deleted(depot, client, "crashes").await;
        }
        _ => {
            made(depot, client, &model("killed")).await;
            ask(client, "killed").await.said();
            let instances = client.get("/api/v1/instances").await.json();
            let killed = instances["items"].as_array().expect("instances").iter().find(|one| one["deployment"] == "killed");
            let pid = killed.and_then(|one| one["pid"].as_i64()).unwrap_or_else(|| panic!("{instances}"));
            kill(Pid::from_raw(i32::try_from(pid).expect("a pid")), Signal::SIGKILL).expect("it lives");
            deleted(depot, client, "killed").await;
        }
    }
}

async fn unloaded(depot: &Depot, client: &Client, model: &str) {
    ask(client, model).await.said();
    order(client, model, "unload").await;
    until("its memory is free", async || depot.holders(model).is_empty().then_some(())).await;
}

/// A deployment that fails is not started again for longer and longer; a new one has not failed yet.
async fn made(depot: &Depot, client: &Client, model: &Model) {
    let reply = client.post("/api/v1/deployments", &depot.wish(model)).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
}

async fn deleted(depot: &Depot, client: &Client, model: &str) {
    let path = format!("/api/v1/deployments/{model}");
    let reply = client.ask(Method::DELETE, &path, "".into()).await;
    assert!(reply.status < 300, "{}", reply.text);
    until("it is gone", async || (client.get(&path).await.status == 404).then_some(())).await;
    assert!(depot.holders(model).is_empty());
}
