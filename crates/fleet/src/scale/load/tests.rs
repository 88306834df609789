//! Load that rises, falls and flickers, with a clock of its own.

use std::time::Duration;

use base::{ByteSize, Timestamp};
use board::MemberUse;
use spec::Phase;
use spec::deployment::Targets;

use crate::plan::{Action, plan};
use crate::scale::{explain, target};
use crate::tests::values::{NOW, ago, item, name, room, wish, world};
use crate::world::{Item, World};

use super::*;

fn scaled(targets: Targets, max: u32) -> Wish {
    wish("a", |w| {
        let replicas = &mut w.record.spec.replicas;
        (replicas.max, replicas.target, replicas.down_after) = (max, targets, Duration::from_mins(5));
        w.record.spec.parallel = Some(8);
    })
}

fn concurrency(each: u32) -> Targets {
    Targets { concurrency: Some(each), ..Targets::default() }
}

fn items(count: u32, used: MemberUse) -> Vec<Item> {
    (0..count).map(|i| Item { used, memory: ByteSize(0), ..item(&format!("i{i}"), "a", Phase::Ready) }).collect()
}

fn worth_of(wish: &Wish, items: &[Item]) -> u32 {
    let serving: Vec<&Item> = items.iter().collect();
    worth(wish, &serving)
}

#[test]
fn each_part_of_a_target_asks_for_as_many_as_it_needs() {
    let calls = |running, waiting, targets| {
        let mut wish = scaled(targets, 9);
        (wish.demand.in_flight, wish.demand.waiting) = (running, waiting);
        wish
    };
    let idle = MemberUse::default();
    for (what, wish, items, expected) in [
        ("nobody", calls(0, 0, concurrency(4)), items(1, idle), 0),
        ("ten of four each", calls(8, 2, concurrency(4)), items(2, idle), 3),
        ("near enough", calls(21, 0, concurrency(10)), items(2, idle), 2),
        ("a step at most", calls(100, 0, concurrency(4)), items(1, idle), 5),
        ("twice at most", calls(1000, 0, concurrency(4)), items(6, idle), 12),
        ("from zero", calls(0, 9, concurrency(4)), vec![], 3),
        ("no line", calls(8, 1, Targets { queue: Some(2), ..Targets::default() }), items(1, idle), 1),
        ("a long line", calls(8, 20, Targets { queue: Some(2), ..Targets::default() }), items(1, idle), 4),
    ] {
        assert_eq!(worth_of(&wish, &items), expected, "{what}");
    }
    let slow = MemberUse { first_token: Some(Duration::from_millis(900)), ..MemberUse::default() };
    let quick = Targets { first_token: Some(Duration::from_millis(300)), ..Targets::default() };
    assert_eq!(worth_of(&calls(4, 0, quick.clone()), &items(1, slow)), 3);
    assert_eq!(worth_of(&calls(0, 0, quick.clone()), &items(2, slow)), 0, "old times of nobody");
    let mut rising = items(2, slow);
    rising[1].phase = Phase::Loading;
    assert_eq!(worth_of(&calls(4, 0, quick), &rising), 2, "what comes up is awaited");
    let mut full = items(2, idle);
    for item in &mut full {
        item.pulse.beat.load = Some(engine::Load { kv_use: Some(95), ..engine::Load::default() });
    }
    assert_eq!(worth_of(&calls(4, 0, Targets { kv_use: Some(60), ..Targets::default() }), &full), 4);
    let both = Targets { concurrency: Some(4), first_token: Some(Duration::from_millis(300)), ..Targets::default() };
    assert_eq!(worth_of(&calls(4, 0, both), &items(1, slow)), 3, "the largest wish counts");
}

#[test]
fn the_largest_number_of_the_window_holds_and_then_goes() {
    let window = Duration::from_mins(5);
    let at = |seconds| NOW.plus(Duration::from_secs(seconds));
    let mut lately = Lately::default();
    for (seconds, count, expected) in
        [(0, 2, 2), (10, 5, 5), (20, 1, 5), (200, 3, 5), (309, 1, 5), (311, 1, 3), (499, 1, 3), (501, 1, 1), (502, 4, 4)]
    {
        lately.note(count, at(seconds), window);
        assert_eq!(lately.most(), expected, "after {seconds} s");
    }
    lately.forget();
    assert_eq!(lately, Lately::default());
}

