//! Three holders, one admission: all or nothing, never beyond a limit, everything back.

use std::sync::atomic::{AtomicU64, Ordering};

use base::Fault as _;
use base::Retry;
use proptest::prelude::*;
use spec::{Project, Token, TokenId, Usd};

use super::*;
use crate::holder::Shared;
use crate::permit::Used;
use crate::words::Resource;

fn holding(token: &Token, shared: &Arc<Shared>) -> Caller {
    let roles = crate::roles::Roles::new([]);
    let allowance = Arc::new(crate::allowance::Allowance::new(crate::allowance::Said::by(token), &roles));
    let of = crate::caller::Of { allowance, owner: None, shared: Some(Arc::clone(shared)) };
    Caller::holding(token, crate::text::Hash::of_nobody(), of)
}

fn token(limits: Limits, budget: Budget) -> Token {
    Token {
        id: TokenId::new("t"),
        name: "t".to_owned(),
        prefix: String::new(),
        hash: String::new(),
        project: Some("red".to_owned()),
        owner: None,
        scopes: vec![],
        role: None,
        rights: spec::Rights::NONE,
        models: None,
        limits,
        budget,
        expires_at: None,
        created_at: Timestamp::now(),
        from_login: false,
        exchanged: false,
        last_used_at: None,
    }
}

#[derive(Debug, Clone, Default)]
struct Terms3 {
    token: (Limits, Budget),
    project: (Limits, Budget),
    deployment: (Limits, Budget),
    prices: Prices,
}

struct Room {
    caller: Arc<Caller>,
    shared: Arc<Shared>,
    gate: Arc<Gate>,
    terms: Terms3,
}

impl Room {
    fn new(terms: Terms3) -> Self {
        let shared = Arc::new(Shared::new("red"));
        let now = Timestamp::now();
        let (limits, budget) = terms.project.clone();
        let name = spec::Name::parse("red").expect("a name");
        shared.project.store(Some(Arc::new(Project {
            name,
            description: None,
            limits,
            budget,
            quota: spec::Allotment::default(),
            created_at: now,
            updated_at: now,
        })));
        let (limits, budget) = terms.token.clone();
        let caller = Arc::new(holding(&token(limits, budget), &shared));
        Self { caller, shared, gate: Arc::new(Gate::new("tiny")), terms }
    }

    fn ask(&self, input: u64, max_tokens: Option<u64>) -> Ask<'_> {
        Ask {
            caller: &self.caller,
            gate: &self.gate,
            limits: &self.terms.deployment.0,
            budget: &self.terms.deployment.1,
            prices: &self.terms.prices,
            input,
            answers: 1,
            max_tokens,
            context: None,
        }
    }

    fn admit(&self, input: u64, max_tokens: impl Into<Option<u64>>) -> Result<Permit, Error> {
        admit(&self.ask(input, max_tokens.into()))
    }

    /// Of each holder: what is gone of the day's budget.
    fn gone(&self) -> [Amounts; 3] {
        [self.caller.meter(), &self.shared.meter, &self.gate.meter].map(|meter| meter.lock().windows()[1].taken())
    }

    fn running(&self) -> [u32; 3] {
        [self.caller.meter(), &self.shared.meter, &self.gate.meter].map(crate::meter::Meter::running)
    }
}

fn daily(tokens: u64) -> (Limits, Budget) {
    (Limits::default(), Budget { tokens_per_day: Some(tokens), ..Budget::default() })
}

fn at_once(n: u32) -> (Limits, Budget) {
    (Limits { concurrency: Some(n), ..Limits::default() }, Budget::default())
}

fn used(input: u64, output: u64) -> Used {
    Used { input, output, cost: Usd(0), whole: true }
}

#[test]
fn the_error_says_whose_limit_it_is_and_nothing_is_taken_from_anybody() {
    let places = [
        (Terms3 { token: daily(100), ..Terms3::default() }, Whose::Token),
        (Terms3 { project: daily(100), ..Terms3::default() }, Whose::Project("red".to_owned())),
        (Terms3 { deployment: daily(100), ..Terms3::default() }, Whose::Deployment("tiny".to_owned())),
    ];
    for (terms, owner) in places {
        let room = Room::new(terms);
        let Err(error) = room.admit(60, 41) else { panic!("let in") };
        assert!(matches!(&error, Error::Budget { whose, quota } if *whose == owner && quota.asked == 101), "{error:?}");
        assert!(error.is_final());
        assert_eq!(room.running(), [0; 3]);
        assert_eq!(room.gone(), [Amounts::default(); 3]);
        drop(room.admit(60, 40).expect("room"));
    }
}

