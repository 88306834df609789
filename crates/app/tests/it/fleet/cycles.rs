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

/// Ways in which a life ends, all of them at once in each round.
const ENDS: usize = 4;
/// One that has to be killed takes TERM, TERM and KILL, and is therefore made in one of so many rounds.
const DEAF_EVERY: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn loads_unloads_and_crashes_leave_descriptors_processes_and_memory_as_they_were() {
    let cycles = usize::try_from(number("PENSTOCK_TEST_CYCLES", 40)).expect("a number");
    let depot = Depot::with_room_for(8);
    let models = [light("plain"), light("deaf").does("IGNORE_TERM", 1), light("forks").does("LEAVE", "session")];
    let mut process = Process::start(&depot.stage, &depot.config(&models)).await;
    // The first rounds open what stays open.
    for round in 0..2 {
        live(&depot, &process, round).await;
    }
    until("all has ended", async || (processes::children(process.pid()).is_empty() && depot.instances() == 0).then_some(())).await;
    let pid = process.pid();
    let resting = || [processes::descriptors(pid), processes::sockets(pid), processes::children(pid).len(), depot.instances()];
    let (before, memory, begun) = (resting(), processes::resident(process.pid()), Instant::now());
    for round in 0..cycles.div_ceil(ENDS) {
        live(&depot, &process, round).await;
    }
    let took = begun.elapsed();
    until("connections are closed, and keepers gone", async || {
        let now = resting();
        now.iter().zip(before).all(|(now, before)| *now <= before).then_some(())
    })
    .await;
    let (after, holds) = (resting(), depot.book().holds);
    println!("{cycles} cycles in {took:?}; descriptors, sockets, children, instances {before:?} before, {after:?} after; {holds:?} held");
    println!("penstock had {memory} of memory before and {} after", processes::resident(process.pid()));
    let zombies: Vec<_> = processes::children(process.pid()).into_iter().filter(|child| child.state == 'Z').collect();
    assert!(zombies.is_empty() && holds.is_empty(), "{zombies:?} {holds:?}");
    assert!(depot.book().refused.is_empty(), "{:?}", depot.book().refused);
    assert_eq!(process.client.get("/readyz").await.status, 200);
    process.signal(Signal::SIGTERM);
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    depot.is_empty("penstock has ended").await;
}

/// A model whose engine does not really fill the memory that it takes.
fn light(name: &str) -> Model {
    model(name).does("FILL", 0)
}

/// One life of each model, and its end.
async fn live(depot: &Depot, process: &Process, round: usize) {
    let client = &process.client;
    let deaf = async {
        if round.is_multiple_of(DEAF_EVERY) {
            ask(client, "deaf").await.said();
            order(client, "deaf", "unload").await;
        }
    };
    let crashed = async {
        made(depot, client, &light("crashes").does("CRASH_AT_TOKEN", 3)).await;
        assert_eq!(ask(client, "crashes").await.status, 502);
        deleted(depot, client, "crashes").await;
    };
    let killed = async {
        made(depot, client, &light("killed")).await;
        ask(client, "killed").await.said();
        let holders = depot.holders("killed");
        let pid = Pid::from_raw(i32::try_from(*holders.first().expect("an engine")).expect("a pid"));
        kill(pid, Signal::SIGKILL).expect("it lives");
        deleted(depot, client, "killed").await;
    };
    tokio::join!(unloaded(depot, client, "plain"), unloaded(depot, client, "forks"), deaf, crashed, killed);
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
    let path = format!("/v1/models/{}", model.name);
    until("it is served", async || (client.get(&path).await.status == 200).then_some(())).await;
}

async fn deleted(depot: &Depot, client: &Client, model: &str) {
    let path = format!("/api/v1/deployments/{model}");
    let reply = client.ask(Method::DELETE, &path, "".into()).await;
    assert!(reply.status < 300, "{}", reply.text);
    until("it is gone", async || (client.get(&path).await.status == 404).then_some(())).await;
    assert!(depot.holders(model).is_empty());
}