#[test]
fn it_never_asks_for_more_than_there_is_room_for_and_says_why() {
    let mut wish = scaled(concurrency(1), 200);
    wish.demand.in_flight = 50;
    wish.wanted.note(50, NOW, Duration::from_mins(5));
    let busy = MemberUse { in_flight: 8, last_used: Some(NOW), ..MemberUse::default() };
    let big = |i: u32| Item {
        used: busy,
        memory: ByteSize(30),
        sight: crate::world::Sight::Running { pid: None, resident: Some(ByteSize(30)) },
        ..item(&format!("i{i}"), "a", Phase::Ready)
    };
    let mut world = world(vec![wish], vec![big(0), big(1)]);
    world.room = room(100);
    world.room.nodes[0].devices[0].free = ByteSize(40);
    let (wish, serving) = (&world.wishes[&name("a")], world.items.values().collect::<Vec<_>>());
    assert_eq!(target(wish, &serving, &world).count, 3);
    let told = explain(wish, &serving, &world);
    assert_eq!((told.wanted, told.has, told.max), (3, 2, 200));
    let facts = |reason: &Reason| reason.facts.iter().map(|(name, fact)| format!("{name}={fact}")).collect::<Vec<_>>().join(" ");
    let because: Vec<_> = told.because.iter().map(|reason| (reason.code, facts(reason))).collect();
    let expected = [
        (ReasonCode::Concurrency, "calls=50 each=1 instances=50"),
        (ReasonCode::RecentLoad, "instances=50 window_ms=300000"),
        (ReasonCode::NoRoom, "room_instances=3 wanted=50"),
    ];
    assert_eq!(because, expected.map(|(code, facts)| (code, facts.to_owned())));
    assert!(told.because.iter().all(|reason| !reason.message.is_empty() && !reason.remedy.is_empty()), "{:?}", told.because);
}

#[test]
fn what_load_was_worth_before_everybody_left_makes_no_other_model_leave() {
    let used = |mut wish: Wish| {
        wish.wanted.note(1, NOW, Duration::from_mins(5)); // somebody called it a moment ago
        wish
    };
    let targets = |name: &str| {
        used(wish(name, |w| {
            (w.record.spec.replicas.max, w.record.spec.replicas.target) = (2, concurrency(4));
        }))
    };
    let there = Item { memory: ByteSize(80), ..item("i", "a", Phase::Ready) };
    let mut world = world(vec![targets("a"), targets("b")], vec![there]);
    assert_eq!(plan(&world), vec![], "nobody calls either of them");
    world.wishes.get_mut(&name("b")).unwrap().demand.waiting = 1;
    assert_eq!(plan(&world), vec![Action::Create(name("b"), 1)]);
    world.wishes.get_mut(&name("b")).unwrap().wanted.note(2, NOW, Duration::from_mins(5));
    assert_eq!(plan(&world), vec![Action::Create(name("b"), 1)], "the second one comes if there is room beside the first");
}