#[test]
fn of_several_limits_the_one_that_takes_longest_is_told() {
    let mut terms = Terms3 { token: at_once(1), project: daily(100), ..Terms3::default() };
    terms.deployment.0.tokens_per_minute = Some(50);
    let room = Room::new(terms);
    let permit = room.admit(40, 0).expect("room");
    assert!(matches!(room.admit(1, 0), Err(Error::Limited { what: Resource::Concurrency, whose: Whose::Token, .. })));
    assert!(matches!(room.admit(20, 0), Err(Error::Limited { what: Resource::Tokens, whose: Whose::Deployment(_), .. })));
    let Err(spent) = room.admit(45, 100) else { panic!("let in") };
    assert!(matches!(spent, Error::NeverFits { what: Resource::Tokens, asked: 145, limit: 50, .. }), "{spent:?}");
    drop(permit);
}

#[test]
fn a_budget_that_is_only_set_aside_is_worth_waiting_for() {
    let room = Room::new(Terms3 { token: daily(100), ..Terms3::default() });
    let mut permit = room.admit(10, 80).expect("room");
    let Err(error) = room.admit(10, 10) else { panic!("let in") };
    assert!(!error.is_final() && matches!(error.retry(), Retry::After(_)), "{error:?}");
    permit.settle(used(10, 75));
    drop(permit);
    let Err(error) = room.admit(10, 10) else { panic!("let in") };
    assert!(error.is_final() && error.retry() == Retry::No, "{error:?}");
    assert!(error.to_string().contains("85 tokens are spent"), "{error}");
    drop(room.admit(10, 5).expect("room"));
}

#[test]
fn money_is_set_aside_by_price_and_settled_by_what_it_cost() {
    let prices = Prices { input_per_million: Usd::dollars(1), output_per_million: Usd::dollars(4), ..Prices::default() };
    let budget = Budget { usd_per_day: Some("0.001".parse().expect("money")), ..Budget::default() };
    let room = Room::new(Terms3 { project: (Limits::default(), budget), prices, ..Terms3::default() });
    // A token in costs a millionth, one out four of them.
    let mut permit = room.admit(200, 200).expect("room");
    assert_eq!(permit.reserved(), (400, "0.001".parse().expect("money")));
    permit.settle(Used { input: 200, output: 50, cost: "0.0004".parse().expect("money"), whole: true });
    drop(permit);
    let Err(error) = room.admit(100, 126) else { panic!("let in") };
    assert!(error.to_string().contains("project `red`") && error.to_string().contains("0.0004 USD are spent"), "{error}");
    drop(room.admit(100, 125).expect("room"));
}

#[test]
fn a_first_call_without_a_bound_is_never_refused_for_a_guess() {
    for left in [11, 50, 1_000_000] {
        let room = Room::new(Terms3 { token: daily(left), ..Terms3::default() });
        let permit = room.admit(10, None).expect("the prompt fits");
        assert_eq!(permit.reserved().0, 10 + (left - 10) / 4);
        drop(permit);
    }
    let free = Room::new(Terms3::default());
    assert_eq!(free.admit(10, None).expect("room").reserved().0, 10, "nothing is limited, so nothing is guessed");
}

#[test]
fn what_answers_lately_took_is_set_aside_but_never_more_than_a_limit_as_a_whole() {
    let room = Room::new(Terms3 { token: daily(100_000), ..Terms3::default() });
    for _ in 0..50 {
        let mut permit = room.admit(10, None).expect("room");
        permit.settle(used(10, 300));
        drop(permit);
    }
    let guess = room.admit(10, None).expect("room").reserved().0;
    assert!((310..330).contains(&guess), "{guess}");
    let small = Room { gate: Arc::clone(&room.gate), ..Room::new(Terms3 { token: daily(100), ..Terms3::default() }) };
    assert_eq!(small.admit(10, None).expect("a guess makes nothing impossible").reserved().0, 100);
    assert!(matches!(small.admit(10, 300), Err(Error::Budget { .. })), "what the client asks for does");
}

#[test]
fn an_answer_that_its_bound_cut_off_teaches_nothing() {
    let room = Room::new(Terms3::default());
    let mut permit = room.admit(1, 16).expect("room");
    permit.settle(used(1, 16));
    drop(permit);
    assert_eq!(room.gate.likely_output(), None);
    let mut permit = room.admit(1, 16).expect("room");
    permit.settle(Used { whole: false, ..used(1, 9) });
    drop(permit);
    assert_eq!(room.gate.likely_output(), None, "nor one that broke off");
    let mut permit = room.admit(1, 16).expect("room");
    permit.settle(used(1, 9));
    drop(permit);
    assert!(room.gate.likely_output().is_some());
}

