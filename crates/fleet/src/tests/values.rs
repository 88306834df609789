//! Wishes, instances and worlds by value.

use std::sync::Arc;
use std::time::Duration;

use base::{ByteSize, Secret, Timestamp};
use board::{Demand, MemberUse};
use spec::deployment::{Origin, Record};
use spec::{Deployment, Device, DeviceKind, EngineKind, InstanceId, Name, Node, Phase, Revision, RolloutPhase, RolloutStatus};

use crate::scale::Lately;
use crate::world::{Hand, Health, Item, Resolve, Room, Sight, Start, Wish, World};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(86_400_000);

pub(crate) fn ago(time: Duration) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - i64::try_from(time.as_millis()).unwrap())
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn revision(deployment: &str, number: u64) -> Arc<Revision> {
    let mut spec = Deployment::named(name(deployment));
    spec.engine = Some(EngineKind::Echo);
    Arc::new(Revision { number, spec, version: None })
}

pub(crate) fn wish(deployment: &str, change: impl FnOnce(&mut Wish)) -> Wish {
    let revision = revision(deployment, 1);
    let record = Record {
        spec: revision.spec.clone(),
        generation: 1,
        origin: Origin::Api,
        deleting: false,
        created_at: ago(Duration::ZERO),
        updated_at: NOW,
        cause: String::new(),
    };
    let demand = Demand { deployment: name(deployment), waiting: 0, in_flight: 0, last_used: None, keep_alive: None };
    let mut wish = Wish {
        record,
        demand,
        resolve: Resolve::Done(revision),
        hand: Hand::Off,
        failures: 0,
        restarts: crate::restart::Restarts::default(),
        retry_at: None,
        failure: None,
        load_ms: None,
        memory: ByteSize(0),
        rollout: served(1),
        unsaved: false,
        notice: None,
        fetching: crate::fetching::Fetching::default(),
        stable: Some(self::revision(deployment, 1)),
        refused: None,
        wanted: Lately::default(),
        interrupted: None,
    };
    change(&mut wish);
    wish
}

/// A rollout that is over: this revision serves.
pub(crate) fn served(number: u64) -> RolloutStatus {
    RolloutStatus { phase: RolloutPhase::Complete, ..RolloutStatus::first(number, &spec::Rollout::default(), ago(Duration::from_hours(1))) }
}

/// The same wish changed: its next revision is frozen and to be rolled out.
pub(crate) fn changed(mut wish: Wish) -> Wish {
    let number = wish.record.generation + 1;
    wish.record.generation = number;
    wish.rollout = wish.rollout.aimed_at(number, &wish.record.spec.rollout, NOW);
    let newer = Revision { number, spec: wish.record.spec.clone(), version: None };
    wish.resolve = Resolve::Done(Arc::new(newer));
    wish
}

pub(crate) fn item(id: &str, deployment: &str, phase: Phase) -> Item {
    Item {
        id: InstanceId::new(id),
        deployment: name(deployment),
        revision: revision(deployment, 1),
        fence: 1,
        engine: EngineKind::Echo,
        runtime: spec::RuntimeKind::Process,
        phase,
        since: ago(Duration::from_secs(1)),
        reason: None,
        cause: spec::Cause::Unknown,
        memory: ByteSize(40),
        measured: false,
        on_card: None,
        peak: ByteSize(0),
        noted: ByteSize(0),
        build: String::new(),
        grant: spec::Grant::default(),
        slots: 1,
        endpoint: None,
        key: Secret::new("k"),
        created_at: ago(Duration::from_secs(2)),
        launched_at: Some(ago(Duration::from_millis(1100))),
        ready_at: Some(ago(Duration::from_secs(1))),
        start: Start::Done,
        sight: Sight::Running { pid: Some(1), resident: None },
        seen_at: Some(NOW),
        health: Health::Up,
        used: MemberUse { in_flight: 0, last_used: Some(ago(Duration::from_secs(1))), ejected: false, ..MemberUse::default() },
        pulse: crate::pulse::Pulse::default(),
        nap: crate::sleep::Nap::default(),
        progress_at: ago(Duration::from_secs(1)),
        log_lines: 0,
        stop_asked: None,
        cleared: None,
    }
}

pub(crate) fn room(total: u64) -> Room {
    let device = Device::new("ram", DeviceKind::Ram, ByteSize(total), ByteSize(total));
    Room {
        nodes: vec![Node { name: "here".into(), cores: 2, devices: vec![device] }],
        patience: Duration::from_secs(20),
        ..Room::default()
    }
}

pub(crate) fn world(wishes: Vec<Wish>, items: Vec<Item>) -> World {
    World {
        now: NOW,
        drift: 0,
        stopping: None,
        wishes: wishes.into_iter().map(|wish| (wish.record.spec.name.clone(), wish)).collect(),
        routes: board::Shelf::default(),
        items: items.into_iter().map(|item| (item.id.clone(), item)).collect(),
        leaving: Vec::new(),
        room: room(100),
        footprints: crate::footprints::Footprints::default(),
    }
}
