//! Is a model's memory what Penstock says before it is loaded? Held against llama-server's own report and the kernel's.
//!
//! Every case is a generated model, served through the front door by the real llama-server: its estimate is read before it is
//! loaded, its report from its log, its memory from `/proc` after one short answer.

mod cases;
mod seen;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use app::serve::House;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::stage::{Stage, stop, until, within};
use cases::{Case, KINDS, cases};
use seen::{Report, rss};

/// What every estimate is held to.
const SHARE: f64 = 0.05;
const MOST_MIB: f64 = 400.0;
/// What holds of what llama-server reports.
const REPORT_SHARE: f64 = 0.005;
const REPORT_MIB: f64 = 0.5;
/// What holds of its memory: at full use it may be more than after one short answer, but hardly less.
const UNDER_SHARE: f64 = 0.03;
const UNDER_MIB: f64 = 8.0;
const OVER_SHARE: f64 = 0.05;
const OVER_MIB: f64 = 16.0;
/// All files are read and their digests taken, by a build that is not optimised.
const FILES_READ_WITHIN: Duration = Duration::from_mins(3);
/// Models that are loaded at the same time.
const AT_ONCE: usize = 2;

/// What was said of a case, and what came of it; in MiB.
#[derive(Debug, Clone)]
struct Row {
    case: Case,
    estimate: f64,
    buffers: f64,
    report: Report,
    real: f64,
}