#[test]
fn a_call_that_goes_to_another_deployment_counts_with_that_one_if_it_has_room() {
    let room = Room::new(Terms3 { deployment: daily(100), ..Terms3::default() });
    let mut permit = room.admit(10, 50).expect("room");
    let other = Arc::new(Gate::new("other"));
    let gone = |gate: &Gate| {
        let tokens = gate.meter.lock().windows()[1].taken().tokens;
        (tokens, gate.running())
    };
    let refused = permit.move_to(&other, &Limits::default(), &daily(59).1, &Prices::default());
    assert!(matches!(&refused, Err(Error::Budget { whose: Whose::Deployment(name), .. }) if name == "other"), "{refused:?}");
    assert_eq!((gone(&room.gate), gone(&other)), ((60, 1), (0, 0)));
    permit.move_to(&other, &Limits::default(), &daily(60).1, &Prices::default()).expect("room");
    permit.move_to(&other, &Limits::default(), &daily(60).1, &Prices::default()).expect("it is there already");
    assert_eq!((gone(&room.gate), gone(&other), permit.deployment()), ((0, 0), (60, 1), "other"));
    permit.settle(used(10, 20));
    drop(permit);
    assert_eq!((gone(&room.gate), gone(&other)), ((0, 0), (30, 0)));
    assert_eq!(room.gone().map(|gone| gone.tokens), [30, 30, 0]);
}

#[test]
fn a_call_that_goes_to_a_dearer_deployment_sets_the_difference_aside_or_does_not_go() {
    const TOKEN: u64 = 1_000; // a millionth of a dollar
    let priced =
        |dollars| Prices { input_per_million: Usd::dollars(dollars), output_per_million: Usd::dollars(dollars), ..Prices::default() };
    let tokens = |millionths: u64| (Limits::default(), Budget { usd_per_day: Some(Usd(millionths * TOKEN)), ..Budget::default() });
    let (free, none) = (Limits::default(), Budget::default());
    for (token, project, owner) in [(10_000, 20_000, Whose::Token), (20_000, 10_000, Whose::Project("red".to_owned()))] {
        let room = Room::new(Terms3 { token: tokens(token), project: tokens(project), prices: priced(1), ..Terms3::default() });
        let dear = Arc::new(Gate::new("dear"));
        let gone = || {
            let [token, project, first] = room.gone().map(|gone| gone.usd / TOKEN);
            [token, project, first, dear.meter.lock().windows()[1].taken().usd / TOKEN]
        };
        let mut permit = room.admit(40, 60).expect("room");
        assert_eq!(gone(), [100, 100, 100, 0]);
        let refused = permit.move_to(&dear, &free, &none, &priced(101)).expect_err("a hundred tokens cost more than there is");
        assert!(matches!(&refused, Error::Budget { whose, quota } if *whose == owner && quota.asked == 10_100 * TOKEN), "{refused:?}");
        assert_eq!((gone(), permit.deployment()), ([100, 100, 100, 0], "tiny"), "nothing has changed");
        permit.move_to(&dear, &free, &none, &priced(100)).expect("just enough");
        assert_eq!((gone(), permit.reserved().1), ([10_000, 10_000, 0, 10_000], Usd(10_000 * TOKEN)));
        assert!(room.admit(1, 0).is_err(), "nobody else may spend it meanwhile");
        permit.settle(Used { input: 40, output: 10, cost: Usd(5_000 * TOKEN), whole: true });
        drop(permit);
        assert_eq!(gone(), [5_000, 5_000, 0, 5_000]);
        let mut permit = room.admit(40, 60).expect("room");
        permit.move_to(&dear, &free, &none, &Prices::default()).expect("it costs nothing there");
        assert_eq!(gone(), [5_000, 5_000, 0, 5_000]);
        drop(permit);
        assert_eq!((gone(), room.running(), dear.running()), ([5_000, 5_000, 0, 5_000], [0; 3], 0));
    }
}

#[test]
fn a_changed_project_holds_for_the_next_call() {
    let room = Room::new(Terms3::default());
    let permit = room.admit(10, 10).expect("room");
    let mut project = (**room.shared.project.load().as_ref().expect("a project")).clone();
    project.limits.concurrency = Some(1);
    room.shared.project.store(Some(Arc::new(project)));
    assert!(matches!(room.admit(1, 1), Err(Error::Limited { whose: Whose::Project(_), .. })), "also for those who run");
    room.shared.project.store(None);
    drop(permit);
    assert_eq!(room.running(), [0; 3]);
}

