//! Does the store of the simulation answer as the real one?
//!
//! In: commands drawn from a seed. Out: the same answer of both to each of them, at the same made times. What the simulation shows of the
//! owner holds for the real store as far as this does.

use std::sync::mpsc;
use std::time::Duration;

use base::simulated::Simulated;
use base::{ByteSize, Secret, Timestamp, tasks};
use spec::deployment::Origin;
use spec::{
    Allocation, AllocationId, Cause, Deployment, EngineKind, Event, EventKind, InstanceId, Name, Operation, OperationId, OperationState,
    Revision, RolloutPhase, RolloutStatus,
};
use store::{FootprintKey, Kept, Mark};
use tempfile::TempDir;

use super::super::play::Dice;
use super::Rows;

const SEEDS: u64 = 4;
const COMMANDS: u64 = 400;
const NAMES: [&str; 3] = ["a", "b", "c"];
const BEGINS: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The real one, the other one, and how far each has been read.
struct Both {
    real: store::Store,
    made: Rows,
    marks: Option<(Mark, Mark)>,
    dice: Dice,
    said: Vec<String>,
    _dir: TempDir,
}

/// The same command to both.
macro_rules! same {
    ($both:ident, $name:ident($($argument:expr),*)) => {{
        let (real, made) = ($both.real.$name($($argument),*).await, $both.made.$name($($argument),*));
        $both.compare(stringify!($name), &format!("{real:?}"), &format!("{made:?}"));
    }};
}

impl Both {
    async fn open(seed: u64) -> Self {
        let dir = TempDir::new().unwrap();
        let real = store::Store::open(dir.path().join("penstock.db")).await.unwrap();
        Self { real, made: Rows::default(), marks: None, dice: Dice::of(seed), said: Vec::new(), _dir: dir }
    }

    #[track_caller]
    fn compare(&mut self, command: &str, real: &str, made: &str) {
        self.said.push(format!("{command}: {real}"));
        let before = &self.said[self.said.len().saturating_sub(12)..];
        assert_eq!(made, real, "{command} is answered otherwise than by the real store, after\n{}", before.join("\n"));
    }

    async fn wishes(&mut self) {
        let name = self.name();
        match self.dice.below(8) {
            0..3 => {
                let spec = self.spec(&name);
                let (real, made) = (self.real.put_deployment(&spec, Origin::Api, None).await, self.made.put_deployment(&spec));
                self.compare("put_deployment", &format!("{real:?}"), &format!("{:?}", Ok::<_, store::Error>(made)));
            }
            3 => same!(self, mark_deployment_deleting(&name)),
            4 => same!(self, remove_deployment(&name)),
            5 => same!(self, get_deployment(&name)),
            6 => {
                let expect = self.dice.below(6);
                same!(self, renew_deployment(&name, expect, "its tag has moved"));
            }
            _ => self.changes().await,
        }
    }

    /// Marks are good for the store that they came from.
    async fn changes(&mut self) {
        if self.dice.below(10) == 0 {
            self.marks = None;
        }
        let real = self.real.changes(self.marks.map(|(mark, _)| mark)).await.unwrap();
        let made = self.made.changes(self.marks.map(|(_, mark)| mark)).unwrap();
        if let (Some(real), Some(made)) = (&real, &made) {
            self.marks = Some((real.mark, made.mark));
        }
        let said = |changes: Option<store::Changes>| format!("{:?}", changes.map(|it| (it.deployments, it.whole, it.gone, it.routes)));
        self.compare("changes", &said(real), &said(made));
    }

    async fn revisions(&mut self) {
        let (name, number) = (self.name(), self.dice.below(6) + 1);
        match self.dice.below(5) {
            0 | 1 => {
                let mut spec = self.spec(&name);
                spec.rollout.revision_history = 2;
                same!(self, put_revision(&name, &Revision { number, spec: spec.clone(), version: None }, "a change"));
            }
            2 => same!(self, get_revision(&name, number)),
            3 => {
                let status = self.status(number);
                same!(self, put_rollout(&name, &status));
            }
            _ => same!(self, list_rollouts()),
        }
    }

    async fn instances(&mut self) {
        let id = InstanceId::new(format!("i{}", self.dice.below(4)));
        match self.dice.below(5) {
            0 | 1 => {
                let (deployment, key) = (self.name(), Secret::new("key"));
                let kept =
                    Kept { id, deployment, revision: self.dice.below(6) + 1, fence: self.dice.below(9), key, created_at: Timestamp::now() };
                same!(self, put_instance(&kept));
            }
            2 => same!(self, list_instances()),
            3 => same!(self, remove_instance(&id)),
            _ => same!(self, next_fence()),
        }
    }