#[test]
fn every_part_of_a_decision_has_a_code_its_numbers_and_what_to_do() {
    let of = |change: fn(&mut Wish), items: Vec<Item>| {
        let mut wish = scaled(Targets::default(), 9);
        change(&mut wish);
        let world = world(vec![wish], items);
        let told = explain(&world.wishes[&name("a")], &world.items.values().collect::<Vec<_>>(), &world);
        told.because
    };
    let slow = MemberUse { first_token: Some(Duration::from_millis(900)), in_flight: 4, last_used: Some(NOW), ..MemberUse::default() };
    let mut full = items(1, slow);
    full[0].pulse.beat.load = Some(engine::Load { kv_use: Some(95), ..engine::Load::default() });
    let mut unused = items(1, MemberUse::default());
    unused[0].since = ago(Duration::from_hours(1));
    let mut seen = std::collections::BTreeSet::new();
    for because in [
        of(|_| {}, unused),
        of(|_| {}, items(2, slow)),
        of(|wish| wish.record.spec.pinned = true, items(1, slow)),
        of(
            |wish| {
                let all = Targets { queue: Some(2), first_token: Some(Duration::from_millis(300)), kv_use: Some(60), ..concurrency(1) };
                (wish.record.spec.replicas.target, wish.record.spec.replicas.max, wish.demand.in_flight) = (all, 1, 4);
                wish.wanted.note(4, NOW, Duration::from_mins(5));
            },
            full,
        ),
    ] {
        assert!(!because.is_empty());
        for reason in because {
            let passes = matches!(reason.code, ReasonCode::InUse);
            assert!(!reason.facts.is_empty() && (passes || !reason.remedy.is_empty()), "{reason:?}");
            seen.insert(reason.code.as_str());
        }
    }
    let expected = ["bounds", "concurrency", "first_token", "in_use", "keep_alive_over", "kv_use", "max_reached", "queue", "recent_load"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_decided_is_the_part_that_asks_for_the_most_or_what_was_wanted_before() {
    let idle = MemberUse::default();
    let mut wish = scaled(Targets { queue: Some(1), ..concurrency(4) }, 9);
    (wish.demand.in_flight, wish.demand.waiting) = (10, 2);
    let all = items(1, idle);
    let serving: Vec<&Item> = all.iter().collect();
    wish.wanted.note(worth(&wish, &serving), NOW, Duration::from_mins(5));
    assert_eq!(decided(&wish, &serving).code, ReasonCode::Concurrency);
    (wish.demand.in_flight, wish.demand.waiting) = (0, 0);
    let fallen = decided(&wish, &serving);
    assert_eq!((fallen.code, fallen.fact("instances").as_deref()), (ReasonCode::RecentLoad, Some("3")));
}

/// A deployment under a load: instances take a while to load, calls come by chance.
struct Play {
    world: World,
    dice: u64,
    born: u32,
    /// How often the number of instances went up, and down.
    moves: (u32, u32),
}

const LOAD: Duration = Duration::from_secs(20);

impl Play {
    fn new(each: u32, max: u32) -> Self {
        Self { world: world(vec![scaled(concurrency(each), max)], vec![]), dice: 7, born: 0, moves: (0, 0) }
    }

    /// Between 0 and 1.
    fn roll(&mut self) -> f64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.dice >> 33).unwrap()) / f64::from(1_u32 << 31)
    }

    fn has(&self) -> u32 {
        u32::try_from(self.world.items.len()).unwrap()
    }

    /// One second with so many calls, give or take.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
    fn second(&mut self, calls: f64, noise: f64) {
        self.world.now = self.world.now.plus(Duration::from_secs(1));
        let now = self.world.now;
        let calls = (calls * (1.0 + noise * (2.0 * self.roll() - 1.0))).round() as u32;
        for item in self.world.items.values_mut() {
            if item.phase == Phase::Loading && now.since(item.created_at) >= LOAD {
                item.phase = Phase::Ready;
            }
        }
        let ready: Vec<_> = self.world.items.values().filter(|item| item.phase == Phase::Ready).map(|item| item.id.clone()).collect();
        let running = calls.min(8 * u32::try_from(ready.len()).unwrap());
        for (at, id) in ready.iter().enumerate() {
            let share = (running + u32::try_from(ready.len() - 1 - at).unwrap()) / u32::try_from(ready.len()).unwrap();
            let item = self.world.items.get_mut(id).unwrap();
            item.used =
                MemberUse { in_flight: share, last_used: if share > 0 { Some(now) } else { item.used.last_used }, ..MemberUse::default() };
        }
        let wish = self.world.wishes.get_mut(&name("a")).unwrap();
        (wish.demand.in_flight, wish.demand.waiting) = (running, calls - running);
        let serving: Vec<&Item> = self.world.items.values().collect();
        let worth = worth(wish, &serving);
        wish.wanted.note(worth, now, wish.record.spec.replicas.down_after);
        let wanted = target(&self.world.wishes[&name("a")], &serving, &self.world).count;
        self.follow(wanted, now);
    }

    fn follow(&mut self, wanted: u32, now: Timestamp) {
        let has = self.has();
        self.moves = (self.moves.0 + u32::from(wanted > has), self.moves.1 + u32::from(wanted < has));
        for _ in has..wanted {
            self.born += 1;
            let id = format!("i{}", self.born);
            let fresh =
                Item { created_at: now, since: now, memory: ByteSize(0), used: MemberUse::default(), ..item(&id, "a", Phase::Loading) };
            self.world.items.insert(fresh.id.clone(), fresh);
        }
        let idle: Vec<_> = self.world.items.keys().take(has.saturating_sub(wanted) as usize).cloned().collect();
        for id in idle {
            self.world.items.remove(&id);
        }
    }

    fn run(&mut self, minutes: u32, calls: f64, noise: f64) {
        for _ in 0..minutes * 60 {
            self.second(calls, noise);
        }
    }
}

