//! Nobody who has to act is left without a word of what to do, and the page about it is the code's own.

use std::fmt::Write as _;
use std::time::Duration;

use base::ByteSize;
use spec::{Exit, Phase, Reason, ReasonCode};

use super::values::{NOW, ago, item, name, wish, world};
use crate::life::{self, Next};
use crate::plan::{Action, plan};
use crate::world::{Health, Item, Resolve, Sight, Start};

/// A person has nothing to do about these: they pass, or are what somebody wanted.
const PASS_BY_THEMSELVES: [ReasonCode; 8] = [
    ReasonCode::InUse,
    ReasonCode::Idle,
    ReasonCode::Progressing,
    ReasonCode::KeepAliveOver,
    ReasonCode::ScaledDown,
    ReasonCode::Superseded,
    ReasonCode::ShuttingDown,
    ReasonCode::Asleep,
];

#[track_caller]
fn is_whole(reason: &Reason) {
    assert!(!reason.message.is_empty(), "{reason:?}");
    assert!(PASS_BY_THEMSELVES.contains(&reason.code) || !reason.remedy.is_empty(), "what is a person to do about {reason:?}?");
}

#[test]
fn every_code_is_listed_and_has_a_meaning_and_a_remedy_where_a_person_needs_one() {
    let known = serde_json::from_str::<ReasonCode>("\"?\"").expect_err("no code").to_string();
    for word in known.split('`').skip(3).step_by(2) {
        assert!(ReasonCode::ALL.iter().any(|code| code.as_str() == word), "{word} is not in the list of all");
    }
    for code in ReasonCode::ALL {
        assert_eq!(serde_json::to_string(&code).expect("a word"), format!("\"{}\"", code.as_str()));
        assert!(!code.about().meaning.is_empty(), "{code:?}");
        is_whole(&Reason::new(code, "m", ""));
    }
}

/// What can be seen of an instance.
fn sights() -> Vec<(Sight, Health)> {
    let exit = |code, signal, words: &str, spawn_error: Option<&str>| Exit {
        code,
        signal,
        last_lines: vec![words.to_owned()],
        spawn_error: spawn_error.map(str::to_owned),
        asked: false,
        at: NOW,
        lost: false,
    };
    let runs = || Sight::Running { pid: Some(1), resident: Some(ByteSize(1)) };
    let exits = [
        exit(Some(1), None, "", None),
        exit(None, Some(9), "", None),
        exit(None, None, "", None),
        exit(Some(1), None, "cudaMalloc failed: out of memory", None),
        exit(None, None, "", Some("no such file")),
    ];
    let down = Health::Down("no answer".into(), ago(Duration::from_hours(1)));
    let mut all: Vec<(Sight, Health)> = exits.into_iter().map(|exit| (Sight::Exited(exit), Health::Unknown)).collect();
    all.extend([Health::Unknown, Health::Loading, Health::Up, Health::Asleep, down].map(|health| (runs(), health)));
    all.push((Sight::Absent, Health::Unknown));
    all
}

#[test]
fn every_edge_of_every_phase_that_does_not_lead_to_ready_says_why() {
    let mut seen = std::collections::BTreeSet::new();
    for phase in Phase::ALL {
        for (sight, health) in sights() {
            for start in [Start::Pending, Start::Running, Start::Done, Start::Failed(Reason::new(ReasonCode::EngineMissing, "m", ""))] {
                for age in [Duration::ZERO, Duration::from_hours(2)] {
                    let begun = item("i", "a", phase);
                    let reason = Some(Reason::new(ReasonCode::Unloaded, "by hand", ""));
                    let since = ago(age);
                    let one = Item {
                        sight: sight.clone(),
                        health: health.clone(),
                        start: start.clone(),
                        since,
                        progress_at: since,
                        seen_at: None,
                        reason,
                        ..begun
                    };
                    match life::next(&one, NOW) {
                        Next::Fail(reason) => {
                            is_whole(&reason);
                            seen.insert(reason.code.as_str());
                        }
                        Next::Move(Phase::Ready, reason) => assert_eq!(reason, None, "{phase}"),
                        Next::Move(to, reason) => is_whole(&reason.unwrap_or_else(|| panic!("{phase} -> {to} says nothing"))),
                        Next::Stay | Next::Stop | Next::Forget => {}
                    }
                }
            }
        }
    }
    for code in ["engine_exited", "engine_rejected", "engine_missing", "out_of_memory", "start_timeout", "unresponsive"] {
        assert!(seen.contains(code), "{code} was never come by: {seen:?}");
    }
}

#[test]
fn every_state_of_a_deployment_that_is_not_ready_has_a_whole_reason() {
    let idle = || wish("a", |_| {});
    let missing = Reason::new(ReasonCode::ModelMissing, "gone", "");
    let worlds = [
        world(vec![idle()], vec![]),
        world(vec![wish("a", |wish| wish.resolve = Resolve::Pending)], vec![]),
        world(vec![wish("a", |wish| wish.resolve = Resolve::Failed(missing.clone(), NOW))], vec![]),
        world(vec![wish("a", |wish| wish.failure = Some(missing.clone()))], vec![]),
        world(vec![wish("a", |wish| wish.hand = crate::world::Hand::Unload)], vec![]),
    ];
    for world in worlds {
        let shown = crate::snapshot::whole(&world);
        is_whole(shown.deployments[&name("a")].reason.as_ref().expect("it is not ready"));
    }
}

#[test]
fn whatever_the_plan_moves_is_told_why() {
    let asks =
        |id: &str, bytes| Item { memory: ByteSize(bytes), start: Start::Pending, sight: Sight::Absent, ..item(id, "new", Phase::Pending) };
    let held = || Item { memory: ByteSize(90), ..item("h", "a", Phase::Ready) };
    for (wishes, items) in [
        (vec![wish("new", |w| w.demand.waiting = 1), wish("a", |_| {})], vec![held(), asks("p", 50)]),
        (vec![wish("new", |w| w.demand.waiting = 1), wish("a", |_| {})], vec![held(), asks("p", 5000)]),
        (vec![wish("a", |w| w.record.deleting = true)], vec![held()]),
        (vec![wish("a", |w| w.hand = crate::world::Hand::Unload)], vec![held()]),
        (vec![], vec![held()]),
    ] {
        for action in plan(&world(wishes, items)) {
            match action {
                Action::Move(_, Phase::Ready, _) => {}
                Action::Move(id, to, reason) => is_whole(&reason.unwrap_or_else(|| panic!("{id} -> {to} says nothing"))),
                Action::Fail(_, reason) => is_whole(&reason),
                _ => {}
            }
        }
    }
}

#[test]
fn the_page_of_reasons_is_up_to_date() {
    let mut table = String::from("| code | what it means | what to do |\n|---|---|---|\n");
    for code in ReasonCode::ALL {
        let about = code.about();
        let remedy = if about.remedy.is_empty() { "-" } else { about.remedy };
        writeln!(table, "| `{}` | {} | {remedy} |", code.as_str(), about.meaning).expect("a text");
    }
    let docs = include_str!("../../../../docs/reference/phases.md");
    assert!(docs.contains(&table), "docs/reference/phases.md must hold this table:\n{table}");
}