    async fn rest(&mut self) {
        let (number, now) = (self.dice.below(4), Timestamp::now());
        match self.dice.below(8) {
            0 => {
                let over = self.dice.below(2) == 0;
                same!(self, put_operation(&operation(number, over, now)));
            }
            1 => {
                let limit = u32::try_from(number).unwrap() + 1;
                same!(self, list_operations(limit));
            }
            2 => same!(self, put_allocation(&allocation(number, now))),
            3 => same!(self, list_allocations()),
            4 => same!(self, remove_allocation(&AllocationId::new(format!("a{number}")))),
            5 => same!(self, put_footprint(&footprint(number), ByteSize(now.as_millis().unsigned_abs() % 1_000))),
            6 => {
                let (mut real, mut made) = (self.real.list_footprints().await.unwrap(), self.made.list_footprints().unwrap());
                real.sort();
                made.sort();
                self.compare("list_footprints", &format!("{real:?}"), &format!("{made:?}"));
            }
            _ => {
                let events = vec![Event::now(EventKind::Started, Cause::Penstock, "up"); usize::try_from(number).unwrap()];
                same!(self, append_events(&events));
                same!(self, models_changed());
            }
        }
    }

    fn name(&mut self) -> Name {
        Name::parse(NAMES[self.dice.at(NAMES.len())]).unwrap()
    }

    /// One of a few, so that a change is sometimes none.
    fn spec(&mut self, name: &Name) -> Deployment {
        let mut spec = Deployment::named(name.clone());
        spec.engine = Some(EngineKind::Echo);
        spec.env.insert("CHANGE".into(), self.dice.below(3).to_string());
        spec
    }

    fn status(&mut self, to: u64) -> RolloutStatus {
        let settings = spec::Rollout::default();
        let begun = RolloutStatus::first(self.dice.below(6) + 1, &settings, Timestamp::now()).aimed_at(to, &settings, Timestamp::now());
        let phase = [RolloutPhase::Progressing, RolloutPhase::Complete, RolloutPhase::RolledBack][self.dice.at(3)];
        let from = (self.dice.below(2) == 0).then(|| self.dice.below(6) + 1);
        RolloutStatus { phase, from, ..begun }
    }
}

fn operation(number: u64, over: bool, now: Timestamp) -> Operation {
    Operation {
        id: OperationId::new(format!("o{number}")),
        kind: "load".into(),
        target: Name::parse("a").unwrap(),
        project: None,
        state: if over { OperationState::Succeeded } else { OperationState::Running },
        progress: None,
        transfer: None,
        reason: None,
        message: now.to_string(),
        created_at: now,
        updated_at: now,
    }
}

fn allocation(number: u64, now: Timestamp) -> Allocation {
    Allocation {
        id: AllocationId::new(format!("a{number}")),
        node: "here".into(),
        device: "ram".into(),
        bytes: ByteSize(number),
        holder: "a batch".into(),
        expires_at: (number > 1).then_some(now),
        created_at: now,
        foreign: ByteSize(0),
    }
}

fn footprint(number: u64) -> FootprintKey {
    FootprintKey { digest: format!("d{number}"), build: "b".into(), arguments: String::new(), device: "ram".into() }
}

#[tokio::test(start_paused = true)]
async fn the_store_of_the_simulation_answers_every_command_as_the_real_one_does() {
    // While a thread is at work the paused clock stands: SQLite answers from threads of its own, and is waited for.
    let (done, work) = mpsc::channel::<()>();
    let stands = tasks::spawn("the clock stands", async move {
        let _ = tasks::blocking("the clock stands", move || work.recv()).await; // the sender is dropped in the end
    });
    for seed in 0..SEEDS {
        let _simulated = Simulated::begin(seed, BEGINS);
        let mut both = Both::open(seed).await;
        for _ in 0..COMMANDS {
            tokio::time::advance(Duration::from_millis(both.dice.below(3))).await;
            match both.dice.below(10) {
                0..4 => both.wishes().await,
                4..7 => both.revisions().await,
                7 => both.instances().await,
                _ => both.rest().await,
            }
        }
        both.real.close().await;
    }
    drop(done);
    stands.join().await;
}