#[test]
fn under_noise_it_comes_to_the_right_number_and_stays_there() {
    for (calls, noise, least, most) in [(20.0, 0.0, 5, 5), (20.0, 0.3, 5, 7), (6.0, 0.5, 2, 3), (40.0, 0.2, 10, 12)] {
        let mut play = Play::new(4, 20);
        play.run(10, calls, noise);
        let (born, moves) = (play.born, play.moves);
        assert!((least..=most).contains(&play.has()), "{} for {calls} calls", play.has());
        play.run(120, calls, noise);
        assert!((least..=most).contains(&play.has()), "{} for {calls} calls after two hours", play.has());
        let later = (play.moves.0 - moves.0, play.moves.1 - moves.1);
        assert!(play.born - born <= 8 && later.0 <= 8 && later.1 <= 8, "{later:?} moves in two hours at {calls} calls");
    }
}

#[test]
fn it_follows_a_step_up_at_once_and_a_step_down_after_its_window_and_goes_to_zero() {
    let mut play = Play::new(4, 20);
    play.run(10, 8.0, 0.1);
    assert!((2..=3).contains(&play.has()));
    play.run(2, 32.0, 0.1);
    assert!((8..=10).contains(&play.has()), "{}", play.has());
    play.run(4, 8.0, 0.1);
    assert!(play.has() >= 8, "the window holds: {}", play.has());
    play.run(3, 8.0, 0.1);
    assert!((2..=3).contains(&play.has()), "{}", play.has());
    play.run(6, 0.0, 0.0);
    assert_eq!(play.has(), 0, "its keep-alive is over");
    play.run(1, 4.0, 0.0);
    assert_eq!(play.has(), 1);
}

#[test]
fn load_that_flips_every_minute_moves_nothing_once_its_peak_is_known() {
    let mut play = Play::new(4, 20);
    for minute in 0..4_u32 {
        play.run(1, if minute % 2 == 0 { 30.0 } else { 4.0 }, 0.1);
    }
    let (born, has) = (play.born, play.has());
    for minute in 0..60_u32 {
        play.run(1, if minute % 2 == 0 { 30.0 } else { 4.0 }, 0.1);
    }
    assert!(play.born - born <= 2 && play.has().abs_diff(has) <= 1, "{} were started, {has} then {}", play.born - born, play.has());
}

#[test]
fn a_schedule_opens_and_closes_and_a_pin_holds_within_it() {
    let scheduled = |text: &str| {
        wish("a", |w| {
            w.record.spec.replicas.schedule = vec![serde_json::from_str(text).unwrap()];
            w.record.spec.replicas.max = 4;
        })
    };
    let count = |wish: Wish| {
        let world = world(vec![wish], vec![]);
        target(&world.wishes[&name("a")], &[], &world).count
    };
    // The clock of the tests stands at midnight, on a Friday.
    assert_eq!(count(scheduled(r#"{"days": ["fri"], "from": "00:00", "to": "08:00", "min": 3}"#)), 3);
    assert_eq!(count(scheduled(r#"{"days": ["sat"], "from": "00:00", "to": "08:00", "min": 3}"#)), 0);
    let mut closed = scheduled(r#"{"from": "00:00", "to": "08:00", "max": 0, "min": 0}"#);
    (closed.demand.waiting, closed.record.spec.pinned) = (5, true);
    assert_eq!(count(closed), 0, "nothing runs then, whoever asks");
}
