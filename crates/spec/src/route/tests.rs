//! Routes that cannot be, and what is said about them.

use super::{Affinity, Map, Route, Target};
use crate::deployment::Deployment;
use crate::name::Name;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn route(of: &str, targets: &[(&str, u32)], fallback: &[&str]) -> Route {
    let targets = targets.iter().map(|(to, weight)| Target { deployment: name(to), weight: *weight }).collect();
    Route { name: name(of), targets, fallback: fallback.iter().map(|n| name(n)).collect(), affinity: Affinity::None }
}

fn deployment(of: &str, fallback: &[&str]) -> Deployment {
    Deployment { fallback: fallback.iter().map(|n| name(n)).collect(), ..Deployment::named(name(of)) }
}

#[test]
fn a_route_is_read_from_a_few_words_and_refuses_unknown_ones() {
    let read: Route = serde_json::from_str(r#"{"name":"chat","targets":[{"deployment":"a"}]}"#).unwrap();
    assert_eq!(read, route("chat", &[("a", 1)], &[]));
    let error = serde_json::from_str::<Route>(r#"{"name":"chat","targets":[{"deployment":"a","wait":3}]}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `wait`"), "{error}");
}

#[test]
fn what_is_wrong_with_a_route_by_itself_is_said_all_at_once() {
    route("chat", &[("a", 9), ("b", 1)], &["c"]).check().unwrap();
    assert!(route("chat", &[], &[]).check().unwrap_err().to_string().starts_with("targets: a route needs"));
    assert!(route("chat", &[("a", 0)], &[]).check().is_err());
    let error = route("chat", &[("a", 1), ("a", 10_001)], &["c", "chat", "c"]).check().unwrap_err();
    let fields: Vec<&str> = error.0.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["fallback[1]", "fallback[2]", "targets[1].weight", "targets[1].deployment"]);
}

#[test]
fn a_target_that_nobody_knows_is_refused_with_the_one_that_was_meant() {
    let map = Map::new(&[deployment("tiny", &[]), deployment("other", &[])], &[route("chat", &[("tiny", 1)], &[])]);
    let error = map.check_route(&route("new", &[("tinny", 1)], &["chta"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "targets[0].deployment: there is no deployment `tinny`; fallback[0]: there is no deployment or route `chta`"
    );
    assert_eq!(error.0.iter().map(|p| p.hint.as_str()).collect::<Vec<_>>(), ["did you mean `tiny`?", "did you mean `chat`?"]);
    assert!(map.check_route(&route("new", &[("chat", 1)], &[])).unwrap_err().to_string().contains("`chat` is a route"));
    assert!(map.check_route(&route("tiny", &[("tiny", 1)], &[])).unwrap_err().to_string().contains("name of a deployment"));
    assert!(map.check_deployment(&deployment("chat", &[])).unwrap_err().to_string().contains("name of a route"));
    assert_eq!(map.routes_to(&name("tiny")), [name("chat")]);
}

#[test]
fn fallbacks_that_lead_in_a_circle_are_refused_through_whatever_they_lead() {
    let all = [deployment("a", &["r2"]), deployment("b", &[])];
    let map = Map::new(&all, &[route("r2", &[("b", 1)], &[])]);
    map.check_route(&route("r1", &[("a", 1)], &["r2"])).unwrap();
    let error = map.check_route(&route("r2", &[("b", 1)], &["a"])).unwrap_err();
    assert_eq!(error.to_string(), "fallback[0]: `a` leads back to `r2`");
    let error = map.check_deployment(&deployment("b", &["a"])).unwrap_err();
    assert_eq!(error.to_string(), "fallback[0]: `a` leads back to `b`", "through the target of a route");
}