#[test]
fn a_thousand_at_once_never_set_aside_more_than_the_budget_and_settle_to_the_truth() {
    const CALLERS: u64 = 1_000;
    const BUDGET: u64 = 20_000;
    let room = Room::new(Terms3 { token: daily(BUDGET), project: daily(2 * BUDGET), ..Terms3::default() });
    let (truth, admitted, most) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (room, truth, admitted, most) = (&room, &truth, &admitted, &most);
            scope.spawn(move || {
                let mut open = Vec::new();
                for n in 0..CALLERS / 8 {
                    let max = 20 + (n * 31 + worker) % 100;
                    if let Ok(permit) = room.admit(5, max) {
                        admitted.fetch_add(1, Ordering::Relaxed);
                        open.push((permit, max));
                    }
                    most.fetch_max(room.gone()[0].tokens, Ordering::Relaxed);
                    if n % 3 == 0 && !open.is_empty() {
                        let (mut permit, max) = open.swap_remove(open.len() / 2);
                        let output = max * (n % 5) / 4;
                        if n % 2 == 0 {
                            permit.settle(used(5, output));
                            truth.fetch_add(5 + output, Ordering::Relaxed);
                        }
                    }
                }
                for (mut permit, max) in open {
                    permit.settle(used(5, max));
                    truth.fetch_add(5 + max, Ordering::Relaxed);
                }
            });
        }
    });
    let truth = truth.load(Ordering::Relaxed);
    assert!(most.load(Ordering::Relaxed) <= BUDGET, "{most:?}");
    assert!((CALLERS / 4..CALLERS).contains(&admitted.load(Ordering::Relaxed)), "some are let in and some are not: {admitted:?}");
    assert_eq!(room.gone().map(|gone| gone.tokens), [truth; 3]);
    assert_eq!(room.running(), [0; 3]);
    assert!(truth <= BUDGET);
}

#[derive(Debug, Clone)]
enum Act {
    Ask(u64, Option<u64>),
    /// The n-th open one ends; it used so many per mille of what was set aside.
    End(usize, u64),
    Drop(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0_u64..40, proptest::option::of(0_u64..120)).prop_map(|(input, max)| Act::Ask(input, max)),
        2 => (any::<usize>(), 0_u64..1_500).prop_map(|(n, mille)| Act::End(n, mille)),
        1 => any::<usize>().prop_map(Act::Drop),
    ];
    proptest::collection::vec(act, 0..80)
}

proptest! {
    #[test]
    fn whatever_happens_no_budget_is_overdrawn_by_an_admission_and_the_books_are_true(
        acts in acts(),
        limits in (50_u64..600, 50_u64..600, 50_u64..600),
        places in 1_u32..12,
    ) {
        let mut terms = Terms3 { token: daily(limits.0), project: daily(limits.1), deployment: daily(limits.2), ..Terms3::default() };
        terms.project.0.concurrency = Some(places);
        let smallest = limits.0.min(limits.1).min(limits.2);
        let room = Room::new(terms);
        let (mut open, mut truth): (Vec<Permit>, u64) = (Vec::new(), 0);
        for act in acts {
            match act {
                Act::Ask(input, max) => {
                    let before = room.gone();
                    if let Ok(permit) = room.admit(input, max) {
                        let gone = room.gone()[0].tokens;
                        prop_assert!(gone <= smallest, "{gone} of {smallest}");
                        prop_assert_eq!(gone, before[0].tokens + permit.reserved().0);
                        open.push(permit);
                    } else {
                        prop_assert_eq!(room.gone(), before);
                    }
                }
                Act::End(..) | Act::Drop(_) if open.is_empty() => {}
                Act::End(n, mille) => {
                    let mut permit = open.swap_remove(n % open.len());
                    let output = permit.reserved().0 * mille / 1_000;
                    permit.settle(used(0, output));
                    truth += output;
                }
                Act::Drop(n) => drop(open.swap_remove(n % open.len())),
            }
            let reserved: u64 = open.iter().map(|permit| permit.reserved().0).sum();
            prop_assert_eq!(room.gone().map(|gone| gone.tokens), [truth + reserved; 3]);
            prop_assert_eq!(room.running(), [u32::try_from(open.len()).expect("few"); 3]);
            prop_assert!(open.len() <= places as usize);
        }
        drop(open);
        prop_assert_eq!(room.running(), [0; 3]);
        prop_assert_eq!(room.gone().map(|gone| gone.tokens), [truth; 3]);
    }
}