impl Row {
    fn error(&self) -> f64 {
        (self.estimate - self.real) / self.real
    }
    fn allowed(&self, share: f64, mib: f64) -> f64 {
        (self.real * share).max(mib)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_will_take_is_known_before_it_is_loaded() {
    let Some(stage) = Stage::with_engine() else { return };
    for kind in KINDS {
        kind.write(stage.folder());
    }
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut config = "deployments:\n".to_owned();
    for case in &cases {
        config.push_str(&case.wish(stage.folder()));
    }
    let house = Arc::new(stage.house(&config).await);
    let client = stage.client(&house);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let rows = cases.into_iter().map(async |case| {
        let _place = places.acquire().await.expect("an open semaphore");
        try_out(&house, &client, case).await
    });
    let rows = futures_util::future::join_all(rows).await;
    println!("{}", table(&rows));
    stop(Arc::into_inner(house).expect("nobody else holds it")).await;
    check(&rows);
}

/// Loads a case, has it answer once, and looks.
async fn try_out(house: &House, client: &Client, case: Case) -> Row {
    let path = format!("/api/v1/deployments/{}", case.name);
    let estimate = within(FILES_READ_WITHIN, "its file is read", async || {
        let memory = client.get(&format!("{path}/explain")).await.json()["memory"].as_u64().unwrap_or(0);
        (memory > 0).then_some(memory)
    })
    .await;
    let (path_of_ask, ask) = case.ask();
    let reply = client.post(path_of_ask, &ask).await;
    assert_eq!(reply.status, 200, "{}: {}", case.name, reply.text);
    let snapshot = house.fleet();
    let one = snapshot.instances.iter().find(|one| one.deployment.as_str() == case.name && one.pid.is_some()).expect("an instance");
    let real = rss(one.pid.expect("a process"));
    let log = client.get(&format!("/api/v1/instances/{}/logs", one.id)).await;
    let report = Report::read(&log.text);
    let view = snapshot.deployments.values().find(|view| view.record.spec.name.as_str() == case.name).expect("a deployment");
    let memory = engine::engine(one.engine).memory(view.version.as_ref(), &view.record.spec);
    assert_eq!(client.post(&format!("{path}/unload"), &json!({})).await.status, 202);
    until("it is gone", async || house.fleet().instances.iter().all(|other| other.id != one.id).then_some(())).await;
    Row { estimate: mib(estimate), buffers: mib((memory.weights + memory.kv_cache).0), report, real, case }
}

fn mib(bytes: u64) -> f64 {
    u32::try_from(bytes >> 10).map_or(f64::MAX, |kib| f64::from(kib) / 1024.0)
}

fn table(rows: &[Row]) -> String {
    let heads = ["estimate", "real", "error", "buffers", "reported", "compute", "output"];
    let mut text = format!("{:<58}", "MiB");
    for head in heads {
        let _ = write!(text, "{head:>10}");
    }
    for row in rows {
        let Report { weights, context, compute, output } = row.report;
        let error = format!("{:.1}%", row.error() * 100.0);
        let _ = write!(text, "\n{:<58}{:>10.1}{:>10.1}{error:>10}", row.case.title(), row.estimate, row.real);
        let _ = write!(text, "{:>10.1}{:>10.1}{compute:>10.1}{output:>10.1}", row.buffers, weights + context);
    }
    text
}

fn check(rows: &[Row]) {
    for row in rows {
        let reported = row.report.weights + row.report.context;
        let off = (row.buffers - reported).abs();
        assert!(off <= (reported * REPORT_SHARE).max(REPORT_MIB), "{}: {off:.1} MiB off its own report", row.case.title());
        let (under, over) = (row.real - row.estimate, row.estimate - row.real);
        assert!(under <= row.allowed(SHARE, MOST_MIB), "{}: {under:.1} MiB under", row.case.title());
        assert!(under <= row.allowed(UNDER_SHARE, UNDER_MIB), "{}: {under:.1} MiB under", row.case.title());
        let untouched = row.report.compute * row.case.untouched();
        let most = row.real * OVER_SHARE + OVER_MIB + untouched;
        assert!(over <= most, "{}: {over:.1} MiB over, of which {untouched:.1} are buffers", row.case.title());
    }
    let mut errors: Vec<f64> = rows.iter().map(|row| (row.estimate - row.real).abs() - row.allowed(SHARE, MOST_MIB)).collect();
    errors.sort_by(f64::total_cmp);
    let at = (rows.len() * 95).div_ceil(100).saturating_sub(1);
    assert!(errors.get(at).is_some_and(|beyond| *beyond <= 0.0), "more than one in twenty is too far off: {errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_load_is_given_what_the_first_was_seen_to_take() {
    let Some(stage) = Stage::with_engine() else { return };
    let kind = KINDS[2];
    kind.write(stage.folder());
    let config = format!("deployments:\n{}", kind.plain("one", stage.folder()));
    let house = stage.house(&config).await;
    let client = stage.client(&house);
    let shown = async |client: &Client| {
        let all = client.get("/api/v1/instances").await.json();
        let one = all["items"].as_array().and_then(|items| items.first()).cloned().unwrap_or_default();
        (one["reserved"].as_u64().unwrap_or(0), one["measured"].as_bool(), one["memory"].as_u64().unwrap_or(0))
    };
    client.capital("one").await.said();
    let (estimate, measured, _) = shown(&client).await;
    assert_eq!(measured, Some(false), "nothing is known yet");
    // What is kept for the next one is what this one has had, once it is seen.
    let peak = until("it was measured", async || {
        let explained = client.get("/api/v1/deployments/one/explain").await.json()["memory"].as_u64()?;
        (explained != estimate).then_some(explained)
    })
    .await;
    stop(house).await;

    let house = stage.house(&config).await; // also after a start
    let client = stage.client(&house);
    client.capital("one").await.said();
    let (reserved, measured, _) = shown(&client).await;
    assert_eq!(measured, Some(true));
    assert!(reserved >= peak, "{reserved} is less than the {peak} that were seen");
    let status = client.get("/status").await.json();
    let held = status["instances"][0]["est_vram_mb"].as_u64().expect("a number");
    assert_eq!(held, reserved.div_ceil(1 << 20), "{status}");
    client.capital("one").await.said();
    let pid = house.fleet().instances.first().and_then(|one| one.pid).expect("a process");
    let (kept, real) = (mib(shown(&client).await.0), rss(pid));
    assert!((kept - real).abs() <= real * 0.02, "{kept:.1} MiB are kept for {real:.1}");
    assert!(mib(estimate) > real * 1.02, "the estimate is of full use: {:.1} MiB", mib(estimate));
    stop(house).await;
}
